"""Boxes of the regions of a binary or 8-bit map.

Two rules exist in the official codes. *Contours* (wsolevaluation, TS-CAM, TRT, CDTR, LocLoc, DiPS):
OpenCV contours of 8-connected regions; the largest by polygon area, or all of them, holes included.
*Components* (SAT): 8-connected components, the largest by pixel count. Boxes here are half-open,
``x1 = x + w``; a protocol gives them their ends with
:func:`mmwsol.evaluation.functional.boxes.end_boxes`.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple

import cv2
import numpy as np

MODES = ("largest_contour", "all_contours", "largest_component", "all_components")
BACKENDS = ("auto", "numba", "opencv")
LEVELS = 256
_Rect = Sequence[int]  # x, y, w, h


class LevelBoxes(NamedTuple):
    """Boxes of the regions {u > T} of an 8-bit map u for every integer level T.

    Box ``boxes[n]`` exists at the levels ``low[n] <= T <= high[n]``; a level without boxes has an
    empty mask. A box that stays while the level rises may be listed once or several times.
    """

    boxes: np.ndarray  # (N, 4) half-open
    low: np.ndarray  # (N,) int
    high: np.ndarray  # (N,) int

    def at(self, level: int) -> np.ndarray:
        """Return the boxes (n, 4) at one level."""
        return self.boxes[(self.low <= level) & (level <= self.high)]


@functools.lru_cache(maxsize=1)
def compiled_sweep() -> ModuleType | None:
    """Return the compiled kernels (:mod:`.sweep`), or None, with a warning once, without a working numba."""
    try:
        return importlib.import_module(f"{__package__}.sweep")
    except ModuleNotFoundError:
        text = "numba is not installed: the same values take several times as long (pip install 'mmwsol[fast]')"
        warnings.warn(text, stacklevel=2)
        return None
    except Exception as error:  # numba refuses some versions of numpy, and folders that it cannot write
        warnings.warn(f"numba does not work, the evaluation is slower without it: {error}", stacklevel=2)
        return None


def check_backend(backend: str) -> ModuleType | None:
    """Return the compiled kernels for ``backend`` 'auto' or 'numba', None for OpenCV's way.

    Raises:
        ValueError: On another backend.
        ImportError: If 'numba' is asked for and does not work.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {BACKENDS}, got {backend!r}")
    kernels = None if backend == "opencv" else compiled_sweep()
    if backend == "numba" and kernels is None:
        raise ImportError("backend='numba' needs numba: pip install 'mmwsol[fast]'")
    return kernels


def mask_boxes(mask: np.ndarray, mode: str = "largest_contour") -> np.ndarray:
    """Find the boxes of a binary mask.

    Args:
        mask: (H, W) bool or 0/1 uint8.
        mode: 'largest_contour': the contour of the largest ``cv2.contourArea`` (a polygon through
            pixel centers: lines have area 0, holes do not count), on ties the first of OpenCV's
            list, which is the lowest; 'all_contours': every contour, also of holes (their box grows
            by one pixel); 'largest_component': most pixels, on ties the first in raster order;
            'all_components'.

    Returns:
        int64 (n, 4) half-open boxes; (0, 4) for an empty mask, at most one for the 'largest' modes.

    Raises:
        ValueError: On an unknown mode or a mask that is not 2-D.
    """
    find, largest = _finder(mode)
    if mask.ndim != 2:
        raise ValueError(f"a mask must have shape (H, W), got {mask.shape}")
    return _half_open(find(np.ascontiguousarray(mask, dtype=np.uint8), largest)[0])


def boxes_per_level(u8_map: np.ndarray, mode: str = "largest_contour", backend: str = "auto") -> LevelBoxes:
    """Find the boxes of {u > T} for all 256 integer levels T.

    Exactly equal to calling :func:`mask_boxes` 256 times, whatever the backend.

    Args:
        u8_map: (H, W) uint8 map u.
        mode: See :func:`mask_boxes`.
        backend: 'numba' is one pass of union-find (extra ``fast``); 'opencv' visits the levels at
            which the mask changes; 'auto', the default, takes numba where it is installed.

    Raises:
        ValueError: On an unknown mode or backend, or a map that is not 2-D uint8.
        ImportError: If backend 'numba' is asked for without numba.
    """
    _finder(mode)
    kernels = check_backend(backend)
    u8_map = _checked(u8_map)
    if kernels is None:
        return _visit_levels(u8_map, mode)[0]
    if mode.startswith("largest"):
        boxes = kernels.largest_boxes(u8_map, mode == "largest_component")
        levels = np.arange(len(boxes))
        return LevelBoxes(boxes, levels, levels)
    nodes = kernels.all_nodes(u8_map, mode == "all_contours")
    return LevelBoxes(nodes[:, :4], nodes[:, 4], nodes[:, 5])


def largest_and_all_boxes(
    u8_map: np.ndarray, region: str = "contour", backend: str = "auto"
) -> tuple[LevelBoxes, LevelBoxes]:
    """Find the largest and all boxes per level, both results of :func:`boxes_per_level`.

    Args:
        u8_map: (H, W) uint8 map.
        region: 'contour' or 'component'.
        backend: See :func:`boxes_per_level`. OpenCV visits the levels once for both.
    """
    largest, every = f"largest_{region}", f"all_{region}s"
    _finder(every)
    if check_backend(backend) is not None:
        return boxes_per_level(u8_map, largest, backend), boxes_per_level(u8_map, every, backend)
    boxes, keep = _visit_levels(_checked(u8_map), every)
    return LevelBoxes(*(field[keep] for field in boxes)), boxes


def _checked(u8_map: np.ndarray) -> np.ndarray:
    if u8_map.ndim != 2 or u8_map.dtype != np.uint8:
        raise ValueError(f"the map must be (H, W) uint8, got {u8_map.dtype} of shape {u8_map.shape}")
    return np.ascontiguousarray(u8_map)


def _visit_levels(u8_map: np.ndarray, mode: str) -> tuple[LevelBoxes, np.ndarray]:
    """Find the boxes with OpenCV, and the indices of those that the 'largest' mode gives."""
    find, only_largest = _finder(mode)
    rects: list[_Rect] = []
    low: list[int] = []
    high: list[int] = []
    largest: list[int] = []
    # {u > T} is the same mask for all T from one value present in the map up to the next one less
    # 1.
    start = 0
    for value in np.flatnonzero(np.bincount(u8_map.ravel(), minlength=LEVELS)).tolist():
        if value > start:
            of_mask, index = find((u8_map >= value).view(np.uint8), only_largest)
            largest.append(len(rects) + index)
            rects += of_mask
            low += [start] * len(of_mask)
            high += [value - 1] * len(of_mask)
        start = value
    levels = LevelBoxes(_half_open(rects), np.array(low, np.int64), np.array(high, np.int64))
    return levels, np.array(largest, np.int64)


def _finder(mode: str) -> tuple[Callable[[np.ndarray, bool], tuple[list[_Rect], int]], bool]:
    """Return the function of a mode and whether it is asked for the largest region only."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}, got {mode!r}")
    find = _contour_rects if "contour" in mode else _component_rects
    return find, mode.startswith("largest")


def _half_open(rects: list[_Rect]) -> np.ndarray:
    """Turn rectangles x, y, w, h into int64 boxes (n, 4)."""
    boxes = np.array(rects, np.int64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _contour_rects(mask: np.ndarray, only_largest: bool) -> tuple[list[_Rect], int]:
    """Return the rectangles of the contours of a mask and the index of the largest."""
    # The largest contour is never that of a hole: outer contours suffice for it, and are listed in
    # the same order.
    retrieve = cv2.RETR_EXTERNAL if only_largest else cv2.RETR_TREE
    contours = cv2.findContours(mask, retrieve, cv2.CHAIN_APPROX_SIMPLE)[-2]
    index = 0
    if len(contours) > 1:
        areas = [cv2.contourArea(contour) for contour in contours]
        index = areas.index(max(areas))
        if only_largest:
            return [cv2.boundingRect(contours[index])], 0
    return [cv2.boundingRect(contour) for contour in contours], index


def _component_rects(mask: np.ndarray, only_largest: bool) -> tuple[list[_Rect], int]:
    """Return the rectangles of the components of a mask and the index of the largest."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    rects = stats[1:, :4].tolist()  # label 0 is the background
    if not rects:
        return [], 0
    area = stats[1:, cv2.CC_STAT_AREA]
    ties = np.flatnonzero(area == area.max()).tolist()
    # OpenCV's labels do not always follow raster order: compare the first pixels (row, column)
    # themselves.
    index = min(ties, key=lambda i: (rects[i][1], int(np.argmax(labels[rects[i][1]] == i + 1))))
    return ([rects[index]], 0) if only_largest else (rects, index)
