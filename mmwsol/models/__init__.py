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
from .clip_encoders import OpenCLIP, StandInCLIP, TimmCLIP
from .data_preprocessor import LocDataPreprocessor
from .heads import (
    BaseLocHead,
    CDTRHead,
    ClsTokenHead,
    ConformerCAMHead,
    ConvCAMHead,
    LCTRHead,
    LinearCAMHead,
    LocLocHead,
    LocPrediction,
    SATHead,
    TRTHead,
)
from .localizers import ImageLocalizer
from .losses import (
    AutomaticWeightedLoss,
    BatchAreaLoss,
    MapNormalizationLoss,
    NoiseSuppressionLoss,
    ObjectAwakeningLoss,
    SemanticBoostLoss,
)
from .task_modules import *  # noqa: F403  (registers the box rules)

__all__ = [
    "AutomaticWeightedLoss",
    "BaseLocHead",
    "BatchAreaLoss",
    "CDTRHead",
    "ClsTokenHead",
    "ConformerCAMHead",
    "ConformerFeatures",
    "ConvCAMHead",
    "ImageLocalizer",
    "LCTRHead",
    "LinearCAMHead",
    "LocDataPreprocessor",
    "LocLocHead",
    "LocPrediction",
    "MapNormalizationLoss",
    "NoiseSuppressionLoss",
    "ObjectAwakeningLoss",
    "OpenCLIP",
    "SATConformer",
    "SATConformerFeatures",
    "SATHead",
    "SATViT",
    "SemanticBoostLoss",
    "StandInCLIP",
    "TRTFeatures",
    "TRTHead",
    "TRTViT",
    "TapConformer",
    "TapViT",
    "TimmCLIP",
    "TimmViT",
    "VGG16CAM",
    "ViTFeatures",
]
