"""Every shipped config can be tried: one epoch, and data loaders without workers."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

import mmwsol.engine  # noqa: F401  (schedules)
from mmwsol.engine.stages import fit_schedule, stage_configs
from mmwsol.utils.config import list_configs, load_config

OPTIONS = {"train_cfg.max_epochs": 1, "train_dataloader.num_workers": 0}
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def build_schedule(cfg):
    """Build the schedule as the Runner does, for three iterations an epoch."""
    weight = torch.nn.Parameter(torch.zeros(1))
    wrapper = OptimWrapper(torch.optim.SGD([weight], lr=0.1))
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    loop._max_epochs = cfg.train_cfg.max_epochs
    loop.dataloader = range(3)
    runner = SimpleNamespace(
        optim_wrapper=wrapper, train_loop=loop, _train_loop=loop, max_epochs=1, logger=logging.getLogger()
    )
    runner.train_dataloader = loop.dataloader
    runner._build_param_scheduler = lambda *args: Runner._build_param_scheduler(runner, *args)
    return Runner.build_param_scheduler(runner, cfg.param_scheduler)


@pytest.mark.parametrize("name", list_configs())
def test_one_epoch_without_workers(name):
    whole = load_config(name, OPTIONS)
    init_default_scope("mmpretrain")
    for stage in stage_configs(whole, OPTIONS):
        if "max_epochs" in (stage.cfg.get("train_cfg") or {}):
            assert stage.cfg.train_cfg.max_epochs == 1
            if stage.cfg.get("param_scheduler"):
                build_schedule(stage.cfg)
        for loader in LOADERS:
            options = stage.cfg.get(loader) or {}
            DataLoader([0], num_workers=0, persistent_workers=options.get("persistent_workers", False))


def test_what_begins_later_is_left_out():
    parts = [
        dict(type="LinearLR", end=1),
        dict(type="CosineAnnealingLR", begin=1),
        dict(type="X", by_epoch=False, begin=9),
    ]
    cfg = Config(dict(train_cfg=dict(max_epochs=1), param_scheduler=parts))
    fit_schedule(cfg)
    assert [part.type for part in cfg.param_scheduler] == ["LinearLR", "X"]
    cfg = Config(dict(train_cfg=dict(max_epochs=2), param_scheduler=parts))
    fit_schedule(cfg)
    assert len(cfg.param_scheduler) == 3
