"""Pictures of maps, boxes and masks."""

from .draw import (
    draw_boxes,
    draw_masks,
    draw_outcome,
    draw_panel,
    draw_prediction,
    draw_sheet,
    overlay_map,
    stack_panels,
)
from .loc_visualizer import LocVisualizer, class_name, picture_name, score_map, shown_map, write_picture

__all__ = [
    "LocVisualizer",
    "class_name",
    "draw_boxes",
    "draw_masks",
    "draw_outcome",
    "draw_panel",
    "draw_prediction",
    "draw_sheet",
    "overlay_map",
    "picture_name",
    "score_map",
    "shown_map",
    "stack_panels",
    "write_picture",
]
