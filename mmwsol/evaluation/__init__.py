"""Evaluation: functions in numpy (``functional``), protocols, and metrics for mmengine's evaluator."""

from .metrics import BaseLocMetric, LocAccuracy, LocBaselines, MaxBoxAcc, PxAP
from .protocols import PROTOCOLS, Protocol, get_protocol, protocol_metrics
from .record import Record

__all__ = [
    "PROTOCOLS",
    "BaseLocMetric",
    "LocAccuracy",
    "LocBaselines",
    "MaxBoxAcc",
    "Protocol",
    "PxAP",
    "Record",
    "get_protocol",
    "protocol_metrics",
]
