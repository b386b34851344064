"""Files of weights that a config gives to timm: read here, in every form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mmwsol.models.weights import read_weights, unwrap
from mmwsol.models.wrapped_networks import timm_descriptions
from mmwsol.registry import MODELS


def build_with_timm_files(cfg: Any) -> Any:
    """Build a model of the registry; files of weights that its config gives to timm are read here, in every form.

    timm itself does not read TorchScript archives, and its errors do not say that a file holds no weights.
    """
    model = MODELS.build(read_timm_files(cfg))
    if isinstance(model, nn.Module):
        forget_timm_files(model)
    return model


def read_timm_files(cfg: Any) -> Any:
    """Replace ``pretrained_cfg_overlay=dict(file=PATH)`` anywhere in a config by the weights of the file.

    Of several sets of weights it is the averaged one (``state_dict_ema``, ``model_ema``), as timm takes it. numpy files
    of JAX are left to timm. So is ``pretrained=False``, where timm reads nothing.
    """
    if not isinstance(cfg, Mapping):
        return cfg
    read = {key: read_timm_files(value) for key, value in cfg.items()}
    overlay = read.get("pretrained_cfg_overlay")
    if not isinstance(overlay, Mapping):
        return read
    file = overlay.get("file")
    if file and read.get("pretrained") and not str(file).endswith((".npz", ".npy")):
        path, loaded = read_weights(str(file))
        averaged = [loaded[key] for key in ("state_dict_ema", "model_ema") if isinstance(loaded.get(key), Mapping)]
        weights = unwrap(averaged[0] if averaged else loaded, path)
        rest = {key: value for key, value in overlay.items() if key != "file"}
        read["pretrained_cfg_overlay"] = dict(rest, state_dict=weights)
    return read


def forget_timm_files(model: nn.Module) -> None:
    """Drop the weights that :func:`read_timm_files` gave to timm, which keeps them in the model's description."""
    for module in model.modules():
        for name, description in timm_descriptions(module).items():
            if description.get("state_dict"):
                setattr(module, name, {**description, "state_dict": None})
