"""TimmCosineLR: the learning rates of DeiT's schedule as the official CDTR code applies it, and decay groups."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope

from mmwsol.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def rates(epochs, lr, **kwargs):
    init_default_scope("mmpretrain")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    cfg = dict(type="mmwsol.TimmCosineLR", optimizer=optimizer, by_epoch=True, end=epochs, **kwargs)
    scheduler = PARAM_SCHEDULERS.build(cfg)
    lrs = []
    for _ in range(epochs):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return lrs


@pytest.mark.parametrize(
    ("epochs", "lr", "first", "last"),
    [
        (110, 5e-5, [1e-6, 1e-6, 1.08e-5, 2.06e-5, 3.04e-5, 4.02e-5, 4.98e-5, 4.97e-5], 1.003e-5),
        (14, 2.5e-4, [1e-6, 1e-6, 5.08e-5, 1.006e-4, 1.504e-4, 2.002e-4, 1.821e-4, 1.567e-4], 2.19e-5),
    ],
)
def test_rates_of_the_official_runs(epochs, lr, first, last):
    lrs = rates(epochs, lr)
    assert lrs[:8] == pytest.approx(first, rel=1e-3)
    assert lrs[-1] == pytest.approx(last, rel=1e-3)


def test_without_delay_and_warm_up_it_is_a_cosine():
    lrs = rates(10, 1.0, delay=0, warmup_epochs=0, eta_min=0.0)
    expected = (1 + torch.cos(torch.pi * torch.arange(10) / 10)) / 2
    assert lrs == pytest.approx(expected.tolist(), abs=1e-6)
    assert rates(10, 1.0, delay=0, warmup_epochs=0, eta_min=0.0, T_max=20)[5] == pytest.approx(0.8535534)


@pytest.mark.parametrize(
    ("name", "epochs", "lr", "batch"),
    [
        ("cdtr/cdtr_deit-s_cub", 110, 5e-5, 512),
        ("cdtr/cdtr_deit-s_ilsvrc", 14, 2.5e-4, 256),
        ("catr/catr_deit-s_cub", 80, 5e-5, 512),
        ("catr/catr_deit-s_ilsvrc", 14, 5e-4, 512),
        ("lctr/lctr_deit-s_cub", 80, 5e-5, 512),
        ("lctr/lctr_deit-s_ilsvrc", 14, 1e-3, 1024),
    ],
)
def test_schedules_of_the_configs(name, epochs, lr, batch):
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler.end == epochs
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(lr)
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == batch


def test_decay_groups_of_cdtr():
    cfg = Config.fromfile(CONFIGS / "cdtr" / "cdtr_deit-s_cub.py")
    cfg.model.init_cfg = None
    cfg.model.backbone.arch = dict(embed_dims=12, num_layers=2, num_heads=3, feedforward_channels=24)
    cfg.model.head.update(in_channels=12, num_classes=4, attn_shape=(2, 3), ocm_blocks=2)
    model = MODELS.build(cfg.model)
    optim = build_optim_wrapper(model, cfg.optim_wrapper)
    decays = {id(p): group["weight_decay"] for group in optim.optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        plain = parameter.ndim == 1 or name.endswith(("cls_token", "pos_embed"))
        assert decays[id(parameter)] == (0 if plain else 0.05), name
    assert decays[id(model.head.weighting.lambdas)] == 0
