"""The geometry from original pixels to network pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

RESAMPLES = ("nearest", "bilinear")


@dataclass(frozen=True)
class Frame:
    """The geometry from original to network pixels, along each axis: ``x_network = scale * x_original + shift``.

    Positions are continuous: pixel i covers [i, i + 1], and an image of width W reaches from 0 to W. A flip makes a
    scale negative. Frames are immutable: :meth:`resized`, :meth:`cropped` and :meth:`flipped` return the frame after
    one more step, :meth:`inverse` the way back. :meth:`points`, :meth:`boxes`, :meth:`maps` and :meth:`masks` move what
    is given in original pixels.

    Args:
        ori_shape: (H, W) of the original image.
        shape: (H, W) of the network's input.
        scale: Scale along x and y; negative where flipped. Defaults to (1.0, 1.0).
        shift: Shift along x and y, in network pixels. Defaults to (0.0, 0.0).

    Raises:
        ValueError: If a size is not positive, a scale is 0, or a scale or shift is not finite.
    """

    ori_shape: tuple[int, int]
    shape: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name, side in (("ori_shape", self.ori_shape), ("shape", self.shape)):
            if len(side) != 2 or min(side) < 1:
                raise ValueError(f"{name} of a frame must be (H, W) of at least one pixel, got {side!r}.")
        if not np.isfinite([*self.scale, *self.shift]).all() or 0 in self.scale:
            raise ValueError(
                f"a frame needs finite numbers and scales other than 0, got scale={self.scale} and shift={self.shift}."
            )

    @classmethod
    def identity(cls, shape: Sequence[int]) -> Frame:
        """Return the frame of an image of ``shape`` (H, W, ...) that was not changed."""
        size = (int(shape[0]), int(shape[1]))
        return cls(size, size)

    def resized(self, shape: Sequence[int]) -> Frame:
        """Return the frame after a resize of the current image to ``shape`` (H, W, ...)."""
        size = (int(shape[0]), int(shape[1]))
        x, y = size[1] / self.shape[1], size[0] / self.shape[0]
        scale, shift = (self.scale[0] * x, self.scale[1] * y), (self.shift[0] * x, self.shift[1] * y)
        return replace(self, shape=size, scale=scale, shift=shift)

    def cropped(self, x: float, y: float, shape: Sequence[int]) -> Frame:
        """Return the frame after a crop to ``shape`` (H, W, ...) at (x, y); these are negative where it was padded."""
        size = (int(shape[0]), int(shape[1]))
        return replace(self, shape=size, shift=(self.shift[0] - float(x), self.shift[1] - float(y)))

    def flipped(self, horizontal: bool = True, vertical: bool = False) -> Frame:
        """Return the frame after a flip left-right, upside down, or both."""
        (sx, sy), (tx, ty) = self.scale, self.shift
        if horizontal:
            sx, tx = -sx, self.shape[1] - tx
        if vertical:
            sy, ty = -sy, self.shape[0] - ty
        return replace(self, scale=(sx, sy), shift=(tx, ty))

    def compose(self, after: Frame) -> Frame:
        """Return the frame of this step followed by ``after``, whose original image is the result of this step."""
        (ax, ay), (bx, by) = after.scale, after.shift
        scale = (self.scale[0] * ax, self.scale[1] * ay)
        return Frame(self.ori_shape, after.shape, scale, (self.shift[0] * ax + bx, self.shift[1] * ay + by))

    def inverse(self) -> Frame:
        """Return the way back, from network pixels to original pixels."""
        (sx, sy), (tx, ty) = self.scale, self.shift
        return Frame(self.shape, self.ori_shape, (1 / sx, 1 / sy), (-tx / sx, -ty / sy))

    @property
    def flips(self) -> tuple[bool, bool]:
        """Whether the image is flipped left-right and upside down; ``frame.flipped(*frame.flips)`` undoes both."""
        return self.scale[0] < 0, self.scale[1] < 0

    @property
    def whole_shape(self) -> tuple[float, float]:
        """(H, W) of the whole original image in network pixels, before any crop; not rounded."""
        return abs(self.scale[1]) * self.ori_shape[0], abs(self.scale[0]) * self.ori_shape[1]

    def points(self, points: ArrayLike) -> np.ndarray:
        """Move points (..., 2), x and y, from original to network pixels: (..., 2) float64, not clipped."""
        return np.asarray(points, np.float64) * self.scale + self.shift

    def boxes(self, boxes: ArrayLike, clip: bool = True) -> np.ndarray:
        """Move boxes from original to network pixels; ``frame.inverse().boxes`` moves them back.

        Args:
            boxes: (M, 4) x0, y0, x1, y1.
            clip: Whether to clip to the network's input; boxes outside it become degenerate. Defaults to True.

        Returns:
            (M, 4) float32.
        """
        corners = np.sort(self.points(np.asarray(boxes, np.float64).reshape(-1, 2, 2)), axis=1)
        if clip:
            corners = corners.clip(0, self.shape[::-1])
        return corners.reshape(-1, 4).astype(np.float32)

    def maps(self, picture: np.ndarray) -> np.ndarray:
        """Move an image or map (H, W) or (H, W, C) from original to network pixels, bilinearly; 0 outside.

        ``frame.inverse().maps(score_map)`` moves a map in network pixels back onto the image.

        Raises:
            ValueError: If the image does not have the original size.
        """
        if picture.shape[:2] != self.ori_shape:
            raise ValueError(
                f"a picture of (H, W) = {picture.shape[:2]} is not in the pixels of this frame, which begins at "
                f"{self.ori_shape}: resize it first."
            )
        back = self.inverse()  # cv2 asks where each pixel comes from, and counts pixel centers from 0, not 0.5
        (sx, sy), (tx, ty) = back.scale, back.shift
        matrix = np.array([[sx, 0, tx + (sx - 1) / 2], [0, sy, ty + (sy - 1) / 2]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(picture, matrix, self.shape[::-1], flags=flags)

    def masks(self, mask: np.ndarray, resample: str = "nearest") -> np.ndarray:
        """Move a mask of the original image to network pixels; 0 outside.

        The mask is resized as the whole image was, and then cropped and flipped as the image was.

        Args:
            mask: (h, w), of any size: it covers the whole original image. Of any type; bool for
                'bilinear'.
            resample: The resize: 'nearest', the rule of wsolevaluation, ``cv2.INTER_NEAREST``
                (``floor(destination * scale)``); or 'bilinear', by Pillow, every pixel with a part of the mask being
                true, to a whole number of pixels. Defaults to 'nearest'.

        Returns:
            (H, W) of the same type.

        Raises:
            ValueError: If ``resample`` is unknown.
        """
        if resample not in RESAMPLES:
            raise ValueError(f"resample must be one of {RESAMPLES}, got {resample!r}.")
        horizontal, vertical = self.flips
        height, width = self.whole_shape
        if resample == "bilinear":
            size = (max(round(width), 1), max(round(height), 1))
            mask = np.asarray(Image.fromarray(mask.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)) > 0
            rows = _placed(size[1], self.shape[0], self.shift[1], vertical)
            columns = _placed(size[0], self.shape[1], self.shift[0], horizontal)
        else:
            unflipped = self.flipped(horizontal, vertical)
            rows = _nearest(mask.shape[0], height, self.shape[0], unflipped.shift[1])
            columns = _nearest(mask.shape[1], width, self.shape[1], unflipped.shift[0])
            rows, columns = rows[:: -1 if vertical else 1], columns[:: -1 if horizontal else 1]
        inside = (rows >= 0)[:, None] & (columns >= 0)
        return np.where(inside, mask[rows][:, columns], np.zeros((), mask.dtype))


def _placed(length: int, size: int, shift: float, flipped: bool) -> np.ndarray:
    """Return the index of the pixel of a line of ``length`` under each of ``size`` network pixels; -1 outside.

    The line begins at ``shift``, or ends there if it is flipped, rounded to a whole pixel.
    """
    index = np.arange(size) - round(shift - length if flipped else shift)
    inside = (index >= 0) & (index < length)
    return np.where(inside, length - 1 - index if flipped else index, -1)


def _nearest(mask_size: int, whole: float, size: int, shift: float) -> np.ndarray:
    """Return the index of the mask pixel (of ``mask_size``) under each of ``size`` network pixels, along one axis.

    The mask covers ``whole`` network pixels, beginning at ``shift``, without flip. The index is -1 outside the mask.
    """
    target = np.arange(size)
    start = -shift
    if abs(whole - round(whole)) < 1e-6 and abs(start - round(start)) < 1e-6:
        # a resize of the whole image, then a crop: let cv2 say which pixel it takes
        source = np.arange(mask_size, dtype=np.float32)[None]
        table = cv2.resize(source, (round(whole), 1), interpolation=cv2.INTER_NEAREST)[0]
        index = target + round(start)
        inside = (index >= 0) & (index < len(table))
        return np.where(inside, table[index.clip(0, len(table) - 1)].astype(int), -1)
    index = np.floor((target + start) * mask_size / whole).astype(int)
    return np.where((index >= 0) & (index < mask_size), index, -1)
