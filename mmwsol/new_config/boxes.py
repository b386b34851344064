"""Where the boxes of a folder of images are."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmwsol.datasets.csv_reader import read_csv
from mmwsol.datasets.records import Problems
from mmwsol.datasets.walk import is_system, walk
from mmwsol.new_config.parts import SPLITS, TABLES, Part, read_part

_LABEL_FOLDERS = ("annotations", "labels", "boxes", "xml", "voc", "yolo")


def given_boxes(root: Path, boxes: str) -> str:
    """Return the path of ``--boxes`` relative to the root, or absolute where it is not below it."""
    for path in (root / boxes, Path(boxes)):
        if path.exists():
            return os.path.relpath(path, root) if path.resolve().is_relative_to(root.resolve()) else str(path.resolve())
    raise FileNotFoundError(f"--boxes '{boxes}' is neither in '{root}' nor in the working directory.")


def _candidates(root: Path, folder: str) -> Iterator[str]:
    """Yield files and folders that may hold the boxes of a split, relative to the root; files come first."""
    places = dict.fromkeys([folder, "", *_inner(root, "")])
    for place in places:
        for path in sorted((root / place).iterdir()):
            if path.is_file() and not is_system(path.name) and path.suffix.lower() in (*TABLES, ".json"):
                yield os.path.relpath(path, root)
    split = Path(folder).name
    labels = [os.path.relpath(path, root) for name in _inner(root, "") for path in [root / name / split]]
    for place in dict.fromkeys([folder, *_inner(root, folder), *labels, *_inner(root, "")]):
        files = walk(str(root / place), "").files if (root / place).is_dir() else ()
        if any(name.lower().endswith((".xml", ".txt")) for name in files):
            yield place or "."


def _inner(root: Path, folder: str) -> list[str]:
    names = sorted(path.name for path in (root / folder).iterdir() if path.is_dir())
    return [f"{folder}/{name}".strip("/") for name in names if name.lower() in _LABEL_FOLDERS]


def with_boxes(
    root: Path,
    folder: str,
    given: str | None,
    look: bool,
    classes: Sequence[str],
    images: list[dict],
    split: str = "",
    other: Collection[str] = (),
) -> Part | None:
    """Return the images of a folder with their boxes; None if there are none.

    Args:
        root: Root of the data.
        folder: Folder of the images.
        given: What ``--boxes`` named.
        look: Whether to look for boxes.
        classes: Names of the classes.
        images: The images of the folder.
        split: Name of the split, '' where the folder has none.
        other: Training images, which must not be among them.
    """
    mine = {os.path.realpath(item["img_path"]) for item in images}
    fitting: list[Part] = []
    failed: list[str] = []
    for place in [given] if given else _candidates(root, folder) if look else ():
        part, why = _try(root, folder, place, classes, split, mine, other)
        if part is not None and part.num_boxes:
            fitting.append(part)
        elif why:
            failed.append(f"'{root / place}': {why}")
        if fitting and (root / place).is_dir():
            break  # a folder of label files is found under its own name and under those above it
    files = {part.boxes_in for part in fitting}
    if len(files) > 1:
        raise ValueError(
            f"boxes of '{root / folder}' are in {' and in '.join(sorted(files))}: say which by --boxes, "
            "or --boxes none."
        )
    if not fitting and failed:
        raise ValueError(
            f"{failed[0]}. Correct it, name another file by --boxes, or go on without boxes: --boxes none."
        )
    return fitting[0] if fitting else None


def _try(
    root: Path, folder: str, place: str, classes: Sequence[str], split: str, mine: set[str], other: Collection[str]
) -> tuple[Part | None, str]:
    """Read a candidate; return the images with their boxes, or why it cannot be read, '' if it is of something else."""
    path = root / place
    names = [""]
    if path.suffix.lower() in TABLES and path.is_file():
        try:
            splits = {record.split for record in read_csv(str(path), Problems(), "", classes)[0]}
        except ValueError as error:
            return None, str(error)
        known = sorted(name for name in splits if name.lower() in SPLITS.get(split, ()))
        if known:
            names = known[:1]
        elif splits - {""} and split:
            return None, ""  # of other splits
    errors = []
    prefixes = dict.fromkeys([folder] if path.is_dir() else ["", folder, os.path.dirname(place)])
    for prefix in prefixes:
        options: dict[str, Any] = {
            key: value for key, value in dict(data_prefix=prefix, ann_file=place).items() if value
        }
        options |= dict(split=names[0]) if names[0] else {}
        try:
            part = read_part(root, classes, options, split or "train", place)
        except (ValueError, OSError) as error:
            errors.append(str(error))
            continue
        paths = [os.path.realpath(item["img_path"]) for item in part.items]
        inside = [path in mine for path in paths]
        if all(inside):
            return part, ""
        if any(inside):  # it lists other images, too: of training, or some that are not there
            wrong = part.items[inside.index(False)]["img_path"]
            if not set(other).isdisjoint(paths):
                return None, f"it lists training images, too, such as '{wrong}': write a column 'split'"
            return None, f"'{wrong}' is not among the images of '{root / folder}'"
    harmless = ("is named like an image", "no image in data_root", "has no splits", "has no split")
    errors = [error for error in errors if not any(text in error for text in harmless)]
    return None, errors[0] if len(errors) == len(prefixes) else ""
