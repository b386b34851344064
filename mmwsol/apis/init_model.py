"""Build a model from a config, a name or a checkpoint."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from torch import nn

from mmwsol.apis.classifiers import ADDRESSES, classifier_config
from mmwsol.apis.stored_config import inference_config, plain_errors
from mmwsol.compat import registered_types_only
from mmwsol.datasets.class_names import LOADERS, check_same_names, checkpoint_names, config_names, is_permutation
from mmwsol.engine.stages import select_stage, stage_configs
from mmwsol.models import ImageLocalizer
from mmwsol.models.weight_values import load_tensors
from mmwsol.models.weights import closest_release, find_checkpoint, guess_source, unwrap
from mmwsol.registry import MODELS
from mmwsol.utils.config import load_config, merge_options
from mmwsol.utils.config_text import read_config_text


def init_model(
    config: str | Path | Config | None,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    stage: str | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> nn.Module:
    """Build a model and load its weights.

    Args:
        config: Config file, name of a config (:func:`list_models`), or config. None
            takes the one that is stored in the checkpoint, or makes that of a classifier, see ``checkpoint``.
        checkpoint: File, URL, or an ImageNet classifier by its address, 'timm://NAME' or 'torchvision://NAME'.
            Defaults to None: random weights.
        device: Defaults to None: the accelerator, if there is one.
        stage: Stage of the config. Defaults to None: the last one.
        cfg_options: Changes of the config, by dotted keys. Defaults to None.

    Returns:
        The model in evaluation mode, with its config as ``cfg`` and, where they are known, class names as
        ``dataset_meta['classes']``.

    Raises:
        FileNotFoundError: If config or checkpoint does not exist.
        ValueError: If the checkpoint does not fit, was trained with the config's class names in another order, or
            has no config where it is needed.
    """
    loaded = None if checkpoint is None else load_weights_file(checkpoint)
    with contextlib.ExitStack() as stack:
        if config is None:
            stack.enter_context(registered_types_only())
            stack.enter_context(plain_errors(str(checkpoint)))
        cfg = find_model_config(config, loaded, str(checkpoint), stage, cfg_options)
        return build_model(cfg, loaded, str(checkpoint), device)


def load_weights_file(checkpoint: str | Path) -> dict[str, Any]:
    """Read a checkpoint file or URL.

    Raises:
        FileNotFoundError: If it does not exist or cannot be downloaded.
    """
    path = find_checkpoint(str(checkpoint))
    try:
        return CheckpointLoader.load_checkpoint(path, map_location="cpu")
    except OSError as error:
        raise FileNotFoundError(f"cannot load the checkpoint '{checkpoint}': {error}") from error


def find_model_config(
    config: str | Path | Config | None,
    loaded: dict[str, Any] | None,
    source: str,
    stage: str | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> Config:
    """Return the config of one stage, from what :func:`init_model` takes.

    Args:
        config: File, name or config; None: that of the checkpoint.
        loaded: Contents of the checkpoint.
        source: Its name, for error messages.
        stage: Stage of the config. Defaults to None: the last one.
        cfg_options: Changes of the config. Defaults to None.

    Raises:
        ValueError: If there is no config.
    """
    if config is None:
        if loaded is None:
            raise ValueError("give a config, the name of one, or a checkpoint that holds its config.")
        if source.startswith(ADDRESSES):
            return classifier_config(source, loaded)
        whole = inference_config(read_config_text(_stored_config(loaded, source), source), source)
    elif isinstance(config, (str, Path)):
        whole = load_config(config, cfg_options)
    else:
        whole = Config(config) if isinstance(config, dict) else copy.deepcopy(config)
    if cfg_options and not isinstance(config, (str, Path)):
        merge_options(whole, cfg_options)
    cfg = select_stage(stage_configs(whole, cfg_options), stage).cfg
    if cfg.get("model") is None:
        raise ValueError(f"the config '{config or source}' has no model.")
    return cfg


def build_model(
    cfg: Config, loaded: dict[str, Any] | None, source: str, device: str | torch.device | None = None
) -> nn.Module:
    """Build the model of a config and load the contents of a checkpoint into it; see :func:`init_model`."""
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    model = MODELS.build(cfg.model)
    if loaded is not None:
        unexpected = load_weights(model, loaded, source)
        if unexpected:
            MMLogger.get_current_instance().warning(
                f"'{source}' has {len(unexpected)} tensors that the model has not, such as {', '.join(unexpected[:3])}."
            )
    model.cfg = cfg
    model.dataset_meta = _dataset_meta(cfg, loaded, source)
    if isinstance(model, ImageLocalizer) and not model.has_classifier:  # all it knows is where the object is
        model.head = MODELS.build(dict(cfg.model.head, num_classes=1))
        model.dataset_meta = dict(classes=("object",))
    try:
        return model.to(device or get_device()).eval()
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"device '{device}' cannot be used: {error}") from error


def _stored_config(loaded: dict[str, Any], source: str) -> str:
    text = _part(loaded, "message_hub", "runtime_info").get("cfg") or _part(loaded, "meta").get("cfg")
    if not isinstance(text, str):
        raise ValueError(
            f"'{source}' holds no config: it was not written by a training run of mmengine. Pass the config too (of an "
            "ImageNet classifier such as --model cam_resnet50_imagenet, see 'mmwsol list \"*imagenet\"')."
        )
    return text


def _part(loaded: Any, *names: str) -> Mapping[str, Any]:
    """Return a dict inside a checkpoint, {} where there is none: a stranger's file may hold anything."""
    for name in names:
        loaded = loaded.get(name) if isinstance(loaded, Mapping) else None
    return loaded if isinstance(loaded, Mapping) else {}


def load_weights(model: nn.Module, loaded: dict[str, Any], source: str) -> list[str]:
    """Load the weights of a checkpoint; all of the model's own must be there.

    Except a calibrated threshold of the box rule: a converted release has none. Boxes are then refused until there is
    one. A release of a network that classifies as the model does, such as timm's ResNet for CAM, is taken as it is.

    Args:
        model: The model, without wrappers.
        loaded: Contents of the checkpoint, see :func:`load_weights_file`.
        source: Its name, for error messages.

    Returns:
        Names of weights that the model has not.

    Raises:
        ValueError: If weights are missing or have other shapes, or the checkpoint is an official release.
    """
    weights = unwrap(loaded)
    whole = model.take_release(weights) if isinstance(model, ImageLocalizer) else None
    release = guess_source(weights)
    if whole is not None:
        weights = whole
    elif release is not None:
        raise ValueError(
            f"'{source}' is an official release. Convert it first: python "
            f"tools/model_converters/convert_official.py {source} converted.pth --source {release}"
        )
    hint = "it belongs to another config, or to another stage of it (--stage NAME; in Python, stage=)"
    if whole is None and not any(name.startswith("backbone.") for name in weights):
        hint = f"{hint}, or is of another package. {closest_release(weights).removesuffix('.')}"
    return load_tensors(model, weights, source, "model", hint, allow_missing=["*map_to_box.threshold"])[1]


def _dataset_meta(cfg: Config, loaded: dict[str, Any] | None, source: str) -> dict[str, Any]:
    """Return the class names that the checkpoint, the config or the data set's class knows, in this order.

    Raises:
        ValueError: If checkpoint and config have the same names in different orders. Other names are a warning: the
            model predicts those that it was trained with.
    """
    known = ((loader, config_names((cfg.get(loader) or {}).get("dataset"))) for loader in LOADERS)
    loader, stated = next(((loader, names) for loader, names in known if names is not None), ("", None))
    trained = checkpoint_names(loaded, source)
    try:
        check_same_names(stated, trained, f"{loader} of the config", f"the checkpoint '{source}'")
    except ValueError as error:
        if is_permutation(stated or (), trained or ()):
            raise
        MMLogger.get_current_instance().warning(f"{error} Predictions have the names of the checkpoint.")
    names = trained or stated
    return {} if names is None else dict(classes=names)
