"""What inference is asked to look at: folders, globs, paths and arrays, one by one."""

from __future__ import annotations

import glob
import logging
import os
import sys
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmwsol.apis.output_folder import written_pictures
from mmwsol.datasets.readers import list_images
from mmwsol.datasets.records import plain
from mmwsol.datasets.walk import is_system

MASK = "_mask.png"


def list_inputs(inputs: Any, out_dir: str | Path | None = None) -> list:
    """List the inputs of :class:`WSOLInferencer` one by one: the images of folders and globs, all else as it is.

    ``a_mask.png`` beside an image ``a`` is its mask, and is left out with a warning.

    Args:
        inputs: See its call.
        out_dir: Folder that is not searched for images, unless it was asked for. Defaults to
            None.

    Raises:
        ValueError: If there is no image.
    """
    written = None if out_dir is None else Path(out_dir).resolve()
    if not isinstance(inputs, (list, tuple)):
        inputs = [inputs]
    items: list = []
    for entry in inputs:
        if not isinstance(entry, (str, Path)):
            items.append(entry)
            continue
        text = str(entry)
        if os.path.isdir(text):
            paths = [os.path.join(text, name) for name in list_images(text, level=logging.WARNING)]
            if written is not None and not Path(text).resolve().is_relative_to(written):
                paths = [path for path in paths if not Path(path).resolve().is_relative_to(written)]
            elif written is not None and written.is_dir():  # into the folder of the images
                pictures = {written / name for name in written_pictures(written)}
                paths = [path for path in paths if Path(path).resolve() not in pictures]
        elif glob.has_magic(text) and not os.path.exists(text):
            paths = sorted(path for path in glob.glob(text, recursive=True) if os.path.isfile(path))
            paths = _without_copies(paths, text)
            if not paths and "*" not in text and "?" not in text:  # brackets in a name
                paths = [text]
        else:
            paths = [text]
        if not paths:
            raise ValueError(f"no image in '{text}'.")
        items += _without_masks(paths, text)
    if not items:
        raise ValueError("there are no images: the list is empty.")
    return items


def _without_masks(paths: list[str], asked: str) -> list[str]:
    """Leave out the masks that lie beside their images."""
    images = {os.path.splitext(path)[0] for path in paths}
    is_mask = [path.endswith(MASK) and path.removesuffix(MASK) in images for path in paths]
    if any(is_mask):
        first = paths[is_mask.index(True)]
        text = f"'{asked}': {sum(is_mask)} masks beside their images are left out, such as '{first}'."
        print_log(text, "current", level=logging.WARNING)
    return [path for path, mask in zip(paths, is_mask, strict=True) if not mask]


def _without_copies(paths: list[str], pattern: str) -> list[str]:
    """Leave out what a glob finds in system folders, and one file under several paths, as loops of links make them."""
    asked = set(pattern.split("/"))
    kept: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        if not any(is_system(part) for part in path.split("/") if part not in asked and part not in (".", "..")):
            folder, name = os.path.split(path)
            kept.setdefault(os.path.join(os.path.realpath(folder), name), path)
    return sorted(kept.values())


def input_name(item: Any, index: int) -> str:
    """Name an input in messages and files."""
    path = item.get("img_path") if isinstance(item, dict) else item
    return str(path) if isinstance(path, (str, Path)) else f"array_{index:04d}"


def failure(item: Any, index: int, error: Exception) -> str:
    """Say in one line which image failed, and why."""
    return f"image '{input_name(item, index)}' failed: {' '.join(str(error).split())[:300] or type(error).__name__}"


def printable(text: str) -> str:
    """Return a text that the console can show, with escapes for letters that its code page lacks."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return plain(text).encode(encoding, "backslashreplace").decode(encoding)
