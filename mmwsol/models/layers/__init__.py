"""Building blocks shared by backbones and heads."""

from .attention import TapAttention
from .conv_stem import ConvStem

__all__ = ["ConvStem", "TapAttention"]
