"""Pictures of maps, boxes and masks."""

from .draw import (
    draw_boxes,
    draw_masks,
    draw_outcome,
    draw_prediction,
    overlay_map,
    stack_panels,
    warp_to_original,
)

__all__ = [
    "draw_boxes",
    "draw_masks",
    "draw_outcome",
    "draw_prediction",
    "overlay_map",
    "stack_panels",
    "warp_to_original",
]
