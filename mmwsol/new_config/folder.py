"""What is in a folder of images: splits, classes, sizes, and where the boxes are."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
from mmengine.logging import MMLogger

from mmwsol.datasets import LocListDataset
from mmwsol.datasets.box_checks import box_problem
from mmwsol.datasets.csv_reader import read_csv
from mmwsol.datasets.image_sizes import read_size
from mmwsol.datasets.labels import sort_names
from mmwsol.datasets.records import Problems
from mmwsol.datasets.walk import IMG_EXTENSIONS, walk
from mmwsol.new_config.boxes import add_boxes, given_boxes, is_written
from mmwsol.new_config.parts import SPLITS, TABLES, Found, Part, read_part

_HELD_OUT = 5  #: One image in so many is held out where the folder has no validation images.
_SIZES = 5000  #: Images whose sizes are read.


def look_at(folder: str | Path, boxes: str | None = None) -> Found:
    """Find splits, classes and boxes in a folder.

    Training images are in a folder a class, in ``train`` or in the folder itself, or in a table (CSV) that has splits.
    Boxes of ``val`` and ``test`` are in any form that :class:`mmwsol.datasets.LocListDataset` reads: a table or COCO
    json in the folder or the split's, VOC xml or YOLO txt beside the images or in a folder of their own.

    Args:
        folder: The folder.
        boxes: File or folder of the boxes, in place of looking for it; relative to ``folder``, or to the working
            directory. 'none': there are none. Defaults to None: look.

    Raises:
        FileNotFoundError: If the folder or ``boxes`` does not exist.
        ValueError: If there are no class folders, a file with boxes cannot be read, or there are several.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"folder '{folder}' does not exist: give the folder of your images.")
    given = None if boxes in (None, "none") else given_boxes(root, str(boxes))
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)  # what data sets say is of each try; what matters is printed at the end
    try:
        found = _find(root, given, look=boxes is None)
    finally:
        logger.setLevel(level)
    _read_sizes(found)
    return found


def _find(root: Path, given: str | None, look: bool) -> Found:
    images = "images" if _split_folders(root / "images") else ""
    folders = {split: f"{images}/{name}".strip("/") for split, name in _split_folders(root / images).items()}
    table = _split_table(root, given) if look or given else None
    if "train" not in folders and table is not None:
        return _from_table(root, *table)
    if "train" not in folders and folders:
        raise ValueError(f"'{root}' has '{', '.join(folders.values())}' and no 'train': training images go there.")
    start = folders.get("train", "")
    if not start and _has_class_folders(root / "images"):
        start = "images"
    train = _class_folders(root, start, given)
    classes = tuple(train.metainfo["classes"])
    whole = Part("train", dict(data_prefix=start) if start else {}, list(train))
    notes: list[str] = []
    if not {"val", "test"} & set(folders):  # one folder of classes: val is taken from it
        only = {"": whole}
        add_boxes(root, only, classes, given, look, notes)
        boxes = {os.path.realpath(item["img_path"]): item["gt_bboxes_ori"] for item in only[""].items}
        items = [dict(i, gt_bboxes_ori=boxes.get(os.path.realpath(i["img_path"]), ())) for i in whole.items]
        return _hold_out(root, classes, Part("train", whole.options, items, only[""].boxes_in), None, notes)
    parts = {"train": whole}
    parts |= {
        split: read_part(root, classes, dict(data_prefix=folders[split]), split)
        for split in ("val", "test")
        if split in folders
    }
    numbers = {split: len(part.items) for split, part in parts.items()}
    add_boxes(root, parts, classes, given, look, notes)
    for split, part in parts.items():
        if len(part.items) < numbers[split]:
            notes.append(f"{numbers[split] - len(part.items)} images of {split} are not in {part.boxes_in}.")
    if "val" in parts:
        return Found(root, classes, whole, parts["val"], parts.get("test"), notes=notes)
    return _hold_out(root, classes, whole, parts.get("test"), notes)


def _split_folders(root: Path) -> dict[str, str]:
    """Return the folders of splits in a folder, by split: those that hold folders of images."""
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    found: dict[str, str] = {}
    flat: list[str] = []
    for split, known in SPLITS.items():
        fitting = [name for name in names if name.lower() in known]
        holding = [name for name in fitting if _has_class_folders(root / name)]
        flat += [name for name in fitting if name not in holding]
        if len(holding) > 1:
            raise ValueError(f"'{root}' has several folders of one split, {', '.join(holding)}: leave one.")
        if holding:
            found[split] = holding[0]
    if found and flat:
        raise ValueError(
            f"'{root / flat[0]}' has no folders of images, and '{root / min(found.values())}' has: put its images into "
            f"a folder a class, '{root / flat[0]}/cat/1.jpg'. If '{flat[0]}' is a class, put all classes into "
            f"'{root / 'train'}'."
        )
    if flat and {path.name for path in root.iterdir() if _has_images(path)} <= set(flat):
        raise ValueError(
            f"'{root}' has images in {', '.join(flat)} alone, and no folders of classes in them: put them into a "
            f"folder a class, '{root / 'train'}/cat/1.jpg'. If '{flat[0]}' is a class, put all classes into "
            f"'{root / 'train'}'."
        )
    return found


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and any(n.lower().endswith(IMG_EXTENSIONS) for n in walk(str(folder), "").files)


def _has_class_folders(folder: Path) -> bool:
    files = walk(str(folder), "").files if folder.is_dir() else ()
    return any("/" in name and name.lower().endswith(IMG_EXTENSIONS) for name in files)


def _class_folders(root: Path, start: str, given: str | None) -> LocListDataset:
    """Read the training images, in a folder a class."""
    where = root / start
    if not _has_class_folders(where):
        hint = f"; '{given}' names no training images" if given else ""
        raise ValueError(
            f"'{where}' has no folders of images: put the training images into a folder a class, '{where}/cat/1.jpg', "
            f"or list them in a table with the columns path,split,label{hint}."
        )
    return LocListDataset(data_root=str(root), data_prefix=start)


# ---- tables, and images that are held out ----------------------------------------------------------


def _split_table(root: Path, given: str | None) -> tuple[str, dict[str, str]] | None:
    """Return a table that lists training images, and the names of its splits; None if there is none."""
    tables = [path for path in sorted(root.iterdir()) if path.suffix.lower() in TABLES and not is_written(path)]
    files = [given] if given else [path.name for path in tables]
    found = []
    for name in files:
        if not (root / name).is_file() or Path(name).suffix.lower() not in TABLES:
            continue
        try:
            records = read_csv(str(root / name), Problems(), "train")[0]
        except ValueError:
            continue  # reported where its boxes are asked for
        written = {record.split for record in records}
        splits = {
            split: sorted(name for name in written if name.lower() in known)[0]
            for split, known in SPLITS.items()
            if any(name.lower() in known for name in written)
        }
        if "train" in splits:
            found.append((name, splits))
    if len(found) > 1:
        listed = " and ".join(f"'{name}'" for name, _ in found)
        raise ValueError(f"'{root}': training images are listed in {listed}: say which by --boxes.")
    return found[0] if found else None


def _from_table(root: Path, table: str, splits: dict[str, str]) -> Found:
    classes = tuple(LocListDataset(data_root=str(root), ann_file=table).metainfo["classes"])
    parts = {}
    for split, name in splits.items():
        part = read_part(root, classes, dict(ann_file=table, split=name), split, table)
        missing = [item["img_path"] for item in part.items if not os.path.exists(item["img_path"])]
        if missing:
            raise ValueError(
                f"'{root / table}': {len(missing)} images of {split} do not exist, such as '{missing[0]}'."
            )
        part.boxes_in = table if part.num_boxes else ""
        parts[split] = part
    if "val" in parts:
        return Found(root, classes, parts["train"], parts["val"], parts.get("test"))
    return _hold_out(root, classes, parts["train"], parts.get("test"), [])


def _hold_out(root: Path, classes: tuple[str, ...], whole: Part, test: Part | None, notes: list[str]) -> Found:
    """Take validation images out of those of the folder, by a list that the config reads.

    In each class: those with boxes, but no more than half of the class; without boxes, one in five, at random with a
    fixed seed. A single image of a class stays for training.
    """
    rng = np.random.default_rng(0)
    chosen: set[int] = set()
    single = []
    for label, name in enumerate(classes):
        mine = [index for index, item in enumerate(whole.items) if item["gt_label"] == label]
        if len(mine) < 2:
            single.append(name)
            continue
        mine = [mine[place] for place in rng.permutation(len(mine))]
        boxed = [index for index in mine if len(whole.items[index]["gt_bboxes_ori"])]
        chosen |= set(boxed[: len(mine) // 2] if boxed else mine[: max(1, len(mine) // _HELD_OUT)])
    if not chosen:
        raise ValueError(f"'{root}': no class has two images, so that none can be held out to validate on.")
    if single:
        notes.append(f"classes of one image, which is for training, so that none is in val: {', '.join(single)}.")
    train = Part("train", dict(ann_file=None, split="train"), [])
    val = Part("val", dict(ann_file=None, split="val"), [], whole.boxes_in)
    for index, item in enumerate(whole.items):
        (val if index in chosen else train).items.append(item)
    return Found(root, classes, train, val, test, held_out=True, notes=notes)


def list_text(found: Found) -> str:
    """Return the table of the images that were split by :func:`look_at`, ``path,split,label,x0,y0,x1,y1``."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "split", "label", "x0", "y0", "x1", "y1"))
    for part in (found.train, found.val):
        for item in part.items:
            path = Path(os.path.relpath(item["img_path"], found.root)).as_posix()
            start = (path, part.name, found.classes[item["gt_label"]])
            boxes = [[np.format_float_positional(value, trim="-") for value in box] for box in item["gt_bboxes_ori"]]
            for box in boxes or [[""] * 4]:  # the shortest text that is read as the same numbers
                writer.writerow((*start, *box))
    return text.getvalue()


def _read_sizes(found: Found) -> None:
    """Read the sizes of images, of many not all without boxes, and check that boxes are inside."""
    items = [(item, part.boxes_in) for part in found.parts for item in part.items]
    step = max(1, len(items) // _SIZES)
    sizes: list[tuple[tuple[int, int], str]] = []
    for index, (item, boxes_in) in enumerate(items):
        if index % step and not len(item["gt_bboxes_ori"]):
            continue
        path = item["img_path"]
        size = read_size(path, decode=False)
        if isinstance(size, str):
            found.unreadable.append(size)
            continue
        sizes.append((size, path))
        for box in np.asarray(item["gt_bboxes_ori"]).tolist():
            if problem := box_problem(box, path, size):
                raise ValueError(f"'{found.root / boxes_in}': {problem}.")
    if not sizes:
        raise ValueError(f"'{found.root}': no image can be read: {found.unreadable[0]}")
    found.smallest = min(sizes, key=lambda entry: (entry[0][0] * entry[0][1], entry[1]))
    found.largest = max(sizes, key=lambda entry: (entry[0][0] * entry[0][1], entry[1]))
    counts = found.train.counts(found.classes)
    few = sort_names(name for name, number in zip(found.classes, counts, strict=True) if number < 10)
    if few:
        found.notes.append(f"fewer than 10 training images: {', '.join(few[:5])}{', ...' if len(few) > 5 else ''}.")
