"""Folders of images, and the VOC xml or YOLO txt of each."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from mmengine.logging import print_log

from mmwsol.datasets.labels import name_key, nfc, sort_names
from mmwsol.datasets.readers import list_images, read_voc, read_yolo
from mmwsol.datasets.records import MULTI_LABEL, Problems, Record, plain
from mmwsol.datasets.walk import walk

_GT_EXTENSIONS = (".xml", ".txt")


def read_folder(root: str, ann_folder: str, problems: Problems) -> tuple[list[Record], set[str], str]:
    """Read images in class folders, or flat ones, and the annotation file of each.

    Args:
        root: Folder of the images.
        ann_folder: Folder of the annotation files, '' for none.
        problems: Where bad records go.

    Returns:
        The records; the class folders, empty where images are flat; the format of the boxes.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If images lie beside class folders, or no annotation file belongs to an image, or there are files of
            both kinds.
    """
    paths = list_images(root)
    flat = [path for path in paths if "/" not in path]
    if flat and len(flat) < len(paths):
        raise ValueError(f"'{root}' has both class folders and images beside them, e.g. '{flat[0]}': move those away")
    folders = {path.split("/")[0] for path in paths} if not flat else set()
    known = {name_key(name) for name in folders}
    annotations = _match(root, paths, ann_folder, folders, problems) if ann_folder else {}
    kinds = {os.path.splitext(name)[1].lower() for name in annotations.values()}
    if len(kinds) > 1:
        raise ValueError(f"'{ann_folder}' mixes VOC xml and YOLO txt: keep one of them")
    records: list[Record] = []
    others: list[str] = []
    for path in paths:
        record, names = Record(path, os.path.join(root, path)), list[int | str]()
        if path in annotations:
            read: Callable[..., tuple[Record, list]] = read_voc if ".xml" in kinds else read_yolo
            record, names = read(os.path.join(ann_folder, annotations[path]), path, problems)
        if not flat:
            record.label = path.split("/")[0]
            if names and name_key(record.label) not in (keys := {name_key(str(name)) for name in names}):
                others += [f"'{path}' ({names[0]})"] if keys & known else []
        elif len(set(names)) == 1:
            record.label = names[0]
        elif names:
            listed = ", ".join(sort_names(set(map(str, names))))
            problems.add(record.source, f"objects of several classes ({listed}): {MULTI_LABEL}", path)
        records.append(record)
    if others:
        message = f"'{root}': {len(others)} image(s) lie in the folder of one class and have objects of others only, "
        print_log(plain(f"{message}such as {others[0]}: the label is the folder"), "current", logging.WARNING)
    return records, folders, "cxcywh_norm" if ".txt" in kinds else "xyxy"


def _match(root: str, paths: Sequence[str], folder: str, folders: set[str], problems: Problems) -> dict[str, str]:
    """Return the annotation file of every image that has one, both as relative paths.

    It is the file of the same relative path, else one of the same name; an annotation file belongs to one image.
    """
    exact, by_name = _annotation_files(folder)
    whole = {nfc(path) for path in paths}  # 'a.jpg.txt' is of 'a.jpg', not of 'a.jpg.png' beside it
    stems = {path: [stem for stem in _stems(path) if stem == nfc(path) or stem not in whole] for path in paths}
    found = {path: _named(exact, stems[path]) for path in paths}
    taken = {name for names in found.values() for name in names}
    for path in paths:
        if not found[path]:
            same_name = _named(by_name, _stems(path.rsplit("/", 1)[-1]))
            top = nfc(path.split("/")[0])
            others = {nfc(name) for name in folders} - {top}  # a file in a class folder serves that class only
            found[path] = [n for n in same_name if n not in taken and nfc(n.split("/")[0]) not in others]
    if paths and not any(found.values()):
        raise ValueError(f"no xml or txt file under '{folder}' is named like an image of '{root}'")
    owners: dict[str, list[str]] = defaultdict(list)
    for path, names in found.items():
        if len(names) > 1:
            message = f"has {len(names)} annotation files in '{folder}': {', '.join(names[:3])}"
            problems.add(f"image '{path}'", message, path)
        elif names:
            owners[names[0]].append(path)
    for name, images in owners.items():
        for path in images if len(images) > 1 else ():
            stem, extension = os.path.splitext(path)[0], os.path.splitext(name)[1]
            message = f"fits {len(images)} images, {', '.join(map(repr, images[:3]))}: an annotation file belongs to "
            message += f"one. Give each image its own, such as '{stem}{extension}' or '{path}{extension}'"
            problems.add(os.path.join(folder, name), message, path)
    return {images[0]: name for name, images in owners.items() if len(images) == 1}


def _annotation_files(folder: str) -> tuple[Mapping[str, list[str]], Mapping[str, list[str]]]:
    """Return the xml and txt files of a folder, by their relative path and by their name, both without ending."""
    exact: dict[str, list[str]] = defaultdict(list)
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in walk(folder, "ann_file is the folder of VOC xml or YOLO txt files").files:
        stem, extension = os.path.splitext(nfc(path))
        if extension.lower() in _GT_EXTENSIONS:
            exact[stem].append(path)
            by_name[stem.rsplit("/", 1)[-1]].append(path)
    return exact, by_name


def _stems(path: str) -> tuple[str, str]:
    """Return what the annotation file of an image is called without its ending: 'a.jpg' of 'a.jpg.xml', or 'a'."""
    return nfc(path), nfc(os.path.splitext(path)[0])


def _named(files: Mapping[str, list[str]], stems: Sequence[str]) -> list[str]:
    return [name for stem in stems for name in files.get(stem, ())]
