"""LocLoc: GrabCut-enhanced generator and local feature digging (Cao et al., ACM MM 2023).

Pseudo masks from a frozen transformer's attention and GrabCut train a generator of maps; a network of its own
classifies.

    offline.py         the pseudo masks, an offline stage
    transforms.py      loading them, and revealing a random box
    networks.py        generators and classifier
    head.py            which of them is trained, losses and maps
    official_masks.py  mask files of the official code
    weights.py         names of the official releases
"""

from . import weights
from .head import LocLocHead
from .offline import PseudoMaskWriter
from .transforms import LoadPseudoMask, RevealRandomBox

__all__ = [
    "LoadPseudoMask",
    "LocLocHead",
    "PseudoMaskWriter",
    "RevealRandomBox",
    "weights",
]
