"""CAM: class activation maps (Zhou et al., CVPR 2016).

A classifier of pooled features is a localizer: the row of a class times the feature map shows where the class is seen.

    head.py     the linear classifier and its maps
"""

from .head import LinearCAMHead

__all__ = [
    "LinearCAMHead",
]
