"""Fixed boxes that no model predicts: what a protocol gives without localization."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .boxes import box_iou, default_bbox, end_boxes


def baseline_boxes(size: tuple[int, int], box_end: str = "exclusive") -> dict[str, np.ndarray]:
    """Return the fixed boxes (1, 4) 'whole_frame' and 'center_box' of a frame of ``size`` (H, W).

    The sides of the center box are half the frame's. ``box_end`` matters for the whole frame alone: it
    ends at W, H ('exclusive') or W-1, H-1.
    """
    height, width = size
    center = np.array([[width / 4, height / 4, 3 * width / 4, 3 * height / 4]])
    return {
        "whole_frame": end_boxes(default_bbox("frame", size), size, box_end),
        "center_box": center,
    }


def baseline_ious(gt_bboxes: Sequence[np.ndarray], bbox: np.ndarray, plus_one: bool = True) -> np.ndarray:
    """Compute the best IoU (N,) of one fixed box with the ground truth of each of N images.

    Args:
        gt_bboxes: N arrays (M_i, 4), M_i >= 1, in the evaluation frame.
        bbox: (1, 4) or (4,) box in that frame.
        plus_one: IoU convention, see :func:`box_iou`. Defaults to True.

    Raises:
        ValueError: If N is 0.
    """
    if not len(gt_bboxes):
        raise ValueError("no image with ground-truth boxes")
    counts = np.array([len(boxes) for boxes in gt_bboxes])
    iou = box_iou(bbox, np.concatenate(list(gt_bboxes)), plus_one)[0]
    return np.maximum.reduceat(iou, np.cumsum(counts) - counts)
