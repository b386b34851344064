"""The map from original pixels to the network frame that every geometric transform keeps up to date."""

from __future__ import annotations

import numpy as np

Frame = tuple[tuple[float, float], tuple[float, float]]
IDENTITY: Frame = ((1.0, 0.0), (1.0, 0.0))


def apply_frame(boxes: np.ndarray, frame: Frame, shape: tuple[int, ...]) -> np.ndarray:
    """Map boxes from original pixels to the network frame and clip them to it.

    Args:
        boxes (np.ndarray): (M, 4) x0, y0, x1, y1 in original pixels.
        frame (tuple): ``((sx, tx), (sy, ty))`` with ``x_network = sx * x_original + tx``.
        shape (tuple[int, ...]): (H, W, ...) of the network frame.

    Returns:
        np.ndarray: (M, 4) float32. A box outside the frame becomes degenerate and is kept.
    """
    (sx, tx), (sy, ty) = frame
    source = np.asarray(boxes, np.float64).reshape(-1, 4)
    x = np.sort(source[:, 0::2] * sx + tx, axis=1).clip(0, shape[1])
    y = np.sort(source[:, 1::2] * sy + ty, axis=1).clip(0, shape[0])
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1).astype(np.float32)


def update_boxes(results: dict) -> dict:
    """Set ``img_shape`` and, from ``frame`` and ``gt_bboxes_ori``, ``gt_bboxes``.

    Boxes are computed from the original ones each time, never from the clipped boxes of the step before, so that a
    chain of any length is exact.
    """
    results["img_shape"] = results["img"].shape[:2]
    results["frame_shape"] = results["img_shape"]
    if "gt_bboxes_ori" in results:
        results["gt_bboxes"] = apply_frame(results["gt_bboxes_ori"], results["frame"], results["img_shape"])
    return results


def scale_frame(results: dict, old_shape: tuple[int, ...]) -> dict:
    """Note that the image was resized from ``old_shape`` (H, W, ...) to its present shape."""
    (sx, tx), (sy, ty) = results.get("frame", IDENTITY)
    height, width = results["img"].shape[:2]
    rx, ry = width / old_shape[1], height / old_shape[0]
    results["frame"] = ((sx * rx, tx * rx), (sy * ry, ty * ry))
    return update_boxes(results)


def shift_frame(results: dict, dx: float, dy: float) -> dict:
    """Note that the picture content was moved by (dx, dy) pixels: a crop at (x, y) moves it by (-x, -y)."""
    (sx, tx), (sy, ty) = results.get("frame", IDENTITY)
    results["frame"] = ((sx, tx + dx), (sy, ty + dy))
    return update_boxes(results)


def flip_frame(results: dict, horizontal: bool, vertical: bool) -> dict:
    """Note that the image was flipped left-right and/or upside down."""
    (sx, tx), (sy, ty) = results.get("frame", IDENTITY)
    height, width = results["img"].shape[:2]
    x = (-sx, width - tx) if horizontal else (sx, tx)
    y = (-sy, height - ty) if vertical else (sy, ty)
    results["frame"] = (x, y)
    return update_boxes(results)
