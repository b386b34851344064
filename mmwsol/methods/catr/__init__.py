"""CATR: category-aware transformer (Chen et al., ICCV 2023).

TS-CAM whose attention maps are trained: class maps of them are classified (CSM), and weak attention is pulled to zero
and towards a learned map (OCM).

    head.py     both parts on TS-CAM's head
    losses.py   the losses of the object constraint module, and the learned weights of all
    weights.py  names of the official release
"""

from . import weights
from .head import CATRHead
from .losses import AutomaticWeightedLoss, NoiseSuppressionLoss, ObjectAwakeningLoss

__all__ = [
    "AutomaticWeightedLoss",
    "CATRHead",
    "NoiseSuppressionLoss",
    "ObjectAwakeningLoss",
    "weights",
]
