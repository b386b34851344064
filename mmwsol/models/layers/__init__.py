"""Building blocks that several backbones and heads share."""

from .attention import TapAttention
from .conv_stem import ConvStem
from .double_conv import double_conv

__all__ = [
    "ConvStem",
    "TapAttention",
    "double_conv",
]
