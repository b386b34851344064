"""Sizes of image files."""

from __future__ import annotations

import logging
import os

from mmengine.logging import print_log

from mmwsol.datasets.transforms.loading import (
    COLOR_TYPES,
    MAX_PIXELS,
    UnreadableImageError,
    decode_image,
    missing_image,
    open_image,
    orientation,
)

ON_ITS_SIDE = 5  #: Lowest EXIF orientation that exchanges width and height.


def _read_header(path: str) -> tuple[tuple[int, int], int] | str:
    """Return the (W, H) of the stored picture and its EXIF orientation, or why it cannot be read."""
    if os.path.exists(path) and not os.path.isfile(path):
        return f"image '{path}' is no file: correct the list"
    try:
        with open(path, "rb") as file:
            image = open_image(file, path)
            return image.size, orientation(image)
    except FileNotFoundError:
        return missing_image(path)
    except UnreadableImageError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return f"image '{path}' cannot be read ({error}): restore or remove it"


def read_size(
    path: str, decode: bool = True, color_type: str = COLOR_TYPES[1], max_pixels: int | None = MAX_PIXELS
) -> tuple[int, int] | str:
    """Return the (W, H) of an image file, or the message that says why it cannot be read; see :func:`read_oriented`."""
    found = read_oriented(path, decode, color_type, max_pixels)
    return found if isinstance(found, str) else found[0]


def read_oriented(
    path: str, decode: bool = True, color_type: str = COLOR_TYPES[1], max_pixels: int | None = MAX_PIXELS
) -> tuple[tuple[int, int], int] | str:
    """Return the (W, H) of an image file and its EXIF orientation, or the message that says why it cannot be read.

    Args:
        path: Image file.
        decode: Whether to read all of it, not only its header. Defaults to True.
        color_type: Whether the EXIF tag turns it, see :class:`LoadImage`. Defaults to 'color_ignore_orientation'.
        max_pixels: See :class:`LoadImage`. Defaults to :data:`MAX_PIXELS`.
    """
    header = _read_header(path)
    if isinstance(header, str):
        return header
    (width, height), turn = header
    if decode:
        try:
            with open(path, "rb") as file:
                img = decode_image(file.read(), path, color_type=color_type, max_pixels=max_pixels)
        except UnreadableImageError as error:
            return str(error)
        except OSError as error:
            return f"image '{path}' cannot be read ({error}): restore or remove it"
        return (img.shape[1], img.shape[0]), turn
    return ((height, width) if turn >= ON_ITS_SIDE and color_type == "color" else (width, height)), turn


def warn_of_turned(name: str, count: int) -> None:
    """Warn of images with boxes whose EXIF tag turns them, where the stored pixels are loaded."""
    if count:
        message = f"{name}: {count} photograph(s) with boxes are turned or mirrored by their EXIF tag, and loaded as "
        message += "stored. If the boxes were drawn on the upright photograph, load it: "
        print_log(message + "mmwsol.LoadImage(color_type='color')", "current", logging.WARNING)
