"""Losses of localization maps."""

from .automatic_weighted_loss import AutomaticWeightedLoss
from .batch_area_loss import BatchAreaLoss
from .map_normalization_loss import MapNormalizationLoss
from .noise_suppression_loss import NoiseSuppressionLoss
from .object_awakening_loss import ObjectAwakeningLoss
from .semantic_boost_loss import SemanticBoostLoss

__all__ = [
    "AutomaticWeightedLoss",
    "BatchAreaLoss",
    "MapNormalizationLoss",
    "NoiseSuppressionLoss",
    "ObjectAwakeningLoss",
    "SemanticBoostLoss",
]
