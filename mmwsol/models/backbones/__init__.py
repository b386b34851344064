"""Backbones that hand out what localization heads read."""

from .tap_conformer import ConformerFeatures, TapConformer
from .tap_vit import TapViT, ViTFeatures
from .timm_vit import TimmViT
from .vgg16_cam import VGG16CAM

__all__ = ["VGG16CAM", "ConformerFeatures", "TapConformer", "TapViT", "TimmViT", "ViTFeatures"]
