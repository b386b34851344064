"""Localization heads: class scores and maps."""

from .base import BaseLocHead, LocPrediction
from .cls_token_head import ClsTokenHead
from .conv_cam_head import ConvCAMHead

__all__ = ["BaseLocHead", "ClsTokenHead", "ConvCAMHead", "LocPrediction"]
