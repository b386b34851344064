"""Backbones that hand out what localization heads read."""

from .tap_vit import TapViT, ViTFeatures

__all__ = ["TapViT", "ViTFeatures"]
