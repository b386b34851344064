"""Localization heads: class scores and maps."""

from .base import BaseLocHead, LocPrediction
from .cls_token_head import ClsTokenHead
from .conformer_cam_head import ConformerCAMHead
from .conv_cam_head import ConvCAMHead
from .linear_cam_head import LinearCAMHead
from .sat_head import SATHead
from .trt_head import TRTHead

__all__ = [
    "BaseLocHead",
    "ClsTokenHead",
    "ConformerCAMHead",
    "ConvCAMHead",
    "LinearCAMHead",
    "LocPrediction",
    "SATHead",
    "TRTHead",
]
