"""Models: localizers, backbones, heads and the rules from map to box."""

from .backbones import VGG16CAM, ConformerFeatures, TapConformer, TapViT, TimmViT, TRTFeatures, TRTViT, ViTFeatures
from .data_preprocessor import LocDataPreprocessor
from .heads import BaseLocHead, ClsTokenHead, ConformerCAMHead, ConvCAMHead, LinearCAMHead, LocPrediction, TRTHead
from .localizers import ImageLocalizer
from .task_modules import *  # noqa: F403  (registers the box rules)

__all__ = [
    "BaseLocHead",
    "ClsTokenHead",
    "ConformerCAMHead",
    "ConformerFeatures",
    "ConvCAMHead",
    "ImageLocalizer",
    "LinearCAMHead",
    "LocDataPreprocessor",
    "LocPrediction",
    "TRTFeatures",
    "TRTHead",
    "TRTViT",
    "TapConformer",
    "TapViT",
    "TimmViT",
    "VGG16CAM",
    "ViTFeatures",
]
