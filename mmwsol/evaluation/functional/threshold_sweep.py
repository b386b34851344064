"""Boxes of one map at many thresholds, which share the masks of its gray levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .contours import LevelBoxes
from .max_box_acc import best_iou_per_level


class LevelSweep(NamedTuple):
    """Rising thresholds as levels of an 8-bit map u: the mask of threshold t is {u > levels[t]}."""

    boxes: LevelBoxes  # with the ends of the protocol
    levels: np.ndarray  # (T,) int, rising


class ThresholdBoxes(NamedTuple):
    """Boxes of T thresholds. Thresholds with the same mask share its boxes."""

    boxes: np.ndarray  # (n, 4), those of the first mask, of the second, ...
    start: np.ndarray  # (m,) row at which the boxes of every mask start
    mask: np.ndarray  # (T,) mask of every threshold

    def best(self, values: np.ndarray) -> np.ndarray:
        """Return the row (T,) of the box of highest value at every threshold, the first on ties.

        Args:
            values: (n,) one value a box.
        """
        if len(self.start) == len(self.boxes):  # one box a mask
            return self.start[self.mask]
        stop = np.append(self.start[1:], len(self.boxes))
        rows = [first + int(values[first:last].argmax()) for first, last in zip(self.start, stop, strict=True)]
        return np.array(rows, np.int64)[self.mask]

    def reordered(self, order: np.ndarray) -> ThresholdBoxes:
        """Return the boxes of thresholds that were sorted by ``order`` in their own order."""
        mask = np.empty_like(self.mask)
        mask[order] = self.mask
        return self._replace(mask=mask)


def threshold_boxes(sweeps: Sequence[LevelSweep], default: np.ndarray) -> ThresholdBoxes:
    """List the boxes of all thresholds.

    Args:
        sweeps: The thresholds, in one or several pieces.
        default: (1, 4) box of an empty mask.
    """
    boxes, start, mask, rows, masks = [], [], [], 0, 0
    for sweep in sweeps:
        levels, index = np.unique(sweep.levels, return_inverse=True)
        low, high = sweep.boxes.low, sweep.boxes.high
        # One row for every level between low and high; those that no threshold asks for are left out.
        length = high - low + 1
        level = np.arange(length.sum()) + np.repeat(low - (np.cumsum(length) - length), length)
        box = np.repeat(np.arange(len(length)), length)
        asked = np.isin(level, levels)
        order = np.argsort(level[asked], kind="stable")
        level, piece = level[asked][order], sweep.boxes.boxes[box[asked][order]]
        empty = levels[~np.isin(levels, level)]
        at = np.searchsorted(level, empty)
        level = np.insert(level, at, empty)
        piece = np.insert(np.asarray(piece, np.float64), at, default, axis=0) if len(empty) else piece
        boxes.append(piece)
        start.append(rows + np.searchsorted(level, levels))
        mask.append(masks + index)
        rows, masks = rows + len(piece), masks + len(levels)
    return ThresholdBoxes(np.concatenate(boxes), np.concatenate(start), np.concatenate(mask))


def best_ious(
    sweeps: Sequence[LevelSweep], gt_bboxes: np.ndarray, default: np.ndarray, plus_one: bool = True
) -> np.ndarray:
    """Compute the best IoU (T,) of any box with any ground truth at every threshold, float64.

    Args:
        sweeps: The thresholds, in one or several pieces.
        gt_bboxes: (M, 4), M >= 1.
        default: (1, 4) box of an empty mask.
        plus_one: IoU convention, see :func:`mmwsol.evaluation.functional.box_iou`. Defaults to True.
    """
    return np.concatenate(
        [best_iou_per_level(sweep.boxes, gt_bboxes, default, plus_one)[sweep.levels] for sweep in sweeps]
    )
