"""Box proposals of DiPS (Murtaza et al., IVC 2023): their files, and boxes as masks."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

SUFFIX = ".npz"
RASTERS = ("filled", "cv2_outline")
MAX_MAPS = 4096  # more than any network has


class Proposals(NamedTuple):
    """Proposals of one image, best first.

    Attributes:
        boxes: (K, 4) float32 x0, y0, x1, y1 in original pixels. A box of zeros: there is no object.
        map_index: (K,) int64, the attention map that each came from.
        scores: (K,) float32, NaN where not known.
        min_area_passed: Whether a box was larger than the limit; else the only one is the largest of all.
    """

    boxes: np.ndarray
    map_index: np.ndarray
    scores: np.ndarray
    min_area_passed: bool = True

    def encode(self) -> bytes:
        """Return the content of a file."""
        file = io.BytesIO()
        np.savez(
            file,
            boxes=np.asarray(self.boxes, np.float32).reshape(-1, 4),
            map_index=np.asarray(self.map_index, np.int64),
            scores=np.asarray(self.scores, np.float32),
            min_area_passed=np.bool_(self.min_area_passed),
        )
        return file.getvalue()


def check_proposals(proposals: Proposals) -> None:
    """Check types, shapes and values.

    Raises:
        ValueError: If one is wrong; the message says which.
    """
    boxes, index, scores = proposals.boxes, proposals.map_index, proposals.scores
    for name, values, kinds in (("boxes", boxes, "iuf"), ("map_index", index, "iu"), ("scores", scores, "iuf")):
        if values.dtype.kind not in kinds:
            raise ValueError(f"{name} holds values of type {values.dtype}")
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes is {boxes.shape}, not (K, 4)")
    for name, values in (("map_index", index), ("scores", scores)):
        if values.shape != boxes.shape[:1]:
            raise ValueError(f"{name} is {values.shape}, for {len(boxes)} boxes")
    if not np.isfinite(boxes).all():
        raise ValueError("a box is not finite")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError("a box ends before it begins: boxes are x0, y0, x1, y1")
    if len(index) and (index.min() < 0 or index.max() >= MAX_MAPS):
        raise ValueError(f"map_index is {index.min()} to {index.max()}, not the number of a map")


def read_proposals(path: str | Path) -> Proposals:
    """Read a file of :meth:`Proposals.encode`.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            proposals = Proposals(file["boxes"], file["map_index"], file["scores"], bool(file["min_area_passed"]))
        check_proposals(proposals)
        return proposals
    except FileNotFoundError:
        raise
    except Exception as error:  # anything may come of a damaged file
        raise ValueError(f"'{path}' holds no proposals ({error}): delete it and run the stage again.") from error


def box_mask(box: np.ndarray, size: tuple[int, int], raster: str = "filled") -> np.ndarray:
    """Draw a box as the official code does: one pixel larger on every side.

    Args:
        box: (4,) x0, y0, x1, y1, cut to whole numbers. A box of zeros gives an empty mask.
        size: (H, W) of the mask.
        raster: 'filled', or 'cv2_outline': without its four corners, as OpenCV draws an outline two pixels thick.
            Defaults to 'filled'.

    Returns:
        (H, W) bool, true for columns x0 - 1 to x1 + 1 and rows y0 - 1 to y1 + 1.

    Raises:
        ValueError: If ``raster`` is unknown.
    """
    if raster not in RASTERS:
        raise ValueError(f"raster must be one of {RASTERS}, got {raster!r}.")
    mask = np.zeros(size, bool)
    x0, y0, x1, y1 = (int(value) for value in box)
    if not any((x0, y0, x1, y1)):
        return mask
    mask[max(y0 - 1, 0) : max(y1 + 2, 0), max(x0 - 1, 0) : max(x1 + 2, 0)] = True
    if raster == "cv2_outline":
        for y in (y0 - 1, y1 + 1):
            for x in (x0 - 1, x1 + 1):
                if 0 <= y < size[0] and 0 <= x < size[1]:
                    mask[y, x] = False
    return mask
