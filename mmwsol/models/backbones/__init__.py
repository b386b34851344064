"""Backbones that hand out what localization heads read."""

from .pooled_cnn import TimmCNN, TorchvisionCNN
from .tap_conformer import TapConformer
from .tap_vit import TapViT
from .timm_stem import TimmStem
from .timm_vit import TimmViT
from .vgg16_cam import VGG16CAM

__all__ = [
    "TapConformer",
    "TapViT",
    "TimmCNN",
    "TimmStem",
    "TimmViT",
    "TorchvisionCNN",
    "VGG16CAM",
]
