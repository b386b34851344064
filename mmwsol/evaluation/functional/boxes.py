"""Boxes: intersection over union in the two conventions of the field, and the ends of a box.

Boxes are ``x0, y0, x1, y1``. Everything is computed in float64, so that a ratio of integers that
equals an IoU threshold (7/10 against .7) compares equal.
"""

from __future__ import annotations

import numpy as np

BOX_ENDS = ("exclusive", "exclusive_clip", "inclusive")
DEFAULT_BOXES = ("unit", "zero", "frame")


def as_boxes(bboxes: np.ndarray) -> np.ndarray:
    """Return ``bboxes`` as a float64 (N, 4) array; one box may come as (4,).

    Raises:
        ValueError: If the last axis is not 4 or a coordinate is not finite.
    """
    array = np.asarray(bboxes, np.float64)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.shape[-1] != 4 or array.ndim > 2:
        raise ValueError(f"boxes must have shape (N, 4), got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"boxes must be finite, got {array.tolist()}")
    return array.reshape(-1, 4)


def box_areas(bboxes: np.ndarray, plus_one: bool = True) -> np.ndarray:
    """Compute the areas (N,) of boxes (N, 4).

    ``plus_one`` counts both end pixels, ``(x1-x0+1)*(y1-y0+1)``, unclipped as in the reference
    code; otherwise sides are ``max(0, x1-x0)``.
    """
    boxes = as_boxes(bboxes)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    if plus_one:
        return (width + 1) * (height + 1)
    return width.clip(0) * height.clip(0)


def box_intersections(bboxes: np.ndarray, gt_bboxes: np.ndarray, plus_one: bool = True) -> np.ndarray:
    """Compute the intersection areas (N, M) of boxes (N, 4) with boxes (M, 4)."""
    a, b = as_boxes(bboxes)[:, None], as_boxes(gt_bboxes)[None]
    one = 1.0 if plus_one else 0.0
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0]) + one
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1]) + one
    return width.clip(0) * height.clip(0)


def box_iou(bboxes: np.ndarray, gt_bboxes: np.ndarray, plus_one: bool = True) -> np.ndarray:
    """Compute the intersection over union (N, M) of boxes (N, 4) with boxes (M, 4).

    Args:
        bboxes: (N, 4) boxes, whatever their end convention: the reference codes measure boxes with
            exclusive ends by the plus-one formula, and so does this one.
        gt_bboxes: (M, 4) boxes.
        plus_one: True for wsolevaluation, TS-CAM, TRT, SAT and DiPS; False for CDTR and LocLoc.

    Returns:
        float64 (N, M); 0 where the union is not positive (degenerate boxes).
    """
    inter = box_intersections(bboxes, gt_bboxes, plus_one)
    union = box_areas(bboxes, plus_one)[:, None] + box_areas(gt_bboxes, plus_one)[None] - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def end_boxes(bboxes: np.ndarray, size: tuple[int, int], box_end: str = "exclusive") -> np.ndarray:
    """Give half-open pixel boxes the ends of a protocol.

    Args:
        bboxes: (N, 4) tight boxes of pixel regions, right and bottom end exclusive.
        size: (H, W) of the frame.
        box_end: 'exclusive' leaves them (the end can be W or H); 'exclusive_clip' limits the ends
            to W-1, H-1 (wsolevaluation); 'inclusive' names the last pixel.

    Returns:
        float64 (N, 4).
    """
    boxes = as_boxes(bboxes).copy()
    height, width = size
    if box_end == "exclusive_clip":
        boxes[:, 2:] = np.minimum(boxes[:, 2:], (width - 1, height - 1))
    elif box_end == "inclusive":
        boxes[:, 2:] -= 1
    elif box_end != "exclusive":
        raise ValueError(f"box_end must be one of {BOX_ENDS}, got {box_end!r}")
    return boxes


def default_bbox(name: str, size: tuple[int, int]) -> np.ndarray:
    """Return the box (1, 4) of an empty mask in a frame of ``size`` (H, W).

    'unit' is [0, 0, 1, 1], 'zero' [0, 0, 0, 0] and 'frame' [0, 0, W, H].
    """
    height, width = size
    ends = {"unit": (1, 1), "zero": (0, 0), "frame": (width, height)}
    if name not in ends:
        raise ValueError(f"default_box must be one of {DEFAULT_BOXES}, got {name!r}")
    return np.array([[0, 0, *ends[name]]], np.float64)
