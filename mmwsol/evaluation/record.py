"""What became of one image under a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmwsol.structures import Frame

from .functional import localization_error
from .protocols import Protocol


@dataclass(frozen=True)
class Record:
    """One image under one protocol, at the threshold that the metric reports.

    The metric counts these values, and the same go into the results file, from which tools and pictures take them.

    Args:
        img_id: Image.
        frame_bbox: (4,) box in the evaluation frame, as the box rule gave it; of the largest region where all contours
            compete.
        iou: IoU that counts: of the box with the ground truth, or of the best of all contours.
        rank: How many classes come before the ground-truth class; None without class scores.
        error: One of :data:`mmwsol.evaluation.functional.ERROR_TYPES`, the class taken for right without class scores;
            None where all contours compete, which have no single box.
        frame: The way from original pixels to the evaluation frame.
    """

    img_id: str
    frame_bbox: np.ndarray
    iou: float
    rank: int | None
    error: str | None
    frame: Frame

    @property
    def bbox(self) -> np.ndarray:
        """The box (4,) in original pixels, clipped to the image."""
        return self.frame.inverse().boxes(self.frame_bbox[None])[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of a results file, plain values; the frame is written once an image."""
        return {
            "bbox": self.bbox.tolist(),
            "frame_bbox": self.frame_bbox.tolist(),
            "iou": self.iou,
            "rank": self.rank,
            "error": self.error,
        }


@dataclass(frozen=True)
class Steps:
    """Rows that change seldom along the thresholds: row ``values[n]`` holds from index ``starts[n]`` on."""

    starts: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Steps:
        """Keep the rows (T, ...) that differ from the one before."""
        flat = rows.reshape(len(rows), -1)
        changed = (flat[1:] != flat[:-1]).any(axis=1)
        starts = np.concatenate([[0], np.flatnonzero(changed) + 1])
        return cls(starts.astype(np.uint32), rows[starts])

    def at(self, index: int) -> np.ndarray:
        """Return the row at a threshold."""
        return self.values[np.searchsorted(self.starts, index, side="right") - 1]


@dataclass(frozen=True)
class Track:
    """One image at all T thresholds: what a :class:`Record` is made of once the threshold is known.

    About 3 kB for 1000 thresholds. It travels between processes.
    """

    boxes: Steps  # rows (4,)
    iou: Steps
    gt_bboxes: np.ndarray  # (M, 4) in the frame
    frame: Frame
    rank: int | None

    def error(self, index: int, protocol: Protocol) -> str:
        """Return the kind of error of the box at a threshold, one of ``ERROR_TYPES``."""
        return localization_error(
            self.boxes.at(index),
            self.gt_bboxes,
            self.rank in (0, None),
            protocol.plus_one,
            protocol.iou_thr,
            protocol.strict_topk,
        )

    def record(self, img_id: str, index: int, error: str | None) -> Record:
        """Return the record at a threshold.

        Args:
            img_id: Image.
            index: Which of the T thresholds.
            error: Kind of error, such as that of :meth:`error`; None where all contours compete.
        """
        return Record(img_id, self.boxes.at(index), float(self.iou.at(index)), self.rank, error, self.frame)
