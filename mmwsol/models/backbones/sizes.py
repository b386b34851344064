"""Sizes that a backbone is made for, by the attributes that backbones of mmpretrain have."""

from __future__ import annotations

from typing import Any

from mmpretrain.models.utils import to_2tuple
from torch import nn


def image_size(backbone: nn.Module) -> tuple[int, int] | None:
    """Return (H, W) of the images that the position embeddings are made for; None if the backbone has no such size."""
    size: Any = getattr(backbone, "img_size", None)
    return size if size is None else to_2tuple(size)


def patch_size(backbone: nn.Module) -> tuple[int, int]:
    """Return (H, W) of a transformer's patches, which must divide images; (1, 1) for other backbones."""
    return to_2tuple(getattr(backbone, "patch_size", 1))
