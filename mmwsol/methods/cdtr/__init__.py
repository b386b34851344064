"""CDTR: CLIP-driven transformer (Chen et al., TPAMI 2025).

CATR with two more parts: a deformable convolution ties attention and class maps (SKI), and CLIP compares the masked
image with the text of its class (SBA).

    head.py                 CATR's head with SKI
    semantic_boost_loss.py  SBA, for any head that makes a map with gradient
    clip_encoders.py        CLIP's image tower
    text_embeddings.py      files of CLIP's text embeddings
    weights.py              names of the official release
"""

from . import weights
from .clip_encoders import OpenCLIP, StandInCLIP, TimmCLIP
from .head import CDTRHead
from .semantic_boost_loss import SemanticBoostLoss

__all__ = [
    "CDTRHead",
    "OpenCLIP",
    "SemanticBoostLoss",
    "StandInCLIP",
    "TimmCLIP",
    "weights",
]
