"""Kinds of localization errors (DANet's terms, as TS-CAM computes them)."""

from __future__ import annotations

import numpy as np

from .boxes import box_areas, box_intersections, box_iou

ERROR_TYPES = ("right", "cls", "multi_instance", "part", "more", "wrong")


def localization_error(
    bbox: np.ndarray,
    gt_bboxes: np.ndarray,
    class_correct: bool,
    plus_one: bool = True,
    iou_thr: float = 0.5,
    strict: bool = True,
) -> str:
    """Name the kind of error of the predicted class's box.

    In this order: 'cls' wrong class; 'right' IoU above the threshold; 'multi_instance' more than .3 of
    each of several ground-truth boxes is covered; 'part' more than half of the box lies in the best
    ground-truth box; 'more' the box covers at least .7 of it; 'wrong' otherwise.

    Args:
        bbox: (4,) predicted box.
        gt_bboxes: (M, 4) ground-truth boxes, M >= 1, same frame.
        class_correct: Whether the top-1 class is the ground truth.
        plus_one: Areas of TS-CAM (True) or continuous ones.
        iou_thr: IoU threshold of 'right'.
        strict: ``IoU > iou_thr`` as TS-CAM; False for ``>=``.

    Returns:
        One of :data:`ERROR_TYPES`.
    """
    if not class_correct:
        return "cls"
    iou = box_iou(bbox, gt_bboxes, plus_one)[0]
    best = int(iou.argmax())
    if iou[best] > iou_thr or (not strict and iou[best] == iou_thr):
        return "right"
    inter = box_intersections(bbox, gt_bboxes, plus_one)[0]
    of_gt = _ratio(inter, box_areas(gt_bboxes, plus_one))
    of_box = _ratio(inter, box_areas(bbox, plus_one))
    if (of_gt > 0.3).sum() > 1:
        return "multi_instance"
    if of_box[best] > 0.5:
        return "part"
    if of_gt[best] >= 0.7:
        return "more"
    return "wrong"


def _ratio(inter: np.ndarray, area: np.ndarray) -> np.ndarray:
    return np.where(area > 0, inter / np.where(area > 0, area, 1), 0.0)
