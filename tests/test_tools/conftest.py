"""A tiny two-stage config on rendered pictures, and ways to run the tools and the converters."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

CONVERTERS = Path(__file__).resolve().parents[2] / "tools/dataset_converters"

CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['stop_hook'], allow_failed_imports=False)
data_root = {data_root!r}
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.PackLocInputs'),
]
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.LoadMasks'),
    dict(type='mmwsol.PackLocInputs'),
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(
        type='mmwsol.TapViT', img_size=32, patch_size=8, drop_path_rate=0.2, drop_rate=0.1,
        arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)),
    head=dict(type='mmwsol.ConvCAMHead', num_classes=10, in_channels=16),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.1))
train_dataloader = dict(
    batch_size=4, num_workers=1,
    worker_init_fn=dict(type='mmwsol.worker_init_fn'),
    dataset=dict(
        type='mmwsol.Shapes', data_root=data_root, split='train', num_images=12, image_size=32,
        pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(
    batch_size=2, num_workers=0,
    dataset=dict(
        type='mmwsol.Shapes', data_root=data_root, split='val', num_images=7, image_size=32,
        pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc'),
]
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)
train_cfg = dict(by_epoch=True, max_epochs=1)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(logger=dict(type='LoggerHook', interval=1))
custom_hooks = [
    dict(type='mmwsol.EpochSeedHook'),
    dict(type='mmwsol.NumClassesHook'),
    dict(type='StopHook'),
]
env_cfg = dict(dist_cfg=dict(backend='nccl'))
visualizer = dict(type='Visualizer', name='visualizer', vis_backends=[dict(type='LocalVisBackend')])
randomness = dict(seed=0)
stages = [
    dict(name='warm', train_cfg=dict(max_epochs=1)),
    dict(name='cam', train_cfg=dict(max_epochs=3)),
]
"""

STOP_HOOK = '''
"""Kill the process in the middle of an epoch of the second stage, if asked to."""
import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class StopHook(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if os.environ.get("STOP_AT") == f"{os.path.basename(runner.work_dir)}/{runner.iter}":
            os.kill(os.getpid(), signal.SIGKILL)
'''


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory):
    """Write the config; its hook lies beside it, on the path of this process and its children."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "stop_hook.py").write_text(STOP_HOOK)
    config = folder / "tiny_shapes.py"
    config.write_text(CONFIG.format(data_root=str(folder / "shapes")))
    sys.path.insert(0, str(folder))
    return config


@pytest.fixture(scope="session")
def shell(tiny_config):
    """Run a command in a fresh process and return it."""

    def run(*command, cwd, check=True, **variables):
        env = {**os.environ, "PYTHON": sys.executable, "PYTHONWARNINGS": "ignore", **variables}
        env["PYTHONPATH"] = os.pathsep.join([str(tiny_config.parent), env.get("PYTHONPATH", "")])
        process = subprocess.run(
            [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
        )
        if check and process.returncode:
            raise AssertionError(f"{process.stdout[-3000:]}\n{process.stderr[-6000:]}")
        return process

    return run


@pytest.fixture
def converter(monkeypatch, capsys):
    """Run a converter with other counts; return what it printed, or the line it ended with."""
    monkeypatch.syspath_prepend(str(CONVERTERS))

    def run(name, *sources, out, **counts):
        module = importlib.import_module(name)
        monkeypatch.setattr(module, "COUNTS", {split: dict(c) for split, c in (counts or module.COUNTS).items()})
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, sources), "--out", str(out)])
        try:
            module.run(module.__doc__, "data/x", module.convert)
        except SystemExit as error:
            return str(error.code)
        return capsys.readouterr().out

    yield run
    for path in CONVERTERS.glob("*.py"):
        sys.modules.pop(path.stem, None)
