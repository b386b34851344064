"""Backbones that hand out what localization heads read."""

from .dips_vit import DiPSFeatures, DiPSViT
from .sat_conformer import SATConformer, SATConformerFeatures
from .sat_vit import SATViT
from .tap_conformer import ConformerFeatures, TapConformer
from .tap_vit import TapViT, ViTFeatures
from .timm_vit import TimmViT
from .trt_vit import TRTFeatures, TRTViT
from .vgg16_cam import VGG16CAM

__all__ = [
    "ConformerFeatures",
    "DiPSFeatures",
    "DiPSViT",
    "SATConformer",
    "SATConformerFeatures",
    "SATViT",
    "TRTFeatures",
    "TRTViT",
    "TapConformer",
    "TapViT",
    "TimmViT",
    "VGG16CAM",
    "ViTFeatures",
]
