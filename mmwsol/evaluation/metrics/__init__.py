"""Metrics of localization for mmengine's evaluator."""

from .base import BaseLocMetric
from .loc_accuracy import LocAccuracy
from .loc_baselines import LocBaselines
from .max_box_acc import MaxBoxAcc
from .pxap import PxAP

__all__ = ["BaseLocMetric", "LocAccuracy", "LocBaselines", "MaxBoxAcc", "PxAP"]
