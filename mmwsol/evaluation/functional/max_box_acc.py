"""MaxBoxAcc and MaxBoxAccV2: box accuracy at the best threshold (evaluation of wsolevaluation)."""

from __future__ import annotations

import numpy as np

from .boxes import as_boxes, box_iou
from .contours import LEVELS, LevelBoxes, check_backend


def threshold_grid(step: float = 0.001) -> np.ndarray:
    """Return the thresholds 0, step, 2 step, ... below 1.

    wsolevaluation uses .001; its stand-alone command .01, which gives other results.
    """
    if not 0 < step < 1:
        raise ValueError(f"the threshold step must be between 0 and 1, got {step}")
    return np.arange(0, 1, step)


def threshold_levels(thresholds: np.ndarray, peak: int) -> np.ndarray:
    """Return the integer level ``int(t * peak)`` of every threshold.

    ``peak`` is the maximum of the 8-bit map.
    """
    return (np.asarray(thresholds, np.float64) * float(peak)).astype(np.int64)


def best_iou_per_level(
    levels: LevelBoxes,
    gt_bboxes: np.ndarray,
    default_box: np.ndarray,
    plus_one: bool = True,
    backend: str = "auto",
) -> np.ndarray:
    """Compute the best IoU of any predicted box with any ground-truth box for every level.

    Args:
        levels: Boxes per level, with the ends of the protocol.
        gt_bboxes: (M, 4), M >= 1.
        default_box: (1, 4) box of a level without boxes.
        plus_one: IoU convention, see :func:`box_iou`.
        backend: See :func:`mmwsol.evaluation.functional.boxes_per_level`.

    Returns:
        float64 (256,).
    """
    default = box_iou(default_box, gt_bboxes, plus_one).max()
    kernels = check_backend(backend)
    if kernels is not None:
        gt, boxes = as_boxes(gt_bboxes), np.ascontiguousarray(levels.boxes, np.float64)
        best = kernels.best_iou(boxes, np.int32(levels.low), np.int32(levels.high), gt, plus_one)
        return np.where(best < 0, default, best)
    length = levels.high - levels.low + 1
    start = np.cumsum(length) - length
    level = np.arange(length.sum()) + np.repeat(levels.low - start, length)
    best = np.full(LEVELS, -1.0)
    if len(level):
        iou = box_iou(levels.boxes, gt_bboxes, plus_one).max(axis=1)
        np.maximum.at(best, level, np.repeat(iou, length))
    return np.where(best < 0, default, best)


def box_acc(hits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reduce per-image hits to accuracy curves and their maxima.

    Args:
        hits: bool (N, D, T): image n is localized by IoU threshold d at threshold t.

    Returns:
        ``curves`` (D, T) in percent, ``best`` (D,) the maximum of every curve and ``index`` (D,)
        its first position.
    """
    curves = 100.0 * hits.sum(axis=0) / len(hits)
    return curves, curves.max(axis=1), curves.argmax(axis=1)
