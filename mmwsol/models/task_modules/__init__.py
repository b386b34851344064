"""Parts of a localizer that learn nothing."""

from .map_to_box import ComponentBox, ContourBox

__all__ = ["ComponentBox", "ContourBox"]
