"""Whether listed boxes can be boxes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmwsol.datasets.records import MAX_SIDE
from mmwsol.datasets.transforms.loading import BOX_SLACK, EXIF_FIX

#: Numbers below this one are fractions of an image, whose ends may be rounded, or pixels of a corner.
CORNER = 1.05


def clip_rounding(box: tuple[float, ...], size: Sequence[float]) -> tuple[float, ...]:
    """Clip x0, y0, x1, y1 to an image of (W, H) if they are over its border by more than rounding, up to a pixel."""
    over = max(-box[0], -box[1], box[2] - size[0], box[3] - size[1])
    if not BOX_SLACK < over < 1.01:
        return box
    return max(box[0], 0), max(box[1], 0), min(box[2], size[0]), min(box[3], size[1])


def as_boxes(value: Any) -> np.ndarray | None:
    """Return boxes as float32 (M, 4), None if they are no such numbers."""
    try:
        boxes = np.asarray(() if value is None else value, np.float32)
    except (ValueError, TypeError, OverflowError):
        return None
    if not boxes.size:
        return boxes.reshape(0, 4)
    return boxes.reshape(-1, 4) if boxes.shape[-1] == 4 and boxes.ndim <= 2 else None


def box_problem(
    box: Sequence[float], img_id: str, size: Sequence[float] | None = None, strict: bool = True
) -> str | None:
    """Return what is wrong with a listed box, or None.

    Args:
        box: x0, y0, x1, y1 in pixels.
        img_id: The image, for the message.
        size: (W, H) of the image. Defaults to None: not known.
        strict: Whether the box must lie inside the image. Defaults to True.
    """
    x0, y0, x1, y1 = box
    width = height = MAX_SIDE
    if size is not None and strict:
        width, height = size[0] + BOX_SLACK, size[1] + BOX_SLACK
    inside = -BOX_SLACK <= x0 <= x1 <= width and -BOX_SLACK <= y0 <= y1 <= height
    if inside and (x1 >= CORNER or y1 >= CORNER) and (x0 < x1 or y0 < y1):
        return None
    text = f"box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) of image '{img_id}'"
    if not all(abs(value) < MAX_SIDE for value in box):
        return f"{text} has no numbers of pixels: correct the list"
    if x1 < x0 or y1 < y0:
        return f"{text} has x1 < x0 or y1 < y0: correct the list or its box format"
    if x0 == x1 and y0 == y1:
        return f"{text} is empty: an image without object has no box, leave its cells empty"
    if not inside:
        image = f"image of {size[0]}x{size[1]} (W x H)" if size else "image"
        message = f"{text} is outside its {image}: correct the list or its box format"
        if size and x1 <= size[1] + BOX_SLACK and y1 <= size[0] + BOX_SLACK:
            message += f", or it is of the picture turned to {size[1]}x{size[0]} by its EXIF tag: {EXIF_FIX}"
        return message
    return (
        f"{text} lies in one corner pixel: are these fractions of the image? Then mmwsol.LocListDataset reads them by "
        "box_format='xyxy_norm', 'xywh_norm' or 'cxcywh_norm'"
    )
