"""Ground-truth boxes in the evaluation frame, by the rules of the official codes.

The numbers of a paper hold only in its own frame: a box that covers the whole frame has GT-known 18
% on CUB in the frame of TS-CAM and 50 % in that of CDTR. The rule is therefore a named part of
every protocol. A rule is a geometry, which maps and boxes share, and the rounding of boxes of its
code, down to the order of multiplication and division.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mmwsol.structures import Frame

from .boxes import as_boxes

FRAME_TOLERANCE = 2.0  # pixels: the official rules round differently from their own pipelines

Size = tuple[int, int]


@dataclass(frozen=True)
class FrameRule:
    """How an official code prepares its test images, and moves ground-truth boxes after them.

    Args:
        covers: What of the image lies in the frame, in words.
        geometry: Gives the :class:`mmwsol.structures.Frame` of an image from its size (H, W), the size (H, W) of the
            evaluation frame and the side before the crop.
        move: Moves boxes (M, 4) from original pixels to the frame and rounds them, in float64; same further arguments.
        crops: Whether the image is cropped: the frame must then be square.
    """

    covers: str
    geometry: Callable[[Size, Size, int], Frame]
    move: Callable[[np.ndarray, Size, Size, int], np.ndarray]
    crops: bool = False


def _squashed(ori_shape: Size, size: Size, resize: int) -> Frame:
    return Frame.identity(ori_shape).resized(size)


def _squashed_and_cropped(ori_shape: Size, size: Size, resize: int) -> Frame:
    offset = (resize - size[0]) // 2
    return Frame.identity(ori_shape).resized((resize, resize)).cropped(offset, offset, size)


def _short_side_and_cropped(ori_shape: Size, size: Size, resize: int) -> Frame:
    scale, offset = short_side_geometry(ori_shape[1], ori_shape[0], size[0], resize)
    return Frame(ori_shape, size, (float(scale[0]), float(scale[1])), (-float(offset[0]), -float(offset[1])))


def _move_wsol(boxes: np.ndarray, ori_shape: Size, size: Size, resize: int) -> np.ndarray:
    """Multiply, divide, truncate."""
    return np.trunc(boxes * _corners(size) / _corners(ori_shape))


def _move_tscam(boxes: np.ndarray, ori_shape: Size, size: Size, resize: int) -> np.ndarray:
    """Divide first; limited to the frame. The CUB loader reads x, y, w, h as integers."""
    # float32 boxes have w with an error near 1e-5.
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    xywh = np.trunc(xywh.round(3))
    boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    return _limited(boxes / _corners(ori_shape) * _corners(size), _corners(size) - 1)


def _move_sat(boxes: np.ndarray, ori_shape: Size, size: Size, resize: int) -> np.ndarray:
    """Divide first, crop, limited to the frame: boxes outside become degenerate or inverted."""
    return _limited(boxes / _corners(ori_shape) * resize - (resize - size[0]) // 2, _corners(size) - 1)


def _move_short(boxes: np.ndarray, ori_shape: Size, size: Size, resize: int) -> np.ndarray:
    """Scale x, y, w, h and crop; real numbers, clipped to [0, S]."""
    scale, offset = short_side_geometry(ori_shape[1], ori_shape[0], size[0], resize)
    start = boxes[:, :2] * scale - offset
    end = start + (boxes[:, 2:] - boxes[:, :2]) * scale
    return np.concatenate([start, end], axis=1).clip(0, size[0])


FRAME_RULES: dict[str, FrameRule] = {
    # wsolevaluation, DiPS: the image is squashed to the frame.
    "wsol": FrameRule("the whole image", _squashed, _move_wsol),
    # TS-CAM, TRT: the same, other rounding.
    "tscam": FrameRule("the whole image", _squashed, _move_tscam),
    # SAT: squashed to a larger square, of which the center counts.
    "sat": FrameRule("the center of the squashed image", _squashed_and_cropped, _move_sat, crops=True),
    # CDTR, LocLoc: the short side is resized, the center counts.
    "short": FrameRule("the center of the image", _short_side_and_cropped, _move_short, crops=True),
}


def gt_to_frame(
    bboxes: np.ndarray,
    ori_shape: Sequence[int],
    size: tuple[int, int],
    rule: str = "tscam",
    resize_size: int | None = None,
) -> np.ndarray:
    """Move ground-truth boxes from original pixels to the evaluation frame.

    Args:
        bboxes: (M, 4) boxes in original pixels; a list of x, y, w, h has become x1 = x + w.
        ori_shape: (H, W) of the original image.
        size: (H, W) of the evaluation frame, normally (224, 224).
        rule: One of :data:`FRAME_RULES`. Defaults to 'tscam'.
        resize_size: Side before the crop of 'sat' and 'short'. Defaults to None: 256 for 224, 448 for 384, else S * 8
            / 7.

    Returns:
        float64 (M, 4). No box is dropped: the crop of 'sat' can leave degenerate or inverted boxes.

    Raises:
        ValueError: On an unknown rule, or a crop rule with a frame that is not square.
    """
    boxes = as_boxes(bboxes)
    check_rule(rule, size)
    shape = (int(ori_shape[0]), int(ori_shape[1]))
    return FRAME_RULES[rule].move(boxes, shape, (size[0], size[1]), resize_size or resize_side(size[0]))


def frame_of_rule(ori_shape: Sequence[int], size: tuple[int, int], rule: str, resize_size: int | None = None) -> Frame:
    """Return the geometry of a rule; arguments and errors as :func:`gt_to_frame`."""
    check_rule(rule, size)
    shape = (int(ori_shape[0]), int(ori_shape[1]))
    return FRAME_RULES[rule].geometry(shape, (size[0], size[1]), resize_size or resize_side(size[0]))


def check_rule(rule: str, size: tuple[int, int]) -> None:
    """Raise ``ValueError`` if ``rule`` is unknown or does not fit a frame of ``size`` (H, W)."""
    if rule not in FRAME_RULES:
        raise ValueError(f"frame_rule must be one of {tuple(FRAME_RULES)}, got {rule!r}")
    if FRAME_RULES[rule].crops and size[0] != size[1]:
        raise ValueError(f"frame_rule {rule!r} needs a square frame, got (H, W) = {tuple(size)}")


def check_frame(frame: Frame, rule: str, resize_size: int | None = None) -> None:
    """Check that the test pipeline made the frame that ``rule`` assumes.

    Args:
        frame: Frame of the data sample.
        rule: Frame rule, see :func:`gt_to_frame`.
        resize_size: As there.

    Raises:
        ValueError: If the corners of the image lie elsewhere by more than :data:`FRAME_TOLERANCE`.
    """
    height, width = frame.ori_shape
    corners = np.array([[0, 0], [width, height]])
    assumed = frame_of_rule(frame.ori_shape, frame.shape, rule, resize_size)
    distance = np.abs(frame.points(corners) - assumed.points(corners)).max()
    if distance > FRAME_TOLERANCE:
        raise ValueError(
            f"frame_rule {rule!r} does not fit the test pipeline: the corners of an image of "
            f"(H, W) = {(height, width)} are {distance:.1f} pixels apart. Use 'wsol' or 'tscam' after "
            "a plain resize to the network size, 'sat' after a square resize and a center crop, "
            "'short' after a short-side resize and a center crop (resize_size= names the size "
            "before the crop)"
        )


def _corners(size: Size) -> np.ndarray:
    """Return W, H, W, H of a size (H, W)."""
    return np.array([size[1], size[0], size[1], size[0]], np.float64)


def _limited(boxes: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Limit starts from below by 0 and ends from above by ``last``, then truncate."""
    start = np.maximum(boxes[:, :2], 0)
    end = np.minimum(boxes[:, 2:], last[2:])
    return np.trunc(np.concatenate([start, end], axis=1))


def resize_side(side: int) -> int:
    """Return the side before the crop to ``side`` where none is given: 256 for 224, 448 for 384 (official code)."""
    return 448 if side == 384 else round(side * 8 / 7)


def short_side_geometry(width: int, height: int, side: int, resize: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and offset (x, y) of a short-side resize and center crop (CDTR, LocLoc)."""
    if width > height:
        resized = np.array([width * resize / height, resize])
    else:
        resized = np.array([resize, height * resize / width])
    # rint rounds halves to even, as the official int(round(...)) does.
    return resized / (width, height), np.rint((resized - side + 1) / 2)
