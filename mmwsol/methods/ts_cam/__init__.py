"""TS-CAM: token semantic coupled attention map (Gao et al., ICCV 2021).

A transformer's class token attends to the whole object, but knows no class; a convolution over the patch tokens gives
class maps. The product of both localizes.

    head.py            the head on a plain transformer
    conformer_head.py  the head on Conformer, with a second classifier for its CNN branch
    weights.py         names of the official release
"""

from . import weights
from .conformer_head import ConformerCAMHead
from .head import ConvCAMHead

__all__ = [
    "ConformerCAMHead",
    "ConvCAMHead",
    "weights",
]
