"""Files of a model's test that ``eval_maps.py`` reads: maps, class scores and ground truth.

A folder holds ``maps/``, one npz an image with the key 'map' or one map (h, w) a class under its index, ``scores.npz``,
and ``meta/``, the four lists of wsolevaluation with labels, sizes and boxes in original pixels, and ``frame.txt``, the
height and width of the network frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmwsol.datasets.offline_cache import cache_file
from mmwsol.files import write_text, writing

FRAME = "frame.txt"
MAX_SIDE = 8192  # of a frame: maps of all classes are brought to it


class DumpedImage(NamedTuple):
    """What the lists tell about one image."""

    img_id: str
    label: int
    ori_shape: tuple[int, int]  # (H, W)
    gt_bboxes: np.ndarray  # (M, 4), original pixels
    scores: np.ndarray  # (C,)
    frame_shape: tuple[int, int]  # (H, W)


def check_file_names(img_ids: Sequence[str]) -> None:
    """Check that every image of a dump has a file of its own, and a name that its lists can hold.

    Raises:
        ValueError: If two images have one file, such as 'a.jpg' and 'a.png', or an id has a comma, which the lists
            separate by.
    """
    files: dict[Path, str] = {}
    for img_id in img_ids:
        other = files.setdefault(Path(img_id).with_suffix(""), img_id)
        if other != img_id:
            raise ValueError(f"images '{other}' and '{img_id}' have one file in the dump of maps: rename one of them")
        if "," in img_id:
            raise ValueError(f"image '{img_id}' has a comma in its name, which the lists of a dump separate by")


def write_maps(folder: str | Path, img_id: str, maps: np.ndarray, labels: Sequence[int]) -> None:
    """Write the maps of one image.

    Args:
        folder: Folder of the dump.
        img_id: Image.
        maps: (K, h, w), as the network gave them.
        labels: (K,) class of every map, -1 for a class-agnostic one, which then stands alone.
    """
    path = cache_file(Path(folder) / "maps", img_id, ".npz")  # refuses names that lead out of the folder
    names = ["map" if label < 0 else str(label) for label in labels]
    with writing(path) as part:
        np.savez(part, **dict(zip(names, maps, strict=True)))


def write_lists(folder: str | Path, images: Sequence[DumpedImage]) -> None:
    """Write ``scores.npz`` and ``meta/``."""
    meta = Path(folder) / "meta"
    meta.mkdir(parents=True, exist_ok=True)
    lists: Mapping[str, list[str]] = {
        "image_ids": [image.img_id for image in images],
        "class_labels": [f"{image.img_id},{image.label}" for image in images],
        "image_sizes": [f"{image.img_id},{image.ori_shape[1]},{image.ori_shape[0]}" for image in images],
        "localization": [_row(image.img_id, box) for image in images for box in image.gt_bboxes.tolist()],
    }
    for name, rows in lists.items():
        write_text(meta / f"{name}.txt", "".join(f"{row}\n" for row in rows))
    frames = sorted({image.frame_shape for image in images})
    write_text(meta / FRAME, "".join(f"{height},{width}\n" for height, width in frames))
    ids, scores = np.array([image.img_id for image in images]), np.stack([image.scores for image in images])
    with writing(Path(folder) / "scores.npz") as part:
        np.savez(part, ids=ids, scores=scores)


def read_frame(meta: str | Path, given: tuple[int, int] | None = None) -> tuple[int, int]:
    """Return the frame (H, W) to evaluate maps in: that of the dump, or the one given, 224 x 224 where neither is.

    Args:
        meta: Folder of the lists, or a file, which has no frame beside it.
        given: What the user said. Defaults to None.

    Raises:
        ValueError: If the dump has another frame, several, or one that no network has.
    """
    file = Path(meta) / FRAME
    if not file.is_file():
        return given or (224, 224)
    try:
        frames = [(int(height), int(width)) for height, width in (line.split(",") for line in file.read_text().split())]
    except ValueError as error:
        raise ValueError(f"'{file}' has no line 'height,width': {error}") from error
    if len(frames) != 1:
        raise ValueError(
            f"the maps in '{Path(meta).parent}' have {len(frames)} frames, such as {frames[:3]}: one is needed"
        )
    if not all(1 <= side <= MAX_SIDE for side in frames[0]):
        raise ValueError(f"'{file}' has the frame {frames[0]} (height, width): sides are 1 to {MAX_SIDE} pixels")
    if given not in (None, frames[0]):
        raise ValueError(f"the frame {given} is not that of the maps, {frames[0]}, as {file} says: leave --frame out")
    return frames[0]


def _row(img_id: str, box: Sequence[Any]) -> str:
    return ",".join([img_id, *(f"{value:.9g}" for value in box)])  # float32 to the last bit
