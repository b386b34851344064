"""Backbones that wrap a whole network of timm or torchvision: its images, and what its own names become."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def timm_descriptions(module: nn.Module) -> dict[str, dict]:
    """Return what timm has noted about the weights of a network, by attribute; {} for all other modules."""
    noted = {name: vars(module).get(name) for name in ("pretrained_cfg", "default_cfg")}
    return {name: description for name, description in noted.items() if isinstance(description, dict)}


def pixel_statistics(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return RGB mean and standard deviation (3,), in 0-255, of the images that a network of timm was trained on."""
    description = timm_descriptions(network)["pretrained_cfg"]
    mean, std = (tuple(255 * float(value) for value in description[name]) for name in ("mean", "std"))
    return mean, std


def channels_last(images: Tensor) -> Tensor:
    """Lay out images (B, 3, H, W) for convolutions: channels last on a CPU, which is faster there."""
    return images.contiguous(memory_format=torch.channels_last) if images.device.type == "cpu" else images


def wrapped_names(weights: Mapping[str, Tensor], backbone: Any) -> dict[str, Tensor] | None:
    """Rename a network's own weights for a backbone that wraps it; None if they are not that network's.

    The classifier becomes ``head.fc``. Its name is timm's, or the backbone's attribute ``classifier``. Other names are
    those of the network, also where timm's ``features_only`` has changed them.
    """
    for attribute, network in backbone.named_children() if isinstance(backbone, nn.Module) else ():
        description: Any = timm_descriptions(network).get("pretrained_cfg") or {}
        classifier = description.get("classifier") or getattr(backbone, "classifier", None)
        if isinstance(classifier, (list, tuple)):  # of a distilled network: the second one imitates a teacher
            classifier = classifier[0]
        if classifier is None and not description:  # features_only of timm has none
            continue
        network_names = network.state_dict().keys()
        own_names = {name: _own_name(name, network_names) for name in weights}
        if sum(name in network_names for name in own_names.values()) <= len(network_names) // 2:
            continue
        renamed = {}
        for name, value in weights.items():
            layer, _, kind = name.rpartition(".")
            renamed[f"head.fc.{kind}" if layer == classifier else f"backbone.{attribute}.{own_names[name]}"] = value
        return renamed
    return None


def _own_name(name: str, network_names: Collection[str]) -> str:
    """Return what a released name is in a network: ``features_only`` of timm makes 'stages_0' or 'model.stages.0'."""
    forms = (name, name.replace(".", "_", 1), f"model.{name}", f"body.{name}")
    return next((form for form in forms if form in network_names), name)
