"""Parts of a localizer that learn nothing."""

from .map_to_box import ComponentBox, ContourBox
from .pseudo_masks import PseudoMaskWriter

__all__ = ["ComponentBox", "ContourBox", "PseudoMaskWriter"]
