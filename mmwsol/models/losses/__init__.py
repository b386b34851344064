"""Losses of localization maps."""

from .automatic_weighted_loss import AutomaticWeightedLoss
from .batch_area_loss import BatchAreaLoss
from .dense_crf_loss import DenseCRFLoss
from .map_normalization_loss import MapNormalizationLoss
from .noise_suppression_loss import NoiseSuppressionLoss
from .object_awakening_loss import ObjectAwakeningLoss
from .partial_cross_entropy_loss import PartialCrossEntropyLoss
from .semantic_boost_loss import SemanticBoostLoss

__all__ = [
    "AutomaticWeightedLoss",
    "BatchAreaLoss",
    "DenseCRFLoss",
    "MapNormalizationLoss",
    "NoiseSuppressionLoss",
    "ObjectAwakeningLoss",
    "PartialCrossEntropyLoss",
    "SemanticBoostLoss",
]
