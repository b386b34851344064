"""Transforms that carry ground-truth boxes and the frame."""

from .color import ColorJitter
from .formatting import PackLocInputs
from .geometric import (
    CenterCrop,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    Resize,
    ResizeEdge,
    TenCrop,
)
from .loading import LoadImage, LoadMasks, UnreadableImageError, decode_image

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "LoadImage",
    "LoadMasks",
    "PackLocInputs",
    "RandomCrop",
    "RandomFlip",
    "RandomResizedCrop",
    "Resize",
    "ResizeEdge",
    "TenCrop",
    "UnreadableImageError",
    "decode_image",
]
