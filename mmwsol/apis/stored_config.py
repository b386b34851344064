"""What is taken from the config in a checkpoint, and what it may hold.

A checkpoint comes from anybody. Reading its config runs nothing (:mod:`mmwsol.utils.config_text`), but building from it
could: mmengine imports packages that a type names, some registered classes evaluate their options as Python, others
read config files. So only the parts that inference needs are taken, and each type in them must be one of mmwsol's
registries or of :data:`LISTED`, with options that it is known to have.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from mmwsol.compat import TRUST_VARIABLE
from mmwsol.datasets.wrappers import inner_config
from mmwsol.registry import DATASETS, MODELS, TASK_UTILS, TRANSFORMS

SCOPES = ("mmengine", "mmpretrain", "mmwsol")
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")

# Types of other packages, and the options that may be given to them. 'unet' and 'ppd' are generators of LocLoc.
LISTED: dict[str, frozenset[str]] = {
    "Pretrained": frozenset({"checkpoint", "prefix"}),
    "mmpretrain.LabelSmoothLoss": frozenset({"label_smooth_val", "mode", "loss_weight", "num_classes"}),
    "mmpretrain.ResNet": frozenset({"base_channels", "depth", "drop_path_rate", "strides", "zero_init_residual"}),
    "ppd": frozenset({"deconv_channels", "stem_channels"}),
    "unet": frozenset({"base_channels", "deconv_channels", "fix_unet_skip", "unet_channels"}),
}

# Options with text that types of mmwsol hand on to other classes. Numbers are handed on whatever their name is.
HANDED_ON = frozenset({"default_box", "preset"})

# Options with the address of weights that inference does not load.
UNREAD = ("checkpoint", "fc_weights")

# Types of mmwsol that belong to mmdet, one of which reads config files: a detector needs its own config.
REFUSED = frozenset({"FeatureMaps", "SimpleFeaturePyramid", "WSOLDetector"})


@contextlib.contextmanager
def plain_errors(source: str) -> Iterator[None]:
    """Turn whatever building from a stranger's config raises into an error that names the checkpoint.

    Raises:
        ValueError: Instead of errors of Python and its libraries.
    """
    try:
        yield
    except (AssertionError, AttributeError, ArithmeticError, LookupError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"the config in '{source}' makes no localizer ({type(error).__name__}: {reason}). Pass the config too."
        ) from error


def inference_config(config: Config, source: str) -> Config:
    """Take what inference needs from the config of a checkpoint.

    Args:
        config: The config, as :func:`mmwsol.utils.config_text.read_config_text` gives it.
        source: Name of the checkpoint, for messages.

    Returns:
        ``default_scope``, ``model`` with today's options, the drawing options of ``visualizer``, and of each dataloader
        type, class names and, but for training, pipeline of its data set. The whole config if
        ``MMWSOL_TRUST_CHECKPOINTS=1``.

    Raises:
        ValueError: If there is a type that is not known, or an option that a type has not. The message names it.
    """
    _translate(config.get("model"))
    if os.environ.get(TRUST_VARIABLE) == "1":
        return config
    try:
        kept = _kept(config.to_dict())
        _check_scope(kept["default_scope"])
        _check(kept["model"], "model", (MODELS, TASK_UTILS))
        for name in LOADERS:
            dataset = kept.get(name, {}).get("dataset", {})
            _check(dataset.get("pipeline"), f"{name}.dataset.pipeline", (TRANSFORMS,))
            if "type" in dataset:
                _find(dataset["type"], f"{name}.dataset", (DATASETS,))
    except ValueError as error:
        raise ValueError(
            f"the config in '{source}' is not used: {error}. A type of your own is taken if it is registered in a "
            f"registry of mmwsol ('mmwsol.NAME'). Pass the config too or, if you trust the author, set "
            f"{TRUST_VARIABLE}=1."
        ) from error
    return Config(kept)


def _translate(model: Any) -> None:
    """Write options of older versions as those of today, in place: ``TapViT`` took ``stem_channels``, no ``stem``."""
    backbone = model.get("backbone") if isinstance(model, dict) else None
    if isinstance(backbone, dict) and str(backbone.get("type")).startswith("mmwsol.") and "stem_channels" in backbone:
        channels = backbone.pop("stem_channels")
        backbone["stem"] = None if channels is None else dict(type="mmwsol.ConvStem", channels=channels)


def _kept(config: dict[str, Any]) -> dict[str, Any]:
    """Return copies of the parts that inference needs."""
    if not isinstance(config.get("model"), dict):
        raise ValueError("it has no model")
    kept: dict[str, Any] = dict(default_scope=config.get("default_scope") or "mmpretrain", model=config["model"])
    for name in LOADERS:
        loader = config.get(name)
        dataset = loader.get("dataset") if isinstance(loader, dict) else None
        if not isinstance(dataset, dict):
            continue
        dataset = inner_config(dataset)
        if not isinstance(dataset, dict):
            raise ValueError(f"{name}.dataset is {type(dataset).__name__}, not a dict")
        keys = ["type", "metainfo"] + (["pipeline"] if name != "train_dataloader" else [])
        kept[name] = dict(dataset={key: dataset[key] for key in keys if key in dataset})
    visualizer = config.get("visualizer")
    if isinstance(visualizer, dict) and visualizer.get("type") == "mmwsol.LocVisualizer":
        keys = ["type", "panels", "target", "map_range"]
        kept["visualizer"] = {key: visualizer[key] for key in keys if key in visualizer}
    return kept


def _check(value: Any, place: str, registries: tuple[Registry, ...]) -> None:
    """Check all types inside a value and their options."""
    if isinstance(value, dict):
        if "_scope_" in value:
            _check_scope(value["_scope_"])
        if "type" in value:
            _check_options(value, place, registries)
        for key, item in value.items():
            _check(item, f"{place}.{key}", registries)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check(item, f"{place}.{index}", registries)


def _check_scope(scope: Any) -> None:
    if scope not in SCOPES:
        raise ValueError(f"its scope is {scope!r}, not one of {', '.join(SCOPES)}")


def _check_options(value: dict[str, Any], place: str, registries: tuple[Registry, ...]) -> None:
    """Check the options of a dict with a type; weights of timm are those of the checkpoint, never downloaded."""
    kind = value["type"]
    known_class = _find(kind, place, registries)
    known = LISTED[kind] if known_class is None else _options(known_class)
    unknown = [] if known is None else [key for key in value if key not in {*known, "type", "_scope_"}]
    if known_class is not None:
        unknown = [key for key in unknown if not _is_number(value[key])]
    if unknown:
        raise ValueError(f"{place}, {kind}, has the option '{unknown[0]}', which is not known")
    if kind == "mmwsol.TimmViT":
        value["pretrained"] = False
    for key, item in value.items():
        if key == "model_name" and ":" in str(item):  # timm reads 'hf-hub:...' and 'local-dir:...' from elsewhere
            raise ValueError(f"{place}.{key} is {item!r}, not the name of a network")
        if key not in UNREAD and isinstance(item, str) and "://" in item:
            raise ValueError(f"{place}.{key} is an address, {item!r}")


def _is_number(value: Any) -> bool:
    """Tell whether an option is a number, true or false, None, or a sequence of these."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_number, value))
    return value is None or isinstance(value, (bool, int, float))


def _find(kind: Any, place: str, registries: tuple[Registry, ...]) -> type | None:
    """Return the class of mmwsol that a type names, or None for one of :data:`LISTED`."""
    if isinstance(kind, str) and kind in LISTED:
        return None
    scope, _, name = str(kind).partition(".")
    if isinstance(kind, str) and scope == "mmwsol" and name.isidentifier() and name not in REFUSED:
        for registry in registries:
            try:
                registered = registry.get(kind)
            except KeyError:
                continue
            if registered is not None:
                return registered
    raise ValueError(f"{place} has the type {kind!r}, which is not known here")


def _options(kind: type) -> set[str] | None:
    """Return the options of a class of mmwsol: its own, and those that are handed on. None: of a user's class, any."""
    if not kind.__module__.startswith("mmwsol."):
        return None
    names: set[str] = set()
    for base in inspect.getmro(kind):
        if "__init__" in vars(base) and base.__module__.startswith("mmwsol."):
            names |= set(inspect.signature(vars(base)["__init__"]).parameters)
    return names | HANDED_ON
