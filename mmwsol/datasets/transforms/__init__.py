"""Transforms that carry ground-truth boxes and the frame."""

from .color import ColorJitter
from .formatting import PackLocInputs
from .frame import apply_frame
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
from .proposals import LoadProposals
from .pseudo_masks import LoadPseudoMask, RevealRandomBox

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "LoadImage",
    "LoadMasks",
    "LoadPseudoMask",
    "LoadProposals",
    "PackLocInputs",
    "RandomCrop",
    "RandomFlip",
    "RandomResizedCrop",
    "Resize",
    "ResizeEdge",
    "RevealRandomBox",
    "TenCrop",
    "UnreadableImageError",
    "apply_frame",
    "decode_image",
]
