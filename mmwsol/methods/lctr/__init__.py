"""LCTR: local continuity transformer (Chen et al., AAAI 2022).

The map of a class is multiplied by the attention between patches, and its kernel is chosen by what the attention left
out.

    head.py  both modules
"""

from .head import LCTRHead

__all__ = [
    "LCTRHead",
]
