"""Models: localizers, backbones, heads and the rules from map to box."""

from .backbones import (
    VGG16CAM,
    ConformerFeatures,
    SATConformer,
    SATConformerFeatures,
    SATViT,
    TapConformer,
    TapViT,
    TimmViT,
    TRTFeatures,
    TRTViT,
    ViTFeatures,
)
from .data_preprocessor import LocDataPreprocessor
from .heads import (
    BaseLocHead,
    ClsTokenHead,
    ConformerCAMHead,
    ConvCAMHead,
    LinearCAMHead,
    LocPrediction,
    SATHead,
    TRTHead,
)
from .localizers import ImageLocalizer
from .losses import BatchAreaLoss, MapNormalizationLoss
from .task_modules import *  # noqa: F403  (registers the box rules)

__all__ = [
    "BaseLocHead",
    "BatchAreaLoss",
    "ClsTokenHead",
    "ConformerCAMHead",
    "ConformerFeatures",
    "ConvCAMHead",
    "ImageLocalizer",
    "LinearCAMHead",
    "LocDataPreprocessor",
    "LocPrediction",
    "MapNormalizationLoss",
    "SATHead",
    "SATConformer",
    "SATConformerFeatures",
    "SATViT",
    "TRTFeatures",
    "TRTHead",
    "TRTViT",
    "TapConformer",
    "TapViT",
    "TimmViT",
    "VGG16CAM",
    "ViTFeatures",
]
