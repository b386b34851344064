"""The official release ``tscam``: vasgaowei/TS-CAM, its DeiT, Conformer and VGG16 models.

The head becomes ``head.conv`` of DeiT, ``head.conv`` and ``head.fc`` of Conformer, ``head.fc`` of VGG16, which is CAM.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmwsol.models.official_networks import (
    has_vgg16_features,
    has_vit_blocks,
    is_convolution,
    rename_conformer,
    rename_vit,
)
from mmwsol.models.weights import Release, register_release


def rename_ts_cam(name: str) -> str | None:
    """Rename a weight."""
    if name.startswith("head."):  # DeiT
        return name.replace("head.", "head.conv.")
    if name.startswith("fc."):  # VGG16
        return f"head.{name}"
    if name.startswith(("features.", "conv6.")):
        return f"backbone.{name}"
    return rename_vit(name) or rename_conformer(name)


def _recognize(weights: Mapping[str, Tensor]) -> bool:
    """The classifier is a convolution, or VGG16 has one layer more than torchvision's."""
    deit = has_vit_blocks(weights) and is_convolution(weights, "head.weight")
    vgg16 = has_vgg16_features(weights) and is_convolution(weights, "conv6.weight")
    conformer = "trans_patch_conv.weight" in weights and is_convolution(weights, "trans_cls_head.weight")
    return deit or vgg16 or conformer


register_release(Release("tscam", rename_ts_cam, _recognize))
