"""Building blocks shared by backbones and heads."""

from .attention import TapAttention
from .conv_stem import ConvStem
from .permutohedral import PermutohedralLattice, lattice_filter
from .token_scoring import TokenPriorityScoring

__all__ = ["ConvStem", "PermutohedralLattice", "TapAttention", "TokenPriorityScoring", "lattice_filter"]
