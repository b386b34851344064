"""The TS-CAM configs train as the official command lines do: learning rates, batches, decay groups, thresholds."""

import json

import pytest
import torch
from config_names import CONFIGS, config_of
from golden_case import GOLDEN_DIR
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope

from mmwsol.registry import MODELS
from mmwsol.utils import convert_official

SETUP = json.loads((GOLDEN_DIR / "tscam" / "train_setup.json").read_text())


def rates_of(cfg: Config) -> list[float]:
    """Learning rate of every epoch."""
    init_default_scope(cfg.default_scope)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    scheduler = PARAM_SCHEDULERS.build(dict(cfg.param_scheduler, optimizer=optimizer))
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    return rates


@pytest.mark.parametrize("official", SETUP["lr_by_config"])
def test_schedule(official):
    data, arch = official.split("/")
    expected, cfg = SETUP["lr_by_config"][official], config_of(arch, data)
    assert rates_of(cfg) == pytest.approx(expected["lr_per_epoch"], rel=1e-9)
    assert cfg.train_cfg.max_epochs == expected["epochs"]
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == expected["train_batch"]
    assert cfg.model.head.num_classes == expected["classes"]
    assert cfg.model.map_to_box.threshold == expected["cam_thr_yaml"]
    resize, crop = cfg.train_dataloader.dataset.pipeline[1:3]
    assert resize.scale == (expected["resize"],) * 2 and crop.crop_size == expected["crop"]


@pytest.mark.parametrize(
    ("name", "steps", "epochs", "batch"),
    [
        ("cam_vgg16_cub_adamw", [12, 24], 40, 64),  # TRT's repository
        ("cam_vgg16_cub", [15], 50, 32),  # wsolevaluation
        ("cam_resnet50_ilsvrc", [3], 10, 32),
    ],
)
def test_schedule_of_cam(name, steps, epochs, batch):
    """The rate is divided by ten at the start of every epoch, counted from 1, that is a multiple of a step."""
    cfg = Config.fromfile(CONFIGS / "cam" / f"{name}.py")
    rate, expected = cfg.optim_wrapper.optimizer.lr, []
    for epoch in range(1, epochs + 1):
        rate *= 0.1 if any(epoch % step == 0 for step in steps) else 1
        expected.append(rate)
    assert rates_of(cfg) == pytest.approx(expected, rel=1e-9)
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == batch


SMALL_VIT = dict(arch=dict(embed_dims=12, num_layers=3, num_heads=3, feedforward_channels=48))
SMALL_CONFORMER = dict(arch=dict(embed_dims=12, depths=3, num_heads=3, channel_ratio=1), base_channels=16)


@pytest.mark.parametrize(
    ("kind", "name", "backbone", "head"),
    [
        ("deit", "ts-cam/ts-cam_deit-s_cub", SMALL_VIT, dict(in_channels=12)),
        ("deit", "ts-cam/ts-cam_deit-s_ilsvrc", SMALL_VIT, dict(in_channels=12)),
        ("conformer", "ts-cam/ts-cam_conformer-s_cub", SMALL_CONFORMER, dict(in_channels=12, conv_channels=64)),
        ("vgg16_cam", "cam/cam_vgg16_cub_adamw", dict(base_channels=2), dict(in_channels=32)),
    ],
)
def test_decay_groups(kind, name, backbone, head):
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    cfg.model.init_cfg = None
    cfg.model.backbone.update(backbone)
    cfg.model.head.update(head)
    model = MODELS.build(cfg.model)
    optim = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    expected = SETUP["optimizer_groups"][kind]
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


@pytest.mark.parametrize(
    ("name", "small", "channels", "fast"),
    [
        ("cam_vgg16_cub", dict(base_channels=2), 32, ("backbone.conv6.", "head.fc.")),
        ("cam_resnet50_ilsvrc", dict(base_channels=2), 64, ("backbone.layer4.", "head.fc.")),
    ],
)
def test_layers_that_learn_faster(name, small, channels, fast):
    cfg = Config.fromfile(CONFIGS / "cam" / f"{name}.py")
    cfg.model.init_cfg = None
    cfg.model.backbone.update(small)
    cfg.model.head.in_channels = channels
    model = MODELS.build(cfg.model)
    optim = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    settings = {id(p): (g["lr"], g["weight_decay"]) for g in optim.param_groups for p in g["params"]}
    rate, decay = cfg.optim_wrapper.optimizer.lr, cfg.optim_wrapper.optimizer.weight_decay
    for parameter_name, parameter in model.named_parameters():
        factor = 10 if parameter_name.startswith(fast) else 1
        assert settings[id(parameter)] == pytest.approx((factor * rate, decay)), parameter_name
    assert optim.param_groups[0]["nesterov"] and optim.param_groups[0]["momentum"] == 0.9
