"""Building blocks shared by backbones and heads."""

from .attention import TapAttention
from .conv_stem import ConvStem
from .token_scoring import TokenPriorityScoring

__all__ = ["ConvStem", "TapAttention", "TokenPriorityScoring"]
