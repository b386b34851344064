"""Localization heads: their contract, and the plain classifier."""

from .base import Batch, LocHead, LocPrediction, MapLoss, select_maps
from .cls_token_head import ClsTokenHead

__all__ = ["Batch", "ClsTokenHead", "LocHead", "LocPrediction", "MapLoss", "select_maps"]
