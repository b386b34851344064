"""Boxes of COCO's ``segmentation``: polygons and run-length encodings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np

from mmwsol.datasets.records import MAX_SIDE, parse_size


def segmentation_box(value: Any, size: tuple[int, int] | None = None) -> tuple[float, ...]:
    """Return the box x, y, w, h around polygons (a list of x, y, x, y, .., or of such lists) or an RLE.

    Raises:
        ValueError: If it is neither, or empty, or an RLE of another size than the image's, (W, H).
    """
    if isinstance(value, dict):
        box = _box_of_runs(value)
        if size is not None and parse_size(value["size"]) != size[::-1]:
            message = f"the RLE has the size (h, w) {value['size']}, and the image {[*size[::-1]]}"
            raise ValueError(f"{message}: its box would be in other pixels")
        return box
    parts = value if isinstance(value, list) and all(isinstance(part, list) for part in value) else [value]
    try:
        points = np.array([*chain.from_iterable(parts)], np.float64).reshape(-1, 2)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"a segmentation is lists of x, y, x, y, .. or an RLE, found {str(value)[:80]}") from error
    if len(points) < 2 or any(len(part) % 2 for part in parts) or not (np.abs(points) < MAX_SIDE).all():
        raise ValueError(f"a segmentation is lists of x, y, x, y, .. or an RLE, found {str(value)[:80]}")
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    return x0, y0, x1 - x0, y1 - y0


def _box_of_runs(value: dict) -> tuple[float, ...]:
    """Return the box of an RLE: lengths of runs of background and foreground by turns, column by column."""
    size = value.get("size")
    listed = parse_size(size) if isinstance(size, Sequence) and len(size) == 2 else None
    counts = value.get("counts")
    runs = _decode(counts) if isinstance(counts, str) else counts
    whole = isinstance(runs, list) and all(isinstance(run, int) and 0 <= run < MAX_SIDE**2 for run in runs)
    if listed is None or not isinstance(runs, list) or not whole or sum(runs) != listed[0] * listed[1]:
        raise ValueError(f"an RLE is size (h, w) and counts that fill it, found {str(value)[:80]}")
    height = listed[0]
    ends = np.cumsum([0, *runs]).tolist()
    spans = [(start, end - 1) for start, end in [*pairwise(ends)][1::2] if end > start]
    if not spans:
        raise ValueError("an RLE without foreground is no object: remove it")
    x0, x1 = spans[0][0] // height, spans[-1][1] // height
    if any(first // height != last // height for first, last in spans):
        y0, y1 = 0, height - 1  # a run from one column into the next covers the last row and the first
    else:
        y0, y1 = min(first % height for first, _ in spans), max(last % height for _, last in spans)
    return x0, y0, x1 - x0 + 1, y1 - y0 + 1


def _decode(text: str) -> list[int]:
    """Return the runs of a compressed RLE: five bits a sign, most of them as the difference to the last but one."""
    runs: list[int] = []
    value = shift = 0
    for sign in text:
        bits = ord(sign) - 48
        if not 0 <= bits < 64 or shift > 60:
            return [-1]
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs if not shift else [-1]
