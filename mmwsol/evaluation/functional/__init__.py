"""Evaluation in plain numpy and OpenCV: boxes, frames, maps, regions and their numbers."""

from .baselines import baseline_boxes, baseline_ious
from .boxes import box_areas, box_intersections, box_iou, default_bbox, end_boxes
from .contours import LevelBoxes, boxes_per_level, largest_and_all_boxes, mask_boxes
from .error_breakdown import ERROR_TYPES, localization_error
from .frames import FRAME_RULES, FrameRule, check_frame, frame_of_rule, gt_to_frame
from .maps import evaluation_map, normalize_map, resize_map, to_uint8
from .max_box_acc import best_iou_per_level, box_acc, threshold_grid, threshold_levels
from .pxap import PIXEL_EDGES, pixel_curves, pixel_histograms, score_bins
from .threshold_sweep import LevelSweep, ThresholdBoxes, best_ious, threshold_boxes

__all__ = [
    "ERROR_TYPES",
    "FRAME_RULES",
    "PIXEL_EDGES",
    "FrameRule",
    "LevelBoxes",
    "LevelSweep",
    "ThresholdBoxes",
    "baseline_boxes",
    "baseline_ious",
    "best_iou_per_level",
    "best_ious",
    "box_acc",
    "box_areas",
    "box_intersections",
    "box_iou",
    "boxes_per_level",
    "check_frame",
    "default_bbox",
    "end_boxes",
    "evaluation_map",
    "frame_of_rule",
    "gt_to_frame",
    "largest_and_all_boxes",
    "localization_error",
    "mask_boxes",
    "normalize_map",
    "pixel_curves",
    "pixel_histograms",
    "resize_map",
    "score_bins",
    "threshold_boxes",
    "threshold_grid",
    "threshold_levels",
    "to_uint8",
]
