"""Workarounds for breakages of the packages below mmwsol. Nothing is patched anywhere else.

Every workaround says what breaks and since when, is guarded by a condition, and has a test in
``tests/test_compat.py`` that fails without it. :func:`apply` runs at the import of
:mod:`mmwsol.registry`, thus before anything of mmwsol is built; a filter of warnings at that of :mod:`mmwsol`.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mmwsol.torch_files import TRUST_VARIABLE, check_content, refused
from mmwsol.weight_files import check_names, file_form, read_safetensors, read_script, take_weights

if TYPE_CHECKING:
    import torch
    from mmengine.config import Config

# Lowest tested version and first untested one, the same as in pyproject.toml.
TESTED_VERSIONS = {
    "torch": ("2.1", "2.12"),
    "torchvision": ("0.16", "0.27"),
    "numpy": ("1.26", "2.6"),
    "mmengine": ("0.10.7", "0.11"),
    "mmcv": ("2.1", "2.2"),
    "mmpretrain": ("1.2.0", "1.3"),
    "mmdet": ("3.3.0", "3.4"),
}

_applied = False


def apply() -> None:
    """Apply the workarounds that every use of mmwsol needs; later calls do nothing."""
    global _applied
    if _applied:
        return
    _applied = True
    check_versions()
    register_checkpoint_loaders()
    write_files_whole()


def write_files_whole() -> None:
    """Let mmengine write checkpoints beside their place and rename them.

    mmengine <= 0.10.7 writes in place: a kill or a full disk leaves half a file, where a whole one was before.
    """
    from mmengine.fileio.backends import LocalBackend

    from mmwsol.files import write_bytes

    def put(self: LocalBackend, obj: bytes, filepath: str | os.PathLike) -> None:
        write_bytes(os.fspath(filepath), obj)

    LocalBackend.put = put


def find_own_configs(find: Callable[[str, str], Any]) -> None:
    """Let ``_base_ = 'mmwsol::sat/sat_deit-s_cub.py'`` name a config of mmwsol from any folder; later calls do nothing.

    mmengine 0.10.7 has a table of the packages whose configs can be named so, and takes no hyphen in a folder's name.
    ``find`` gives the file of a base and a config that names it, or None, and mmengine finds it then.
    """
    from mmengine.config import Config
    from mmengine.config.utils import MODULE2PACKAGE

    if "mmwsol" in MODULE2PACKAGE:
        return
    MODULE2PACKAGE["mmwsol"] = "mmwsol"
    original = Config._get_cfg_path

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        own = find(cfg_path, filename)
        return original(cfg_path, filename) if own is None else (str(own), None)

    Config._get_cfg_path = staticmethod(get_cfg_path)


def ignore_mmcv_lite_warning() -> None:
    """Silence what mmcv-lite 2.1 says at every start: that an operator, unused here, needs compiled mmcv."""
    warnings.filterwarnings("ignore", message="Fail to import ``MultiScaleDeformableAttention``", category=UserWarning)


def check_versions() -> None:
    """Warn once about every imported package whose version the tests never ran on."""
    from mmengine.utils import digit_version

    for name, (low, high) in TESTED_VERSIONS.items():
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None and not digit_version(low) <= digit_version(version) < digit_version(high):
            warnings.warn(
                f"mmwsol is tested with {name} >= {low}, < {high}, but {name} {version} is installed.",
                stacklevel=2,
            )


# --- checkpoints of torch >= 2.6 -------------------------------------------------------------------------------------


def checkpoint_loaders_needed() -> bool:
    """Tell whether ``torch.load`` refuses pickled objects by default (torch >= 2.6)."""
    import torch
    from mmengine.utils import digit_version

    return digit_version(torch.__version__) >= digit_version("2.6")


def register_checkpoint_loaders() -> None:
    """Let mmengine read its own checkpoints on torch >= 2.6, and weights in all forms of :func:`load_checkpoint_file`.

    mmengine <= 0.10.7 calls ``torch.load(filename)``. Since torch 2.6 that means ``weights_only=True``, which refuses
    the ``HistoryBuffer`` and numpy objects that mmengine itself writes: ``load_from``, ``resume`` and a test from a
    checkpoint all end in ``UnpicklingError`` (mmengine issue 1655, pull requests 1650 and 1670). Files from the network
    go the other way: ``torch.hub`` unpickles them without any restriction. Both now use :func:`load_checkpoint_file`.
    The addresses ``torchvision://`` and ``open-mmlab://`` keep mmengine's loaders. On older versions of torch files are
    unpickled without restriction, as mmengine does there.
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    CheckpointLoader.register_scheme("", loader=load_from_local, force=True)
    CheckpointLoader.register_scheme(("http://", "https://"), loader=load_from_http, force=True)


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a checkpoint file; mmengine logs the name of this function."""
    filename = os.path.expanduser(filename)
    if not os.path.isfile(filename):
        is_folder = "is a folder: give the file of weights in it" if os.path.isdir(filename) else "does not exist"
        raise FileNotFoundError(f"checkpoint '{filename}' {is_folder}.")
    return load_checkpoint_file(filename, map_location)


def load_from_http(filename: str, map_location: Any = None, model_dir: str | None = None, progress: bool = True) -> Any:
    """Download a checkpoint once per machine into torch's hub folder (or ``model_dir``) and load it."""
    import torch
    from mmengine.dist import barrier, get_rank

    folder = model_dir or os.path.join(torch.hub.get_dir(), "checkpoints")
    path = os.path.join(folder, os.path.basename(filename.split("?")[0]))
    if get_rank() > 0:
        barrier()  # wait for the download of rank 0
    if not os.path.isfile(path):
        os.makedirs(folder, exist_ok=True)
        torch.hub.download_url_to_file(filename, path, progress=progress)
    if get_rank() == 0:
        barrier()
    return load_checkpoint_file(path, map_location)


def load_checkpoint_file(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Load a checkpoint, or weights in any form of release, without running code that its author may have put in.

    Forms are told apart by their content: files of ``torch.save`` (a checkpoint, weights by name, or weights in one of
    :data:`mmwsol.weight_files.CONTAINERS`), safetensors, and TorchScript archives of ``torch.jit.save``, whose weights
    are read and whose code is not.

    Only tensors, plain Python values and the few types that mmengine's own checkpoints hold are built. The environment
    variable ``MMWSOL_TRUST_CHECKPOINTS=1`` turns the restriction off, for files whose author is trusted; whole networks
    load then too.

    Args:
        filename: Path of the checkpoint.
        map_location: As for :func:`torch.load`, for files of ``torch.save``. Defaults to None.

    Returns:
        The contents, where ``state_dict`` has the weights by name.

    Raises:
        ValueError: If the file holds anything else: other types, which the message names; no weights; a web page, a Git
            LFS pointer, a picture, nothing, a part of a file, or a damaged one.
    """
    form = file_form(filename)
    if form == "safetensors":
        return dict(state_dict=read_safetensors(filename))
    if form == "script":
        return dict(state_dict=read_script(filename))
    loaded = _unpickle(filename, map_location)
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        check_names(loaded["state_dict"], filename)
        return dict(loaded)
    weights = take_weights(loaded, filename)
    if not isinstance(loaded, Mapping) or weights.keys() == loaded.keys():
        return dict(state_dict=weights)
    return {**loaded, "state_dict": weights}


def _unpickle(filename: str, map_location: Any) -> Any:
    """Load a file of ``torch.save``."""
    import torch

    check_content(filename)
    if os.environ.get(TRUST_VARIABLE) == "1" or not checkpoint_loaders_needed():
        return torch.load(filename, map_location=map_location, weights_only=False)
    already = torch.serialization.get_safe_globals()
    extra = [entry for entry in _checkpoint_globals() if entry not in already]
    with torch.serialization.safe_globals(extra):
        try:
            with _own_statistics():
                return _without_program(torch.load(filename, map_location=map_location, weights_only=True))
        except OSError:
            raise
        except Exception as error:  # a damaged file raises anything
            raise refused(filename, error) from error


def _without_program(loaded: Any) -> Any:
    """Drop ``meta['config']``: mmengine's ``Runner.resume`` runs it as Python (0.10.7), and never writes it."""
    meta = loaded.get("meta") if isinstance(loaded, dict) else None
    if isinstance(meta, dict):
        meta.pop("config", None)
    return loaded


@contextlib.contextmanager
def _own_statistics() -> Iterator[None]:
    """Forget what a file says of the statistics of ``HistoryBuffer``: mmengine keeps it for all of the process."""
    from mmengine.logging import HistoryBuffer

    before = dict(HistoryBuffer._statistics_methods)
    try:
        yield
    finally:
        HistoryBuffer._statistics_methods.clear()
        HistoryBuffer._statistics_methods.update(before)


def _history_statistic(owner: type, name: str) -> Any:
    """Stand in for ``getattr`` in pickles: it only gives the statistics of ``HistoryBuffer``.

    A ``HistoryBuffer`` pickles its methods as ``getattr(HistoryBuffer, 'mean')``. With the real one allowed, a forged
    file could walk from any allowed object to any function.
    """
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in ("min", "max", "current", "mean"):
        raise pickle.UnpicklingError(f"getattr({owner!r}, {name!r})")
    return getattr(owner, name)


def _checkpoint_globals() -> list[Any]:
    """List what mmengine checkpoints hold besides tensors, as (object, name in the pickle)."""
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer

    from mmwsol.plain_pickle import STAND_INS

    return [
        (HistoryBuffer, "mmengine.logging.history_buffer.HistoryBuffer"),
        (_history_statistic, "builtins.getattr"),
        (ConfigDict, "mmengine.config.config.ConfigDict"),  # meta information given in a config
        (argparse.Namespace, "argparse.Namespace"),  # many official releases store their options
        *((stand_in, name) for name, stand_in in STAND_INS.items()),
    ]


@contextlib.contextmanager
def registered_types_only() -> Iterator[None]:
    """Let ``type=`` name registered classes only inside the block, for configs out of checkpoints.

    mmengine's registries fall back to any importable Python object (``type='os.system'``, 0.8 to 0.10.7), and import
    the package that a type or scope begins with (``type='pkg.X'``, from any folder on the path). Inside the block they
    do neither: only the packages that mmwsol is built on are imported. ``MMWSOL_TRUST_CHECKPOINTS=1`` turns the
    restriction off.
    """
    from mmengine.registry import registry

    original, import_module = registry.get_object_from_string, registry.import_module

    def import_known(name: str) -> Any:
        if name.split(".")[0] not in ("mmengine", "mmcv", "mmpretrain", "mmwsol"):
            raise ImportError(f"the package of '{name}' is not imported for a config out of a checkpoint.")
        return import_module(name)

    if os.environ.get(TRUST_VARIABLE) != "1":
        registry.get_object_from_string = lambda name: None
        registry.import_module = import_known
    try:
        yield
    finally:
        registry.get_object_from_string = original
        registry.import_module = import_module


# --- distributed runs without a GPU ----------------------------------------------------------------------------------


def cpu_distributed_needed(launcher: str) -> bool:
    """Tell whether a distributed run was asked for on a machine without accelerator."""
    from mmengine.device import get_device

    return launcher != "none" and get_device() == "cpu"


def init_cpu_distributed(cfg: Config) -> None:
    """Start the process group of a distributed run on the CPU, with gloo.

    mmengine <= 0.10.7 cannot: ``init_dist`` calls ``torch.cuda.set_device`` on any machine, and ``Runner.wrap_model``
    passes ``device_ids`` to ``DistributedDataParallel``, which refuses them for CPU modules (so does its main branch).
    Here ``set_device`` is a no-op while the group starts (the Runner then finds it running), and ``cfg`` gets a model
    wrapper without ``device_ids``. Does nothing where a GPU is present or ``cfg.launcher`` is 'none'.

    Args:
        cfg: ``launcher`` and ``env_cfg`` are read, ``env_cfg.dist_cfg.backend`` and ``model_wrapper_cfg`` are written.
    """
    launcher = cfg.get("launcher", "none")
    if not cpu_distributed_needed(launcher):
        return
    from mmengine.dist import init_dist, is_distributed
    from mmengine.utils.dl_utils import set_multi_processing

    env_cfg = cfg.setdefault("env_cfg", {})
    env_cfg.setdefault("dist_cfg", {})["backend"] = "gloo"
    wrapper = dict(cfg.get("model_wrapper_cfg") or {})
    if wrapper.get("type", "MMDistributedDataParallel") == "MMDistributedDataParallel":
        wrapper["type"] = "mmwsol.CPUDistributedDataParallel"
        wrapper.setdefault("broadcast_buffers", False)
        wrapper.setdefault("find_unused_parameters", cfg.get("find_unused_parameters", False))
        cfg["model_wrapper_cfg"] = wrapper
    if not is_distributed():
        set_multi_processing(**env_cfg.get("mp_cfg", {}), distributed=True)
        with without_set_device():
            init_dist(launcher, **env_cfg["dist_cfg"])


def init_distributed(cfg: Config) -> None:
    """Start the process group of a distributed run before its Runner does, which then finds it running.

    The share of a rank in the batch depends on the number of ranks, and a Runner needs it from the start.
    Does nothing if ``cfg.launcher`` is 'none'.

    Args:
        cfg: Config of the run; :func:`init_cpu_distributed` says what is written in it without a GPU.
    """
    from mmengine.dist import init_dist, is_distributed
    from mmengine.utils.dl_utils import set_multi_processing

    init_cpu_distributed(cfg)
    launcher = cfg.get("launcher", "none")
    if launcher != "none" and not is_distributed():
        env_cfg = cfg.get("env_cfg") or {}
        set_multi_processing(**env_cfg.get("mp_cfg", {}), distributed=True)
        init_dist(launcher, **env_cfg.get("dist_cfg", {}))


def finish_distributed() -> None:
    """Leave the process group, if there is one; call it last, when no Runner is in use any more.

    NCCL complains at exit if nobody does. With gloo the process may even abort ("terminate called without an active
    exception", seen with torch 2.11): a Runner is part of reference cycles, so that its wrapped model keeps the group
    and its threads alive until the interpreter shuts down, when a thread that then asks for the GIL is killed. The
    collection here frees the group before.
    """
    import torch.distributed as torch_dist

    if torch_dist.is_available() and torch_dist.is_initialized():
        gc.collect()
        torch_dist.barrier()
        torch_dist.destroy_process_group()


@contextlib.contextmanager
def without_set_device() -> Iterator[None]:
    """Make ``torch.cuda.set_device`` a no-op inside the block, if there is no CUDA."""
    import torch

    original = torch.cuda.set_device
    if not torch.cuda.is_available():
        torch.cuda.set_device = lambda device: None
    try:
        yield
    finally:
        torch.cuda.set_device = original


# --- torch.compile ---------------------------------------------------------------------------------------------------


def float_drop_path(model: torch.nn.Module) -> None:
    """Turn the rates of ``DropPath`` layers into Python floats, in place.

    mmpretrain <= 1.2.0 takes them from ``np.linspace``; ``torch.compile`` breaks the graph at every ``np.float64``, so
    that ``fullgraph=True`` fails on its vision transformers, in eval mode too.

    Args:
        model: Layers are found by their ``drop_prob`` attribute.
    """
    for module in model.modules():
        rate = getattr(module, "drop_prob", None)
        if rate is not None and type(rate) is not float:
            setattr(module, "drop_prob", float(rate))  # noqa: B010  (mypy sees Tensor | Module)
