"""Losses of localization maps."""

from .batch_area_loss import BatchAreaLoss
from .map_normalization_loss import MapNormalizationLoss

__all__ = ["BatchAreaLoss", "MapNormalizationLoss"]
