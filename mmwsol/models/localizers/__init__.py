"""Localizers: whole models that mmengine runs."""

from .image_localizer import ImageLocalizer

__all__ = ["ImageLocalizer"]
