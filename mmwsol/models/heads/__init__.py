"""Localization heads: class scores and maps."""

from .base import BaseLocHead, LocPrediction
from .cdtr_head import CDTRHead
from .cls_token_head import ClsTokenHead
from .conformer_cam_head import ConformerCAMHead
from .conv_cam_head import ConvCAMHead
from .dips_head import DiPSDecoder, DiPSHead
from .lctr_head import LCTRHead
from .linear_cam_head import LinearCAMHead
from .locloc_head import LocLocHead
from .sat_head import SATHead
from .trt_head import TRTHead

__all__ = [
    "BaseLocHead",
    "CDTRHead",
    "ClsTokenHead",
    "ConformerCAMHead",
    "ConvCAMHead",
    "DiPSDecoder",
    "DiPSHead",
    "LCTRHead",
    "LinearCAMHead",
    "LocLocHead",
    "LocPrediction",
    "SATHead",
    "TRTHead",
]
