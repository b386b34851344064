"""Every workaround: the breakage shows without it and is gone with it."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import warnings
import weakref

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from mmwsol import compat, registry  # noqa: F401  (the registry applies the workarounds)

needs_new_torch = pytest.mark.skipif(
    not compat.checkpoint_loaders_needed(), reason="torch.load is permissive before 2.6"
)


class Evil:
    """Run a command when unpickled, as a forged checkpoint may."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], tuple(self.call[1:])


@pytest.fixture
def checkpoint(tmp_path):
    """Write what mmengine writes: log buffers, numpy scalars and arrays, config values."""
    buffer = HistoryBuffer()
    buffer.update(0.5)
    buffer.update(2.0)
    meta = ConfigDict(classes=("a", "b"), palette=np.arange(6, dtype=np.uint8).reshape(2, 3))
    hub = dict(log_scalars={"loss": buffer}, runtime_info={"best": np.float64(0.7), "n": np.int64(3)})
    path = tmp_path / "epoch_1.pth"
    torch.save(dict(state_dict={"w": torch.ones(2)}, message_hub=hub, meta=meta), path)
    return str(path)


def test_warning_of_mmcv_lite_is_silenced():
    text = "Fail to import ``MultiScaleDeformableAttention`` from ``mmcv.ops.multi_scale_deform_attn``, You should"
    with warnings.catch_warnings(record=True) as shown:
        warnings.resetwarnings()
        warnings.warn(text, stacklevel=1)
        assert len(shown) == 1
        compat.ignore_mmcv_lite_warning()
        warnings.warn(text, stacklevel=1)
        warnings.warn("Fail to import something else", stacklevel=1)
    assert [str(warning.message) for warning in shown[1:]] == ["Fail to import something else"]
    # Any import of mmwsol does it, before mmcv is imported.
    code = "import mmwsol, warnings; print([f[1].pattern for f in warnings.filters if f[1] is not None])"
    shown_by = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "MultiScaleDeformableAttention" in shown_by


@needs_new_torch
def test_own_checkpoints_load(checkpoint):
    with pytest.raises(pickle.UnpicklingError):  # the breakage
        torch.load(checkpoint)
    loaded = CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    buffer = loaded["message_hub"]["log_scalars"]["loss"]
    assert buffer.mean() == 1.25
    assert buffer.statistics("max") == 2.0
    assert loaded["message_hub"]["runtime_info"] == {"best": 0.7, "n": 3}
    assert loaded["meta"]["palette"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert compat._checkpoint_globals()[0] not in torch.serialization.get_safe_globals()


@needs_new_torch
def test_checkpoints_with_empty_arrays_load(tmp_path):
    """A log buffer without entries, or the boxes of an image that has none."""
    path = tmp_path / "empty.pth"
    torch.save(dict(state_dict={}, loss=HistoryBuffer(), boxes=np.zeros((0, 4), np.float32)), path)
    loaded = CheckpointLoader.load_checkpoint(str(path))
    assert len(loaded["loss"].data[0]) == 0 and loaded["boxes"].shape == (0, 4)


@needs_new_torch
@pytest.mark.parametrize(
    ("route", "archive"), [("reduce", True), ("reduce", False), ("getattr", True), ("other_getattr", True)]
)
def test_forged_checkpoints_are_refused(tmp_path, monkeypatch, route, archive):
    proof, path = tmp_path / "ran", str(tmp_path / "forged.pth")
    command = f"touch {proof}"
    if route == "reduce":
        forged, named = Evil(os.system, command), "system"
    elif route == "getattr":  # walk from an allowed object to the interpreter's globals
        init = Evil(getattr, HistoryBuffer, "__init__")
        forged, named = Evil(getattr, init, "__globals__"), "getattr"
    else:
        forged, named = Evil(getattr, np.ndarray, "tofile"), "getattr"
    torch.save(dict(state_dict={}, evil=forged), path, _use_new_zipfile_serialization=archive)
    with pytest.raises(ValueError) as error:
        CheckpointLoader.load_checkpoint(path)
    assert not proof.exists()
    for part in (named, path, "MMWSOL_TRUST_CHECKPOINTS=1"):
        assert part in str(error.value)
    monkeypatch.setenv("MMWSOL_TRUST_CHECKPOINTS", "0")
    with pytest.raises(ValueError):
        CheckpointLoader.load_checkpoint(path)
    monkeypatch.setenv("MMWSOL_TRUST_CHECKPOINTS", "1")
    CheckpointLoader.load_checkpoint(path)
    assert proof.exists() == (route == "reduce")  # the explicit choice of the user


@needs_new_torch
def test_http_scheme_is_restricted(tmp_path, monkeypatch, checkpoint):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def download(url, path, progress):
        source = checkpoint if url.endswith("good.pth?raw=1") else evil
        os.link(source, path)

    evil = str(tmp_path / "evil_source.pth")
    torch.save(Evil(os.getpid), evil)
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    loaded = CheckpointLoader.load_checkpoint("https://example.com/good.pth?raw=1")
    assert loaded["state_dict"]["w"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="getpid"):
        CheckpointLoader.load_checkpoint("https://example.com/evil.pth")


def test_missing_checkpoint():
    with pytest.raises(FileNotFoundError, match="nowhere.pth"):
        compat.load_from_local("nowhere.pth")


def test_set_device_is_harmless_without_cuda():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    original = torch.cuda.set_device
    with pytest.raises((RuntimeError, AssertionError)):  # what stops mmengine's init_dist
        torch.cuda.set_device(0)
    with compat.without_set_device():
        torch.cuda.set_device(0)
    assert torch.cuda.set_device is original


def test_cpu_process_group(monkeypatch):
    """One process, launcher 'pytorch': the Runner's wrapper of the model must work on the CPU."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    from mmengine.dist import is_distributed
    from mmengine.model import BaseModel, MMDistributedDataParallel, is_model_wrapper
    from mmengine.runner import Runner

    address = dict(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1")
    for key, value in {**address, "MASTER_PORT": "29653"}.items():
        monkeypatch.setenv(key, value)
    cfg = Config(dict(launcher="none", env_cfg=dict(dist_cfg=dict(backend="nccl"))))
    compat.init_cpu_distributed(cfg)
    assert not is_distributed()
    assert cfg.env_cfg.dist_cfg.backend == "nccl"
    cfg.launcher = "pytorch"
    compat.init_cpu_distributed(cfg)
    assert is_distributed()
    assert cfg.env_cfg.dist_cfg.backend == "gloo"

    class Model(BaseModel):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, inputs, data_samples=None, mode="tensor"):
            return self.layer(inputs)

    with pytest.raises(ValueError):  # the second breakage
        MMDistributedDataParallel(Model(), device_ids=[0])
    runner = Runner.__new__(Runner)
    runner._distributed, runner.cfg = True, cfg
    wrapped = runner.wrap_model(cfg.model_wrapper_cfg, Model())
    assert type(wrapped).__name__ == "CPUDistributedDataParallel"
    assert is_model_wrapper(wrapped)
    assert wrapped(torch.ones(3, 2)).shape == (3, 1)

    # A Runner and its model refer to each other: the group must not outlive them into the shutdown.
    runner.model = wrapped
    wrapped.runner = [runner]
    alive = weakref.ref(wrapped)
    gc.disable()
    try:
        del runner, wrapped
        assert alive() is not None
        compat.finish_distributed()
        assert alive() is None
    finally:
        gc.enable()
    assert not is_distributed()


def test_float_drop_path():
    from mmcv.cnn.bricks.drop import DropPath

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            rates = np.linspace(0, 0.2, 2)  # as mmpretrain's vision transformers do
            self.layers = nn.Sequential(*[DropPath(rate) for rate in rates])

        def forward(self, x):
            return self.layers(x) * 2

    model = Model().train()
    x = torch.ones(2, 3)
    with pytest.raises(torch._dynamo.exc.Unsupported):
        torch.compile(model, fullgraph=True, backend="eager")(x)
    torch._dynamo.reset()
    compat.float_drop_path(model)
    assert [type(m.drop_prob) for m in model.layers] == [float, float]
    assert torch.compile(model, fullgraph=True, backend="eager")(x).shape == (2, 3)
    torch._dynamo.reset()


def test_version_warning(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compat.check_versions()
    monkeypatch.setattr(torch, "__version__", "9.0.0+cpu")
    with pytest.warns(UserWarning, match=r"torch >= 2.1, < 2.12, but torch 9.0.0\+cpu"):
        compat.check_versions()


def test_apply_once_and_light_import(monkeypatch):
    calls = []
    monkeypatch.setattr(compat, "register_checkpoint_loaders", lambda: calls.append(1))
    compat.apply()
    assert calls == []  # the registry has done it
    code = "import sys, mmwsol; print([m for m in ('torch', 'mmengine', 'cv2') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_types_of_foreign_configs_are_registered_classes(tmp_path, monkeypatch):
    from mmengine.registry import MODELS

    def build(name):
        MODELS.build(dict(type="os.mkdir", path=str(tmp_path / name)))

    build("breakage")
    assert (tmp_path / "breakage").is_dir()
    with compat.registered_types_only(), pytest.raises(KeyError, match="os.mkdir"):
        build("restricted")
    assert not (tmp_path / "restricted").exists()
    monkeypatch.setenv(compat.TRUST_VARIABLE, "1")
    with compat.registered_types_only():
        build("trusted")
    assert (tmp_path / "trusted").is_dir()
