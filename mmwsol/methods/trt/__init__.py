"""TRT: re-attention transformer (Su et al., BMVC 2022).

Patch tokens are selected by the attention of all blocks and scored anew before the last block; the map is this
re-attention times the class map of a second branch that is trained after it.

    backbone.py       the transformer with both branches
    token_scoring.py  token priority scoring (TPSM)
    head.py           the two classifiers and their product
    weights.py        names of the official release
"""

from . import weights
from .backbone import TRTViT
from .head import TRTHead
from .token_scoring import TokenPriorityScoring

__all__ = [
    "TRTHead",
    "TRTViT",
    "TokenPriorityScoring",
    "weights",
]
