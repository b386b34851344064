"""Every method family on two ranks: as on one where the batch is the same, and always as one model on both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from ranks import run_ranks
from torch.nn.modules.batchnorm import _BatchNorm

from mmwsol.compat import load_checkpoint_file
from mmwsol.datasets import Shapes
from mmwsol.engine.stages import run_stages, stage_configs
from mmwsol.utils.config import load_config

IMAGES, BATCH, SIZE = 8, 4, 64
ARCH = dict(embed_dims=24, num_layers=3, num_heads=4, feedforward_channels=48)
RANDOM = ("RandomFlip", "RevealRandomBox", "RandomCrop", "RandomResizedCrop", "ColorJitter")
# A config of every family, and whether it is trained as one batch: DiPS draws pixels, and keeps its batch norm free.
SAME = {
    "cam_vgg16_cub": True,
    "ts-cam_small-vit_shapes": True,
    "lctr_deit-s_cub": True,
    "sat_small-vit_shapes": True,
    "trt_small-vit_shapes": True,
    "catr_small-vit_shapes": True,
    "cdtr_small-vit_shapes_noclip": True,
    "locloc_small-vit_shapes": True,
    "dips_small-vit_shapes": False,
}


@HOOKS.register_module(force=True)
class Witness(Hook):
    """Keep what a validation saw on this rank: statistics, the map of a fixed picture, and metrics."""

    def __init__(self, folder):
        self.folder = folder

    def after_val_epoch(self, runner, metrics):
        model = runner.model.module if hasattr(runner.model, "module") else runner.model
        with torch.no_grad():
            image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))
            prediction = model.head.predict(model.extract_feat(image), torch.tensor([0]))
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        file = f"{runner.rank}_{Path(runner.work_dir).name}.pt"
        torch.save((buffers, prediction.maps, metrics), f"{self.folder}/{file}")


@HOOKS.register_module(force=True)
class FixedNorm(Hook):
    """Train batch norm, but by fixed statistics: those of a batch are not those of a rank's share of it."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for module in runner.model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def config(name: str, folder) -> Config:
    """Shrink a config to a few images and one epoch a stage, without random transforms."""
    cfg, shapes = load_config(name), load_config("ts-cam_small-vit_shapes")
    cfg = Config(cfg.to_dict(), format_python_code=False)  # the formatter takes most of a second, four times a stage
    cfg.val_evaluator = cfg.test_evaluator = shapes.val_evaluator
    for key in ("train", "val", "test"):
        loader = cfg[f"{key}_dataloader"]
        loader.dataset = shapes[f"{key}_dataloader"].dataset
        loader.dataset.update(data_root=str(folder.parents[1] / "data"), num_images=IMAGES)
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.total_batch_size = cfg.train_dataloader.batch_size = BATCH
    cfg.custom_hooks = [dict(type="mmwsol.EpochSeedHook"), dict(type="Witness", folder=str(folder))]
    if SAME[name]:
        cfg.custom_hooks.append(dict(type="FixedNorm"))
    cfg.model.init_cfg = None
    cfg.model.head.num_classes = 10
    cfg.visualizer.vis_backends = []
    cfg.log_level = "ERROR"
    cfg.launcher = "pytorch" if get_world_size() > 1 else "none"
    for part in [cfg, *cfg.get("stages", [])]:
        if part is not cfg:
            part.pop("total_batch_size", None)
        if part is cfg or "param_scheduler" in part:
            part.param_scheduler = []
        if part is cfg or "optim_wrapper" in part:  # Adam would blow rounding up
            part.optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.05))
        model = part.get("model") or {}
        if "backbone" in model or part is cfg:
            model.backbone.update(shrunk_backbone(cfg.model.backbone))
        if "head" in model or part is cfg:
            model.head.update(shrunk_head(model.head))
        if "train_cfg" in part and part.train_cfg.get("type") != "mmwsol.OfflineLoop":
            part.train_cfg.max_epochs = 1
        pipeline = (part.get("train_dataloader") or {}).get("dataset", {}).get("pipeline")
        if pipeline:
            part.train_dataloader.dataset.pipeline = [t for t in pipeline if t.type.split(".")[-1] not in RANDOM]
    return cfg


def shrunk_backbone(backbone: dict) -> dict:
    if backbone["type"] == "mmwsol.VGG16CAM":
        return dict(base_channels=2)
    return dict(arch=ARCH, drop_path_rate=0.0, img_size=SIZE, patch_size=8)


def shrunk_head(head: dict) -> dict:
    changes = dict(in_channels=ARCH["embed_dims"])
    if head.get("type") == "mmwsol.LinearCAMHead":
        changes.update(in_channels=32)
    if head.get("type") in ("mmwsol.CATRHead", "mmwsol.CDTRHead"):
        changes.update(attn_shape=(3, 4), c_base=8, ocm_blocks=2)
    if head.get("type") == "mmwsol.LocLocHead":
        changes["classifier"] = dict(num_layers=1, num_heads=2, feedforward_channels=48, drop_path_rate=0.0)
    if head.get("type") == "mmwsol.DiPSHead":
        changes["channels"] = (8, 8)
    return changes


def train(folder, name: str, run: str) -> dict[str, torch.Tensor]:
    """Run all stages and return the weights of the last one."""
    work_dir = folder / run / name
    work_dir.mkdir(parents=True, exist_ok=True)
    checkpoints = run_stages(stage_configs(config(name, work_dir)), work_dir / "stages")
    return load_checkpoint_file(str(list(checkpoints.values())[-1]))["state_dict"]


def train_on_two(rank: int, folder) -> None:
    for name in SAME:
        train(folder, name, "two")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    for split in ("train", "val"):
        Shapes(data_root=str(folder / "data"), split=split, num_images=IMAGES)
    run_ranks(train_on_two, 2, folder)
    return folder


@pytest.mark.parametrize("name", SAME)
def test_ranks_validate_one_model(runs, name):
    """Batch norm collects other statistics on every rank, and mmengine leaves them there."""
    files = sorted((runs / "two" / name).glob("0_*.pt"))
    assert files
    for file in files:
        buffers, maps, metrics = torch.load(file)
        others, other_maps, other_metrics = torch.load(file.with_name(f"1{file.name[1:]}"))
        for key, value in buffers.items():
            assert torch.equal(value, others[key]) or value.isnan().all(), key
        assert torch.equal(maps, other_maps)
        assert metrics == other_metrics


@pytest.mark.parametrize("name", [name for name, same in SAME.items() if same])
def test_one_batch_on_two_ranks_trains_the_same_model(runs, name):
    last = max((runs / "two" / name / "stages").rglob("epoch_1.pth"), key=lambda path: path.stat().st_mtime)
    two = load_checkpoint_file(str(last))["state_dict"]
    one = train(runs, name, "one")
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(value, two[key], rtol=1e-4, atol=2e-6, msg=key, equal_nan=True)
    files = sorted((runs / "one" / name).glob("0_*.pt"))
    assert files
    for file in files:
        metrics = torch.load(file)[2]
        assert metrics == pytest.approx(torch.load(runs / "two" / name / file.name)[2], nan_ok=True)
