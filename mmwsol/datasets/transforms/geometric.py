"""Geometric transforms that carry ground-truth boxes and the frame: mmcv's and mmpretrain's, made box-aware.

Sizes keep the order of the class they come from: ``Resize`` and ``CenterCrop`` take (w, h), ``RandomCrop`` and
``RandomResizedCrop`` take (h, w). The ``pillow`` backend is the default since the official code resizes with PIL
(antialiased); its result equals torchvision's on PIL images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import mmcv
import mmcv.transforms
import mmpretrain.datasets.transforms as mmpretrain_transforms
import numpy as np
from mmcv.transforms import BaseTransform

from mmwsol.datasets.transforms.carry import carry, frame_of
from mmwsol.registry import TRANSFORMS


def _pair(size: int | Sequence[int], name: str) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ValueError(f"{name} must be a positive integer or two of them, got {size!r}")
    return pair


def _check_fits(shape: tuple[int, ...], height: int, width: int, fix: str) -> None:
    if shape[0] < height or shape[1] < width:
        raise ValueError(f"a crop of {width}x{height} does not fit an image of {shape[1]}x{shape[0]} (W x H): {fix}")


def _check_backend(img: np.ndarray, backend: str) -> None:
    if backend == "pillow" and img.dtype != np.uint8:
        raise ValueError(
            f"backend='pillow' resizes 8-bit images only, this one is {img.dtype}: load it with mmwsol.LoadImage, or "
            "take backend='cv2'"
        )


@TRANSFORMS.register_module()
class Resize(mmcv.transforms.Resize):
    """Resize the whole image to one size, whatever its aspect ratio.

    Args:
        scale: Target size, (w, h) or the side of a square.
        backend: 'pillow' or 'cv2'. Defaults to 'pillow'.
        interpolation: 'bilinear', 'bicubic', 'nearest', ... Defaults to 'bilinear'.
    """

    def __init__(self, scale: int | Sequence[int], backend: str = "pillow", interpolation: str = "bilinear") -> None:
        super().__init__(_pair(scale, "scale"), backend=backend, interpolation=interpolation)

    def transform(self, results: dict) -> dict:
        """Resize ``img`` and carry the geometry."""
        _check_backend(results["img"], self.backend)
        frame = frame_of(results)
        results = super().transform(results)
        return carry(results, frame.resized(results["img"].shape))


@TRANSFORMS.register_module()
class ResizeEdge(mmpretrain_transforms.ResizeEdge):
    """Resize the short edge to a given length, keeping the aspect ratio, as torchvision's ``Resize(int)`` does.

    Args:
        scale: Length of the short edge in pixels.
        backend: 'pillow' or 'cv2'. Defaults to 'pillow'.
        interpolation: As in :class:`Resize`. Defaults to 'bilinear'.
    """

    def __init__(self, scale: int, backend: str = "pillow", interpolation: str = "bilinear") -> None:
        super().__init__(_pair(scale, "scale")[0], "short", backend, interpolation)

    def transform(self, results: dict) -> dict:
        """Resize ``img`` and carry the geometry."""
        _check_backend(results["img"], self.backend)
        frame = frame_of(results)
        results = super().transform(results)
        return carry(results, frame.resized(results["img"].shape))


@TRANSFORMS.register_module()
class CenterCrop(mmcv.transforms.CenterCrop):
    """Crop the center at ``round((n - crop) / 2)``, as torchvision does.

    Args:
        crop_size: (w, h) or the side of a square.
        auto_pad: Whether to pad smaller images with 0 at the right and the bottom. Defaults to False.

    Raises:
        ValueError: If the image is smaller than the crop and ``auto_pad`` is False.
    """

    def __init__(self, crop_size: int | Sequence[int], auto_pad: bool = False) -> None:
        super().__init__(_pair(crop_size, "crop_size"), auto_pad)

    def transform(self, results: dict) -> dict:
        """Crop ``img`` and carry the geometry."""
        width, height = self.crop_size
        shape = results["img"].shape
        if not self.auto_pad:
            _check_fits(shape, height, width, "resize first, or set auto_pad=True")
        # Pillow's and torchvision's rounding, python's banker's rounding of halves
        x = max(0, round((shape[1] - width) / 2))
        y = max(0, round((shape[0] - height) / 2))
        frame = frame_of(results)
        results = super().transform(results)
        return carry(results, frame.cropped(x, y, results["img"].shape))


@TRANSFORMS.register_module()
class RandomCrop(mmpretrain_transforms.RandomCrop):
    """Crop at a random place.

    Args:
        crop_size: (h, w) or the side of a square.
        padding: Pixels added before the crop: one number, (left/right, top/bottom) or
            (left, top, right, bottom). Defaults to None.
        pad_if_needed: Whether to pad images that are smaller than the crop. Defaults to False.
        padding_mode: 'constant' (0), 'edge', 'reflect' or 'symmetric'. Defaults to 'constant'.

    Raises:
        ValueError: If the image is smaller than the crop and ``pad_if_needed`` is False.
    """

    def __init__(
        self,
        crop_size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        padding_mode: str = "constant",
    ) -> None:
        if isinstance(padding, int):
            padding = (padding,) * 4
        elif padding is not None and len(padding) == 2:
            padding = tuple(padding) * 2
        if padding is not None and len(padding) != 4:
            raise ValueError(f"padding must have 1, 2 or 4 numbers, got {padding!r}")
        size = _pair(crop_size, "crop_size")
        super().__init__(size, padding, pad_if_needed, padding_mode=padding_mode)

    def transform(self, results: dict) -> dict:
        """Pad and crop ``img`` and carry the geometry."""
        height, width = self.crop_size
        frame = frame_of(results)
        left, top, right, bottom = self.padding or (0, 0, 0, 0)
        shape = results["img"].shape
        if self.pad_if_needed:
            dy = math.ceil(max(0, height - shape[0] - top - bottom) / 2)
            dx = math.ceil(max(0, width - shape[1] - left - right) / 2)
            left, top, right, bottom = left + dx, top + dy, right + dx, bottom + dy
        img = results["img"]
        if any((left, top, right, bottom)):
            img = mmcv.impad(img, padding=(left, top, right, bottom), padding_mode=self.padding_mode)
        _check_fits(img.shape, height, width, "resize first, or set pad_if_needed=True")
        y, x, height, width = self.rand_crop_params(img)
        results["img"] = np.ascontiguousarray(img[y : y + height, x : x + width])
        return carry(results, frame.cropped(x - left, y - top, results["img"].shape))


@TRANSFORMS.register_module()
class RandomResizedCrop(mmpretrain_transforms.RandomResizedCrop):
    """Crop a random part of the image, with an aspect ratio of 3/4 to 4/3, and resize it.

    Args:
        scale: Output size, (h, w) or the side of a square.
        crop_ratio_range: Area of the crop over that of the image. Defaults to (0.08, 1.0).
        interpolation: As in :class:`Resize`. Defaults to 'bilinear'.
        backend: 'pillow' or 'cv2'. Defaults to 'pillow'.
    """

    # A subclass in mmpretrain enters this name a second time into the parent's list, after which mmcv's
    # cache_random_params refuses the parent: keep a separate list.
    _methods_with_randomness = ["rand_crop_params"]

    def __init__(
        self,
        scale: int | Sequence[int],
        crop_ratio_range: tuple[float, float] = (0.08, 1.0),
        interpolation: str = "bilinear",
        backend: str = "pillow",
    ) -> None:
        size = _pair(scale, "scale")
        super().__init__(size, crop_ratio_range, interpolation=interpolation, backend=backend)

    def transform(self, results: dict) -> dict:
        """Crop and resize ``img`` and carry the geometry."""
        _check_backend(results["img"], self.backend)
        frame = frame_of(results)
        y, x, height, width = self.rand_crop_params(results["img"])
        crop = np.ascontiguousarray(results["img"][y : y + height, x : x + width])
        results["img"] = mmcv.imresize(crop, self.scale[::-1], interpolation=self.interpolation, backend=self.backend)
        return carry(results, frame.cropped(x, y, crop.shape).resized(results["img"].shape))


@TRANSFORMS.register_module()
class RandomFlip(mmcv.transforms.RandomFlip):
    """Flip the image at random.

    Args:
        prob: Probability, one a direction. Defaults to 0.5.
        direction: 'horizontal', 'vertical' or 'diagonal'. Defaults to 'horizontal'.
    """

    def __init__(self, prob: float | list[float] = 0.5, direction: str | list[str] = "horizontal") -> None:
        prob = float(prob) if isinstance(prob, int) else prob
        super().__init__(prob, direction)

    def transform(self, results: dict) -> dict:
        """Flip ``img`` and carry the geometry."""
        frame = frame_of(results)
        results = super().transform(results)
        direction = results["flip_direction"]
        horizontal, vertical = direction in ("horizontal", "diagonal"), direction in ("vertical", "diagonal")
        return carry(results, frame.flipped(horizontal, vertical))


@TRANSFORMS.register_module()
class TenCrop(BaseTransform):
    """Add the ten crops that classification averages over, beside the one view that localization uses.

    The order is torchvision's: top left, top right, bottom left, bottom right, center, then the same five of the
    image flipped left-right. ``crops`` are left alone by the transforms that follow.

    Args:
        crop_size: (w, h) or the side of a square.
        view: What ``img`` becomes: 'center', the center crop (SAT: the fifth crop is then the view itself), or
            'plain', the image as it was. Defaults to 'center'.
        resize: Size (w, h) to which the image is resized for the crops, and for the
            center view, first. With ``view='plain'`` the image itself is not resized, so that
            ``TenCrop(224, 'plain', resize=256), Resize(224)`` localizes on the whole image. Defaults to None.

    Required keys: ``img``. Added keys: ``crops``, a list of ten (h, w, 3) arrays.

    Raises:
        ValueError: If the image is smaller than a crop.
    """

    def __init__(
        self,
        crop_size: int | Sequence[int] = 224,
        view: str = "center",
        resize: int | Sequence[int] | None = None,
    ) -> None:
        if view not in ("center", "plain"):
            raise ValueError(f"view must be 'center' or 'plain', got {view!r}")
        self.crop_size = _pair(crop_size, "crop_size")
        self.view = view
        self.resize = None if resize is None else Resize(resize)
        self.center_crop = CenterCrop(self.crop_size)

    def transform(self, results: dict) -> dict:
        """Set ``crops``, and ``img`` with its geometry to the chosen view."""
        plain = {"img": results["img"]} if self.view == "plain" else results
        if self.resize is not None:
            plain = self.resize(plain)
        img = plain["img"]
        width, height = self.crop_size
        _check_fits(img.shape, height, width, "resize first, or set resize")
        results["crops"] = self._five(img) + self._five(img[:, ::-1])
        return self.center_crop(results) if self.view == "center" else results

    def _five(self, img: np.ndarray) -> list[np.ndarray]:
        width, height = self.crop_size
        right, bottom = img.shape[1] - width, img.shape[0] - height
        center = (round(right / 2), round(bottom / 2))
        corners = [(0, 0), (right, 0), (0, bottom), (right, bottom), center]
        return [np.ascontiguousarray(img[y : y + height, x : x + width]) for x, y in corners]

    def __repr__(self) -> str:
        return f"TenCrop(crop_size={self.crop_size}, view='{self.view}', resize={self.resize})"
