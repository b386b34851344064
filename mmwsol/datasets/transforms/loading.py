"""Loading of images and masks."""

from __future__ import annotations

import contextlib
import glob
import io
import logging
import os
import threading
from collections.abc import Sequence
from typing import IO

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine import fileio
from mmengine.logging import print_log
from PIL import Image, ImageOps

from mmwsol.datasets.transforms.carry import carry
from mmwsol.registry import TRANSFORMS
from mmwsol.structures import Frame

COLOR_TYPES = ("color", "color_ignore_orientation")
#: Pixels of the largest image that is decoded unless more are allowed: Pillow's limit against decompression bombs.
MAX_PIXELS = 178_956_970
BOX_SLACK = 0.5  #: Pixels that a listed box may reach over the border by rounding.
EXIF_FIX = "mmwsol.LoadImage(color_type='color') loads it upright"
LFS_POINTER = b"version https://git-lfs.github.com/"  #: What git-lfs leaves in place of a file.
_ORIENTATION = 0x0112  # EXIF tag
_OPENING = threading.Lock()
_FULL_DEPTH = 16384  # the maximum of a picture in 16 bit is rarely below
_WARNED: set[str] = set()  # what this process was warned of


class UnreadableImageError(ValueError):
    """An image or mask file that is empty, cannot be decoded, has another size, or does not contain its boxes."""


def missing_image(path: str) -> str:
    """Say that an image does not exist, and whether its name lacks the ending."""
    found = sorted(glob.glob(f"{glob.escape(path)}.*")) if not os.path.splitext(path)[1] else []
    hint = f"there is '{found[0]}': the list leaves out the ending" if found else "check data_root and data_prefix"
    return f"image '{path}' does not exist: {hint}"


def open_image(file: IO[bytes], path: str) -> Image.Image:
    """Open an image of any size with Pillow; pixels are not decoded yet.

    Raises:
        UnreadableImageError: If it is no image.
    """
    with _OPENING:  # Pillow's own limit is one number for the process, and its message names no option
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            if not file.read(1):
                raise UnreadableImageError(f"image '{path}' is empty (0 bytes): restore or remove it")
            file.seek(0)
            return Image.open(file)
        except UnreadableImageError:
            raise
        except Exception as error:  # decoders raise anything on broken files
            reason = str(error).split(" <_io")[0]
            raise UnreadableImageError(f"image '{path}' cannot be decoded ({reason}): restore or remove it") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image: 1 as stored, 2 to 4 mirrored or upside down, 5 to 8 on its side."""
    try:
        found = image.getexif().get(_ORIENTATION)
    except Exception:  # a broken tag turns nothing
        return 1
    return found if isinstance(found, int) and 1 < found < 9 else 1


def _check_depth(pixels: np.ndarray, path: str) -> None:
    """Warn, once in a process, of an image whose numbers are not those of 16 bit: it would be black, or white."""
    low, high = int(pixels.min()), int(pixels.max())
    if (low >= 0 and _FULL_DEPTH <= high <= 65535) or high == low == 0 or "depth" in _WARNED:
        return
    _WARNED.add("depth")
    message = (
        f"image '{path}' has pixels from {low} to {high}. They are taken for 16 bit, 0 to 65535, and the upper byte is "
        f"kept: here {max(low, 0) >> 8} to {min(max(high, 0) >> 8, 255)} of 255. Where numbers are of 12 or 8 bit, as "
        "those of X-ray and MR often are, scale the images to 0..65535 or store them in 8 bit. Further images are not "
        "named"
    )
    print_log(message.encode("utf-8", "backslashreplace").decode(), "current", logging.WARNING)


def to_rgb(image: Image.Image, path: str) -> Image.Image:
    """Convert to three 8-bit channels; 16-bit images keep their upper byte, ``path`` names the image in errors."""
    if image.mode == "F":
        raise UnreadableImageError(f"image '{path}' has float pixels: convert it to 8 or 16 bit")
    if image.mode.startswith("I"):  # 16 bit; Pillow's own conversion would saturate everything above 255
        pixels = np.asarray(image).astype(np.int64)
        _check_depth(pixels, path)
        gray = np.clip(pixels >> 8, 0, 255).astype(np.uint8)
        image = Image.fromarray(gray)
    return image.convert("RGB")


def decode_image(
    content: bytes,
    path: str,
    backend: str = "pillow",
    color_type: str = COLOR_TYPES[1],
    max_pixels: int | None = MAX_PIXELS,
) -> np.ndarray:
    """Decode an image file to three 8-bit channels, whatever it holds (gray, CMYK, palette, alpha, 16 bit).

    Args:
        content: The file.
        path: Its name, for the error message.
        backend: 'pillow', or another decoder of ``mmcv.imfrombytes``. Defaults to 'pillow', which gives the
            pixels of ``Image.open(path).convert('RGB')``.
        color_type: 'color_ignore_orientation' keeps the stored pixels, 'color' turns them by the EXIF tag.
            Defaults to the former.
        max_pixels: Pixels of the largest image; None for no limit. Defaults to 178,956,970.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        UnreadableImageError: If the file is empty, no image, or has more pixels.
    """
    if not content:
        raise UnreadableImageError(f"image '{path}' is empty (0 bytes): restore or remove it")
    if content.startswith(LFS_POINTER):
        raise UnreadableImageError(f"image '{path}' is a pointer of git-lfs, not the image: run `git lfs pull`")
    try:
        if backend == "pillow":
            image: Image.Image = open_image(io.BytesIO(content), path)
            if max_pixels is not None and image.width * image.height > max_pixels:
                raise UnreadableImageError(
                    f"image '{path}' has {image.width}x{image.height} (W x H) = {image.width * image.height:,} pixels, "
                    f"more than {max_pixels:,}: a small file can fill the memory so. mmwsol.LoadImage(max_pixels=N) "
                    "in the pipeline, and `mmwsol infer --max-pixels N`, allow more, None any number"
                )
            if color_type == "color":
                image = ImageOps.exif_transpose(image)
            rgb = np.asarray(to_rgb(image, path))
            return np.ascontiguousarray(rgb[:, :, ::-1])
        img = mmcv.imfrombytes(content, flag=color_type, backend=backend)
    except UnreadableImageError:
        raise
    except Exception as error:  # decoders raise anything on broken files
        raise UnreadableImageError(f"image '{path}' cannot be decoded ({error}): restore or remove it") from error
    if img is None:
        raise UnreadableImageError(f"image '{path}' cannot be decoded: restore or remove it")
    return img


def read_original(path: str, ori_shape: Sequence[int]) -> np.ndarray:
    """Read an image file to draw boxes into it that count in the pixels of ``ori_shape`` (H, W).

    The stored pixels are turned by the EXIF tag, as ``LoadImage(color_type='color')`` does, if height and width are
    exchanged. Other turns, by 180 degrees or of a square image, leave no trace in the shape and are not made.

    Args:
        path: Image file.
        ori_shape: Height and width that the pipeline loaded.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        UnreadableImageError: If the file is empty or no image.
    """
    with open(path, "rb") as file:
        content = file.read()
    img = decode_image(content, path, max_pixels=None)  # it was loaded before
    height, width = ori_shape[:2]
    if height != width and img.shape[:2] == (width, height):
        return decode_image(content, path, color_type="color", max_pixels=None)
    return img


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Load an image as three BGR channels and start its ground-truth geometry.

    Required keys: ``img_path``, or ``img`` (H, W, 3) uint8 BGR of a program that loads images itself, as mmpretrain's
    ``ImageClassificationInferencer`` does; optional ``gt_bboxes_ori`` (M, 4), ``ori_size`` (W, H), ``strict_boxes``
    (False: boxes may reach over the border, as some of CUB do). Added keys: ``img`` (H, W, 3) uint8, ``img_shape`` and
    ``ori_shape`` (H, W), ``frame`` (identity), ``gt_bboxes`` (M, 4) float32.

    The stored pixels are used as they are: like the official code of the papers, and unlike mmcv's default, the EXIF
    orientation is ignored, since boxes are listed in stored pixels.

    Args:
        color_type: 'color_ignore_orientation' or 'color' (turn by the EXIF tag). Defaults to the former.
        imdecode_backend: Decoder. Defaults to 'pillow', equal to ``Image.open(path).convert('RGB')``.
        check_size: Whether to raise if the file does not have the size that the list states: its boxes would be
            wrong. Defaults to True.
        ignore_empty: Whether to return None for files that do not exist or cannot be decoded. Defaults to
            False.
        max_pixels: Pixels of the largest image that is decoded, against decompression bombs; None for
            no limit. Of the backend 'pillow'. Defaults to 178,956,970, Pillow's limit.

    Raises:
        FileNotFoundError: If the file does not exist.
        UnreadableImageError: If it is empty, no image, too large, does not have the listed size, or a box does not lie
            inside it.
    """

    def __init__(
        self,
        color_type: str = "color_ignore_orientation",
        imdecode_backend: str = "pillow",
        check_size: bool = True,
        ignore_empty: bool = False,
        max_pixels: int | None = MAX_PIXELS,
    ) -> None:
        if color_type not in COLOR_TYPES:
            raise ValueError(f"color_type must be one of {COLOR_TYPES}, got {color_type!r}")
        super().__init__(color_type=color_type, imdecode_backend=imdecode_backend, ignore_empty=ignore_empty)
        self.check_size = check_size
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> dict | None:
        """Read ``results['img_path']``; without one, take ``results['img']``."""
        if "img_path" not in results and "img" in results:
            return self._start(results, _check_loaded(results["img"]), "of an array")
        path = results["img_path"]
        try:
            if "://" not in path and not os.path.isfile(path) and os.path.exists(path):
                raise IsADirectoryError(f"'{path}' is a folder or a device")
            content = fileio.get(path)
            img = decode_image(content, path, self.imdecode_backend, self.color_type, self.max_pixels)
        except (FileNotFoundError, IsADirectoryError) as error:
            if self.ignore_empty:
                return None
            raise FileNotFoundError(missing_image(path)) from error
        except UnreadableImageError:
            if self.ignore_empty:
                return None
            raise
        except (OSError, ValueError) as error:  # a name that is too long, a file that may not be read
            raise UnreadableImageError(f"image '{path}' cannot be read ({error})") from error
        return self._start(results, img, path)

    def _start(self, results: dict, img: np.ndarray, path: str) -> dict:
        """Put the image into ``results``, with its geometry."""
        height, width = img.shape[:2]
        self._check(results, path, width, height)
        results["img"] = img
        results["ori_shape"] = (height, width)
        return carry(results, Frame.identity((height, width)))

    def _check(self, results: dict, path: str, width: int, height: int) -> None:
        """Compare the size with the listed one, and the boxes with the size."""
        listed = results.get("ori_size")
        if self.check_size and listed is not None and tuple(listed) != (width, height):
            turned = tuple(listed) == (height, width) and self.color_type != "color"
            raise UnreadableImageError(
                f"image '{path}' is {width}x{height} but the list says {listed[0]}x{listed[1]} (W x H), so its "
                "boxes do not fit: use the original image, or LoadImage(check_size=False)"
                + (f"; if the photograph is turned by its EXIF tag: {EXIF_FIX}" if turned else "")
            )
        slack = BOX_SLACK if results.get("strict_boxes", True) else max(width, height)
        for x0, y0, x1, y1 in results.get("gt_bboxes_ori", ()):
            beside = x0 >= width or y0 >= height or x1 < 0 or y1 < 0
            if not beside and min(x0, y0) >= -slack and x1 <= width + slack and y1 <= height + slack:
                continue
            turned = self.color_type != "color" and x1 <= height + slack and y1 <= width + slack
            raise UnreadableImageError(
                f"image '{path}' is {width}x{height} (W x H) and box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) lies "
                f"outside it{'' if beside else ' in part'}: correct the list"
                + (f"; if the photograph is turned by its EXIF tag: {EXIF_FIX}" if turned else "")
            )


def _check_loaded(img: np.ndarray) -> np.ndarray:
    """Return an image that was loaded before, if it is (H, W, 3) uint8."""
    if img.dtype != np.uint8 or img.ndim != 3 or img.shape[2] != 3 or not img.size:
        raise UnreadableImageError(f"an image must be (H, W, 3) uint8, got {img.shape} {img.dtype}")
    return img


@TRANSFORMS.register_module()
class LoadMasks(BaseTransform):
    """Load the ground-truth masks of the image into the network frame; put it after every geometric transform.

    Pixels above 0.5 are foreground, the instances are united; ``ignore_mask`` is the ignore file without the
    foreground (wsolevaluation's rule). A mask covers the whole image, whatever its own size; it is resized with
    ``cv2.INTER_NEAREST`` (``floor(destination * scale)``) and then cropped and flipped as the image was, see
    :meth:`mmwsol.structures.Frame.masks`.

    Required keys: ``frame``; optional ``mask_paths``, ``ignore_path``. Added keys, for
    images with masks: ``gt_masks`` and ``ignore_mask``, (H, W) bool.

    Raises:
        FileNotFoundError: If a mask does not exist.
        UnreadableImageError: If a mask is empty or cannot be decoded.
    """

    def transform(self, results: dict) -> dict:
        """Read ``results['mask_paths']`` and ``results['ignore_path']``."""
        if not results.get("mask_paths"):
            return results
        masks = [load_mask(path, results["frame"]) for path in results["mask_paths"]]
        foreground = np.logical_or.reduce(masks)
        ignore = np.zeros_like(foreground)
        if results.get("ignore_path"):
            ignore = load_mask(results["ignore_path"], results["frame"]) & ~foreground
        results["gt_masks"], results["ignore_mask"] = foreground, ignore
        return results

    def __repr__(self) -> str:
        return "LoadMasks()"


def load_mask(path: str, frame: Frame) -> np.ndarray:
    """Read a mask file into the network frame, see :class:`LoadMasks`.

    Args:
        path: Mask of the whole image.
        frame: The way from original to network pixels.

    Returns:
        (H, W) bool: values above 0.5, inside the image.

    Raises:
        FileNotFoundError: If the file does not exist.
        UnreadableImageError: If it is empty or cannot be decoded.
    """
    try:
        content = np.frombuffer(fileio.get(path), np.uint8)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(f"mask '{path}' does not exist: check data_prefix['mask_path']") from error
    except (OSError, ValueError) as error:
        raise UnreadableImageError(f"mask '{path}' cannot be read ({error})") from error
    mask = None
    with contextlib.suppress(cv2.error):  # OpenCV returns None for some broken files and raises for others
        # With its depth: the upper byte of a mask of 16 bit with the values 0 and 1, or 0 and 255, is empty.
        mask = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH) if content.size else None
    if mask is None:
        raise UnreadableImageError(f"mask '{path}' is empty or cannot be decoded")
    return frame.masks(mask if mask.dtype == np.uint8 else (mask > 0.5).astype(np.uint8)) > 0.5
