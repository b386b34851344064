"""The TS-CAM configs train as the official command lines do: learning rates, batches, decay groups, thresholds."""

import json
from pathlib import Path

import pytest
import torch
from golden_case import GOLDEN_DIR
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope

from mmwsol.registry import MODELS
from mmwsol.utils import convert_official

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "ts-cam"
SETUP = json.loads((GOLDEN_DIR / "tscam" / "train_setup.json").read_text())
DATA = {"CUB": "cub", "ILSVRC": "ilsvrc"}
ARCH = {"tiny": "deit-t", "small": "deit-s", "base": "deit-b"}
NAMES = [name for name in SETUP["lr_by_config"] if "/deit_" in name]


def config_of(official: str) -> Config:
    data, model = official.split("/")
    return Config.fromfile(CONFIGS / f"ts-cam_{ARCH[model.split('_')[2]]}_{DATA[data]}.py")


@pytest.mark.parametrize("official", NAMES)
def test_schedule(official):
    expected, cfg = SETUP["lr_by_config"][official], config_of(official)
    init_default_scope(cfg.default_scope)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    scheduler = PARAM_SCHEDULERS.build(dict(cfg.param_scheduler, optimizer=optimizer))
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    assert rates == pytest.approx(expected["lr_per_epoch"], rel=1e-9)
    assert cfg.train_cfg.max_epochs == expected["epochs"]
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == expected["train_batch"]
    assert cfg.model.head.num_classes == expected["classes"]
    assert cfg.model.map_to_box.threshold == expected["cam_thr_yaml"]
    resize, crop = cfg.train_dataloader.dataset.pipeline[1:3]
    assert resize.scale == (expected["resize"],) * 2 and crop.crop_size == expected["crop"]


@pytest.mark.parametrize("name", ["ts-cam_deit-s_cub", "ts-cam_deit-s_ilsvrc"])
def test_decay_groups(name):
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    cfg.model.init_cfg = None
    cfg.model.backbone.arch = dict(embed_dims=12, num_layers=3, num_heads=3, feedforward_channels=48)
    cfg.model.head.in_channels = 12
    model = MODELS.build(cfg.model)
    optim = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    expected = SETUP["optimizer_groups"]["deit"]
    for group in expected["groups"]:
        ours = {
            names[id(p)]
            for g in optim.optimizer.param_groups
            if g["weight_decay"] == group["weight_decay"]
            for p in g["params"]
        }
        assert ours == {next(iter(convert_official({n: 0}, "tscam"))) for n in group["names"]}
    options = optim.optimizer.param_groups[0]
    assert list(options["betas"]) == expected["betas"] and options["eps"] == expected["eps"]
