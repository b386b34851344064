"""SAT: spatial-aware token (Wu et al., ICCV 2023).

A token of its own, for localization alone, gates the attention of the last blocks: its gates are the map. Two losses,
of the area of a batch and of values near 0 or 1, make them a foreground probability.

    backbone.py     the transformer with the spatial token
    conformer.py    the same on Conformer
    head.py         classifier and map
    pooled_conv.py  its convolution and mean over positions, without making class maps
    losses.py       area and normalization
    weights.py      names of the official release
"""

from . import weights
from .backbone import SATViT
from .conformer import SATConformer
from .head import SATHead
from .losses import BatchAreaLoss, MapNormalizationLoss

__all__ = [
    "BatchAreaLoss",
    "MapNormalizationLoss",
    "SATConformer",
    "SATHead",
    "SATViT",
    "weights",
]
