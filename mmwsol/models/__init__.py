"""Models: localizers, backbones, heads and the rules from map to box."""

from .backbones import TapViT, ViTFeatures
from .data_preprocessor import LocDataPreprocessor
from .heads import BaseLocHead, ClsTokenHead, ConvCAMHead, LocPrediction
from .localizers import ImageLocalizer
from .task_modules import *  # noqa: F403  (registers the box rules)

__all__ = [
    "BaseLocHead",
    "ClsTokenHead",
    "ConvCAMHead",
    "ImageLocalizer",
    "LocDataPreprocessor",
    "LocPrediction",
    "TapViT",
    "ViTFeatures",
]
