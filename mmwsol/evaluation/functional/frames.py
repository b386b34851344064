"""Ground-truth boxes in the evaluation frame, by the rules of the official codes.

The numbers of a paper hold only in its own frame: a box that covers the whole frame has GT-known 18
% on CUB in the frame of TS-CAM and 50 % in that of CDTR. The rule is therefore a named part of
every protocol.
"""

from __future__ import annotations

import numpy as np

from mmwsol.structures import Frame

from .boxes import as_boxes

FRAME_RULES = ("wsol", "tscam", "sat", "short")


def gt_to_frame(
    bboxes: np.ndarray,
    ori_shape: tuple[int, ...],
    size: tuple[int, int],
    rule: str = "tscam",
    resize_size: int | None = None,
) -> np.ndarray:
    """Move ground-truth boxes from original pixels to the evaluation frame.

    Args:
        bboxes: (M, 4) boxes in original pixels; a list of x, y, w, h has become x1 = x + w.
        ori_shape: (H, W) of the original image.
        size: (H, W) of the evaluation frame, normally (224, 224).
        rule: 'wsol' (wsolevaluation, DiPS: the image is squashed to the frame; multiply, divide,
            truncate), 'tscam' (TS-CAM, TRT: the same, but divide first, limited to the frame; x, y,
            w, h truncated before), 'sat' (squashed to ``resize_size``, centre crop, truncated) or
            'short' (CDTR, LocLoc: short side to ``resize_size``, centre crop; the boxes stay real
            numbers and are clipped to [0, S]).
        resize_size: Side before the crop of 'sat' and 'short'. Default: 256 for 224, 448 for 384,
            else S * 8 / 7.

    Returns:
        float64 (M, 4). No box is dropped: the crop of 'sat' can leave degenerate or inverted boxes.

    Raises:
        ValueError: On an unknown rule, or a crop rule with a frame that is not square.
    """
    boxes = as_boxes(bboxes)
    check_rule(rule, size)
    height, width = ori_shape[:2]
    dims = np.array([width, height, width, height], np.float64)
    sides = np.array([size[1], size[0], size[1], size[0]], np.float64)
    if rule == "wsol":
        return np.trunc(boxes * sides / dims)
    if rule == "tscam":
        # The CUB loader reads x, y, w, h as integers. float32 boxes have w with an error near 1e-5.
        xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        xywh = np.trunc(xywh.round(3))
        boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        return _limited(boxes / dims * sides, sides - 1)
    side = size[0]
    resize = resize_size or resize_side(side)
    if rule == "sat":
        return _limited(boxes / dims * resize - (resize - side) // 2, sides - 1)
    scale, offset = short_side_geometry(width, height, side, resize)
    start = boxes[:, :2] * scale - offset
    end = start + (boxes[:, 2:] - boxes[:, :2]) * scale
    return np.concatenate([start, end], axis=1).clip(0, side)


def check_rule(rule: str, size: tuple[int, int]) -> None:
    """Raise ``ValueError`` if ``rule`` is unknown or does not fit a frame of ``size`` (H, W)."""
    if rule not in FRAME_RULES:
        raise ValueError(f"frame_rule must be one of {FRAME_RULES}, got {rule!r}")
    if rule in ("sat", "short") and size[0] != size[1]:
        raise ValueError(f"frame_rule {rule!r} needs a square frame, got (H, W) = {tuple(size)}")


def check_geometry(
    frame: Frame,
    ori_shape: tuple[int, ...],
    size: tuple[int, int],
    rule: str,
    resize_size: int | None = None,
    tolerance: float = 2.0,
) -> None:
    """Check that the test pipeline made the frame that ``rule`` assumes.

    Args:
        frame (Frame): The data sample's way from original to network pixels.
        ori_shape: (H, W) of the original image.
        size: (H, W) of the network frame.
        rule: Frame rule, see :func:`gt_to_frame`.
        resize_size: As there.
        tolerance: Allowed distance in pixels (the official rules round differently from their own
            pipelines).

    Raises:
        ValueError: If the corners of the image lie elsewhere by more than ``tolerance``.
    """
    height, width = ori_shape[:2]
    if rule in ("wsol", "tscam"):
        scale, offset = np.array([size[1] / width, size[0] / height]), np.zeros(2)
    else:
        side = size[0]
        resize = resize_size or resize_side(side)
        if rule == "sat":
            scale = np.array([resize / width, resize / height])
            offset = np.full(2, (resize - side) // 2)
        else:
            scale, offset = short_side_geometry(width, height, side, resize)
    corners = np.array([[0, 0], [width, height]], np.float64)
    shift = np.abs(frame.points(corners) - (scale * corners - offset)).max()
    if shift > tolerance:
        raise ValueError(
            f"frame_rule {rule!r} does not fit the test pipeline: the corners of an image of "
            f"(H, W) = {(height, width)} are {shift:.1f} pixels apart. Use 'wsol' or 'tscam' after "
            "a plain resize to the network size, 'sat' after a square resize and a centre crop, "
            "'short' after a short-side resize and a centre crop (resize_size= names the size "
            "before the crop)"
        )


def _limited(boxes: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Limit starts from below by 0 and ends from above by ``last``, then truncate."""
    start = np.maximum(boxes[:, :2], 0)
    end = np.minimum(boxes[:, 2:], last[2:])
    return np.trunc(np.concatenate([start, end], axis=1))


def resize_side(side: int) -> int:
    """Return the side before the crop to ``side`` where none is given: 256 for 224, 448 for 384 (official code)."""
    return 448 if side == 384 else round(side * 8 / 7)


def short_side_geometry(width: int, height: int, side: int, resize: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and offset (x, y) of a short-side resize and centre crop (CDTR, LocLoc)."""
    if width > height:
        resized = np.array([width * resize / height, resize])
    else:
        resized = np.array([resize, height * resize / width])
    # rint rounds halves to even, as the official int(round(...)) does.
    return resized / (width, height), np.rint((resized - side + 1) / 2)
