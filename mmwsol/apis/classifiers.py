"""Localizers of classifiers that are named by the address of their weights alone: ``timm://NAME``, ``torchvision://NAME``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmwsol.utils.config import load_config

ADDRESSES = ("timm://", "torchvision://")
IMAGENET_CLASSES = 1000


def classifier_config(address: str, loaded: Mapping[str, Any]) -> Config:
    """Make the config of a classifier as a localizer: CAM, or attention for a plain vision transformer of timm.

    Args:
        address: 'timm://NAME' or 'torchvision://NAME[.VERSION]'.
        loaded: What was loaded from it.

    Raises:
        ValueError: If it is no transformer, and has no linear classifier.
    """
    hub, _, name = address.partition("://")
    weights = loaded["state_dict"]
    if hub == "timm" and {"blocks.0.norm1.weight", "patch_embed.proj.weight"} <= weights.keys():
        cfg = load_config("attention_dino-s_imagenet")
        channels = len(weights["patch_embed.proj.weight"])
    else:
        cfg = load_config("cam_resnet50_imagenet")
        channels = 0
    classifier = _classifier(hub, name, weights)
    if classifier is None and not channels:
        raise ValueError(f"'{address}' has no linear classifier, and CAM needs one: choose weights with classes.")
    cfg.model.head.in_channels = channels or classifier.shape[1]
    if classifier is not None:
        cfg.model.head.num_classes = len(classifier)
        if len(classifier) != IMAGENET_CLASSES:  # names are not known
            cfg.test_dataloader.dataset.metainfo = dict(classes=[str(label) for label in range(len(classifier))])
    if hub == "torchvision":
        cfg.model.backbone = dict(type="mmwsol.TorchvisionCNN", model_name=name.partition(".")[0])
    else:
        cfg.model.backbone.model_name = name
    cfg.model.init_cfg.checkpoint = address
    return cfg


def _classifier(hub: str, name: str, weights: Mapping[str, Any]) -> Any:
    """Return the weight (C, D) of the classifier, None if there is none."""
    if hub == "timm":
        import timm

        description: Any = timm.get_pretrained_cfg(name)
        layers = description.classifier
        layer = layers if isinstance(layers, str) else (layers or [""])[0]
        found = weights.get(f"{layer}.weight")
    else:
        found = next((value for key, value in reversed(list(weights.items())) if key.endswith(".weight")), None)
    return found if found is not None and found.ndim == 2 else None
