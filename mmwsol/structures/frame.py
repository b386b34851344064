"""The geometry from original pixels to network pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np


@dataclass(frozen=True)
class Frame:
    """How the pixels of an image become those of the network's input: ``x_network = scale * x_original + shift``.

    Positions are continuous: a pixel covers [i, i + 1], an image of width W reaches from 0 to W. A flip makes a scale
    negative. Frames are immutable; :meth:`resized`, :meth:`cropped` and :meth:`flipped` give the frame after one more
    step.

    Args:
        ori_shape (tuple[int, int]): (H, W) of the original image.
        shape (tuple[int, int]): (H, W) of the network's input.
        scale (tuple[float, float]): Along x and y. Defaults to (1.0, 1.0).
        shift (tuple[float, float]): Along x and y, in network pixels. Defaults to (0.0, 0.0).
    """

    ori_shape: tuple[int, int]
    shape: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def identity(cls, shape: Sequence[int]) -> Frame:
        """Return the frame of an image (H, W, ...) that nothing happened to."""
        size = (int(shape[0]), int(shape[1]))
        return cls(size, size)

    def resized(self, shape: Sequence[int]) -> Frame:
        """Return the frame after a resize of the present picture to ``shape`` (H, W, ...)."""
        size = (int(shape[0]), int(shape[1]))
        x, y = size[1] / self.shape[1], size[0] / self.shape[0]
        scale, shift = (self.scale[0] * x, self.scale[1] * y), (self.shift[0] * x, self.shift[1] * y)
        return replace(self, shape=size, scale=scale, shift=shift)

    def cropped(self, x: float, y: float, shape: Sequence[int]) -> Frame:
        """Return the frame after a crop to ``shape`` (H, W, ...) from (x, y) on; negative where it was padded."""
        size = (int(shape[0]), int(shape[1]))
        return replace(self, shape=size, shift=(self.shift[0] - x, self.shift[1] - y))

    def flipped(self, horizontal: bool = True, vertical: bool = False) -> Frame:
        """Return the frame after a flip left-right, upside down, or both."""
        (sx, sy), (tx, ty) = self.scale, self.shift
        if horizontal:
            sx, tx = -sx, self.shape[1] - tx
        if vertical:
            sy, ty = -sy, self.shape[0] - ty
        return replace(self, scale=(sx, sy), shift=(tx, ty))

    def compose(self, after: Frame) -> Frame:
        """Return the frame of this step and then ``after``, whose original is this one's result."""
        (ax, ay), (bx, by) = after.scale, after.shift
        scale = (self.scale[0] * ax, self.scale[1] * ay)
        return Frame(self.ori_shape, after.shape, scale, (self.shift[0] * ax + bx, self.shift[1] * ay + by))

    def inverse(self) -> Frame:
        """Return the way back, from network pixels to original pixels."""
        (sx, sy), (tx, ty) = self.scale, self.shift
        return Frame(self.shape, self.ori_shape, (1 / sx, 1 / sy), (-tx / sx, -ty / sy))

    def points(self, points: np.ndarray) -> np.ndarray:
        """Move points (..., 2), x and y, from original to network pixels, in float64, without limits."""
        return np.asarray(points, np.float64) * self.scale + self.shift

    def boxes(self, boxes: np.ndarray, clip: bool = True) -> np.ndarray:
        """Move boxes from original to network pixels; ``frame.inverse().boxes`` moves them back.

        Args:
            boxes (np.ndarray): (M, 4) x0, y0, x1, y1.
            clip (bool): Whether to clip to the frame, which leaves degenerate boxes of those outside. Defaults to True.

        Returns:
            np.ndarray: (M, 4) float32.
        """
        corners = np.sort(self.points(np.asarray(boxes, np.float64).reshape(-1, 2, 2)), axis=1)
        if clip:
            corners = corners.clip(0, self.shape[::-1])
        return corners.reshape(-1, 4).astype(np.float32)

    def maps(self, picture: np.ndarray) -> np.ndarray:
        """Move a picture or map (H, W) or (H, W, C) from original to network pixels, bilinearly; 0 outside.

        ``frame.inverse().maps(score_map)`` shows a map of the network's size on the image.

        Raises:
            ValueError: If the picture does not have the original size.
        """
        if picture.shape[:2] != self.ori_shape:
            raise ValueError(f"the frame begins at (H, W) = {self.ori_shape}, the picture has {picture.shape[:2]}.")
        back = self.inverse()  # cv2 asks where each pixel comes from, and counts pixel centres from 0, not 0.5
        (sx, sy), (tx, ty) = back.scale, back.shift
        matrix = np.array([[sx, 0, tx + (sx - 1) / 2], [0, sy, ty + (sy - 1) / 2]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(picture, matrix, self.shape[::-1], flags=flags)
