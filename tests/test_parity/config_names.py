"""The config that stands for an official model."""

from pathlib import Path

from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = {
    "deit_tscam_tiny": "ts-cam/ts-cam_deit-t",
    "deit_tscam_small": "ts-cam/ts-cam_deit-s",
    "deit_tscam_base": "ts-cam/ts-cam_deit-b",
    "conformer_tscam_small": "ts-cam/ts-cam_conformer-s",
    "vgg16_cam": "cam/cam_vgg16",
}


def config_of(arch: str, data: str) -> Config:
    """Load the config of an official model name, such as 'deit_tscam_tiny_patch16_224', and data set."""
    name = arch.split("_patch16")[0]
    return Config.fromfile(CONFIGS / f"{FILES[name]}_{data.lower()}.py")
