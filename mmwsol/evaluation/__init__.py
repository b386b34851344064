"""Evaluation: functions in numpy (``functional``) and metrics for mmengine's evaluator."""

from .metrics import BaseLocMetric, LocAccuracy, LocBaselines, MaxBoxAcc, PxAP
from .protocols import protocol_metrics

__all__ = ["BaseLocMetric", "LocAccuracy", "LocBaselines", "MaxBoxAcc", "PxAP", "protocol_metrics"]
