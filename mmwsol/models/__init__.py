"""What methods share: localizer, head contract, backbones, box rules, official weights."""

from . import official_networks
from .backbones import VGG16CAM, TapConformer, TapViT, TimmCNN, TimmViT, TorchvisionCNN
from .box_rules import ComponentBox, ContourBox
from .data_preprocessor import LocDataPreprocessor
from .features import Features
from .heads import Batch, ClsTokenHead, LocHead, LocPrediction, MapLoss
from .localizer import ImageLocalizer

__all__ = [
    "Batch",
    "ClsTokenHead",
    "ComponentBox",
    "ContourBox",
    "Features",
    "ImageLocalizer",
    "LocDataPreprocessor",
    "LocHead",
    "LocPrediction",
    "MapLoss",
    "TapConformer",
    "TapViT",
    "TimmCNN",
    "TimmViT",
    "TorchvisionCNN",
    "VGG16CAM",
    "official_networks",
]
