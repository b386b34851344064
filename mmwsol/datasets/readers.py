"""Readers of the list formats of localization data sets.

Every reader takes a :class:`Problems` and reports bad lines there, with file and line, instead of stopping at the first
one. All of them survive CRLF, a missing last newline, blank lines and a byte-order mark.
"""

from __future__ import annotations

import csv
import json
import math
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


@dataclass
class Record:
    """What a list says about one image.

    Attributes:
        img_id (str): Unique name, normally the path relative to the image folder.
        source (str): ``file:line`` that error messages name.
        label (int | str | None): Class index or class name as listed; None if the list has none.
        boxes (list): Four numbers a box, as listed.
        box_sources (list[str]): ``file:line`` of each box.
        size (tuple[int, int] | None): (W, H) of the image, where the list has it.
        masks (list[str]): Mask files, relative to the mask folder.
        ignore (str): File of the pixels to ignore, or ''.
        split (str): Split as listed, or ''.
    """

    img_id: str
    source: str
    label: int | str | None = None
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    box_sources: list[str] = field(default_factory=list)
    size: tuple[int, int] | None = None
    masks: list[str] = field(default_factory=list)
    ignore: str = ""
    split: str = ""

    def add_box(self, fields: Sequence[str], source: str, problems: Problems) -> None:
        """Append the box of four listed numbers, or note that they are not four finite numbers."""
        try:
            box = tuple(float(text) for text in fields)
        except ValueError:
            box = ()
        if len(box) == 4 and all(map(math.isfinite, box)):
            self.boxes.append(box)
            self.box_sources.append(source)
        else:
            message = f"a box is four finite numbers, found {','.join(fields)!r}"
            problems.add(source, message, self.img_id)


class Problems:
    """Bad records of one data set: how many, the first few, and the images they belong to.

    Args:
        limit (int): Number of messages kept. Defaults to 5.
    """

    def __init__(self, limit: int = 5) -> None:
        self.limit = limit
        self.count = 0
        self.first: list[str] = []
        self.bad_ids: set[str] = set()

    def add(self, source: str, message: str, img_id: str | None = None) -> None:
        """Note a problem; the image ``img_id`` is left out as a whole."""
        self.count += 1
        if len(self.first) < self.limit:
            self.first.append(f"{source}: {message}")
        if img_id is not None:
            self.bad_ids.add(img_id)

    def summary(self, separator: str = "\n  ") -> str:
        """Return the count and the first few messages."""
        rest = self.count - len(self.first)
        more = [f"... and {rest} more"] if rest else []
        return f"{self.count} bad record(s):{separator}" + separator.join([*self.first, *more])


def require_file(path: str, fix: str) -> None:
    """Raise ``FileNotFoundError`` with the advice ``fix`` if ``path`` is not a file."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"list file '{path}' does not exist: {fix}")


def require_dir(path: str, fix: str) -> None:
    """Raise ``FileNotFoundError`` with the advice ``fix`` if ``path`` is not a folder."""
    if not os.path.isdir(path):
        raise FileNotFoundError(f"folder '{path}' does not exist: {fix}")


def read_lines(path: str, fix: str = "check data_root and ann_file") -> Iterator[tuple[str, str]]:
    """Yield ``(file:line, text)`` of every line that is not blank.

    Raises:
        FileNotFoundError: If the file does not exist; ``fix`` says what to do.
        ValueError: If the file is not UTF-8 text.
    """
    require_file(path, fix)
    with open(path, encoding="utf-8-sig") as file:
        try:
            for number, line in enumerate(file, 1):
                if text := line.strip():
                    yield f"{path}:{number}", text
        except UnicodeDecodeError as error:
            raise ValueError(f"list file '{path}' is not UTF-8 text: {error}") from error


def read_table(
    path: str,
    columns: Sequence[str],
    problems: Problems,
    sep: str | None = None,
    fix: str = "check data_root and ann_file",
) -> Iterator[tuple[str, list[str]]]:
    """Yield ``(file:line, fields)`` of every line with exactly the fields named in ``columns``.

    ``sep=None`` splits at any white space.
    """
    for source, text in read_lines(path, fix):
        fields = [part.strip() for part in text.split(sep)]
        if len(fields) == len(columns):
            yield source, fields
        else:
            wanted = (sep or " ").join(columns)
            problems.add(source, f"expected {len(columns)} fields '{wanted}', found {len(fields)}: {text!r}")


def parse_label(text: str) -> int | str:
    """Return an integer where ``text`` is one, else the text (a class name)."""
    try:
        return int(text)
    except ValueError:
        return text


def read_box_lines(path: str, problems: Problems, labels: bool) -> list[Record]:
    """Read ``path [label] x0 y0 x1 y1 [x0 y0 x1 y1 ...]``, separated by white space; boxes are optional.

    This is the format of TS-CAM's ``val_folder_new.txt`` and, with no box, of its ``train.txt``.

    Args:
        path (str): List file.
        problems (Problems): Where bad lines go.
        labels (bool): Whether the second field is the class index.
    """
    records = []
    first = 2 if labels else 1
    for source, text in read_lines(path):
        fields = text.split()
        numbers = fields[first:]
        if len(fields) < first or len(numbers) % 4:
            wanted = "path label x0 y0 x1 y1 ..." if labels else "path x0 y0 x1 y1 ..."
            problems.add(source, f"expected '{wanted}': {text!r}", fields[0])
            continue
        record = Record(fields[0], source, parse_label(fields[1]) if labels else None)
        for start in range(0, len(numbers), 4):
            record.add_box(numbers[start : start + 4], source, problems)
        records.append(record)
    return records


def read_wsol(folder: str, problems: Problems, need_gt: bool = False) -> list[Record]:
    """Read the four files of wsolevaluation's metadata.

    ``image_ids.txt`` (path), ``class_labels.txt`` (path,label from 0), ``image_sizes.txt`` (path,W,H) and
    ``localization.txt``: path,x0,y0,x1,y1 with one line a box, or path,mask,ignore with one line a mask, where only the
    first line of an image names its ignore file. The last two may be empty.

    Args:
        folder (str): Folder with the four files.
        problems (Problems): Where bad lines go.
        need_gt (bool): Whether a missing ``localization.txt`` is an error. Defaults to False.

    Raises:
        FileNotFoundError: If a file that is needed is missing.
    """
    fix = "wsolevaluation's metadata has image_ids.txt, class_labels.txt, image_sizes.txt and "
    fix += "localization.txt in one folder; point ann_file at that folder"
    names = ("image_ids.txt", "class_labels.txt", "image_sizes.txt", "localization.txt")
    ids, labels, sizes, boxes = (os.path.join(folder, name) for name in names)
    records: dict[str, Record] = {}
    repeated = []
    for source, img_id in read_lines(ids, fix):
        record = Record(img_id, source)
        if img_id in records:
            repeated.append(record)  # reported with all other repeated ids
        else:
            records[img_id] = record

    def find(img_id: str, source: str) -> Record | None:
        if img_id not in records:
            problems.add(source, f"image '{img_id}' is not in {names[0]}")
        return records.get(img_id)

    for source, (img_id, text) in read_table(labels, ("path", "label"), problems, ",", fix):
        if (entry := find(img_id, source)) is None:
            continue
        label = parse_label(text)
        if entry.label not in (None, label):
            message = f"a second label {label} for '{img_id}' (the first is {entry.label}): "
            problems.add(source, message + "multi-label images are not supported", img_id)
        entry.label = label
        entry.source = source
    for record in repeated:
        record.label = records[record.img_id].label

    if os.path.isfile(sizes):
        for source, (img_id, *size) in read_table(sizes, ("path", "W", "H"), problems, ","):
            if (entry := find(img_id, source)) is None:
                continue
            try:
                entry.size = (int(size[0]), int(size[1]))
            except ValueError:
                problems.add(source, f"W and H must be integers, found {','.join(size)!r}", img_id)

    if need_gt or os.path.isfile(boxes):
        _read_wsol_localization(boxes, problems, find, fix)
    return [*records.values(), *repeated]


def _read_wsol_localization(path: str, problems: Problems, find: Any, fix: str) -> None:
    for source, text in read_lines(path, fix):
        img_id, *rest = (part.strip() for part in text.split(","))
        if len(rest) not in (2, 4):
            problems.add(source, f"expected 'path,x0,y0,x1,y1' or 'path,mask,ignore': {text!r}", img_id)
            continue
        record = find(img_id, source)
        if record is None:
            continue
        if len(rest) == 4:
            record.add_box(rest, source, problems)
        elif not rest[0]:
            problems.add(source, f"no mask file for '{img_id}': {text!r}", img_id)
        else:
            record.masks.append(rest[0])
            record.ignore = rest[1] or record.ignore


def read_csv(path: str, problems: Problems) -> list[Record]:
    """Read one CSV ``path,split,label,x0,y0,x1,y1[,mask,ignore]``.

    The header is optional, an image repeats its row for every further box or mask, the box columns may be empty.
    """
    require_file(path, "check data_root and ann_file")
    records: dict[tuple[str, str], Record] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            lines = [(f"{path}:{rows.line_num}", [v.strip() for v in row]) for row in rows]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"list file '{path}' is not UTF-8 CSV text: {error}") from error
    if lines and lines[0][1][:1] == ["path"]:
        lines = lines[1:]
    for source, row in lines:
        if not any(row):
            continue
        if len(row) not in (3, 7, 8, 9):
            wanted = "path,split,label,x0,y0,x1,y1[,mask,ignore]"
            problems.add(source, f"expected '{wanted}': {','.join(row)!r}", row[0])
            continue
        row += [""] * (9 - len(row))
        img_id, split, label = row[0], row[1], parse_label(row[2])
        record = records.setdefault((img_id, split), Record(img_id, source, label, split=split))
        if record.label != label:
            message = f"a second label {label!r} for '{img_id}' (the first is {record.label!r}"
            message += f" at {record.source}): multi-label images are not supported"
            problems.add(source, message, img_id)
        if any(row[3:7]):
            record.add_box(row[3:7], source, problems)
        if row[7]:
            record.masks.append(row[7])
        record.ignore = row[8] or record.ignore
    return list(records.values())


def read_coco(path: str, problems: Problems) -> tuple[list[Record], list[str]]:
    """Read a COCO json; an image's label is ``image['label']`` or the one category of its annotations.

    ``image['label']`` is the id or the name of a category; records hold names.

    Returns:
        tuple: the records, boxes as x, y, w, h; and the category names in the order of their ids.

    Raises:
        ValueError: If the file is not COCO json.
    """
    require_file(path, "check data_root and ann_file")
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
        categories = sorted(content["categories"], key=lambda category: category["id"])
        names = {category["id"]: str(category["name"]) for category in categories}
        records = {}
        for image in content["images"]:
            source = f"{path}: image id {image['id']}"
            record = Record(image["file_name"], source, label=image.get("label"))
            if record.label is not None:
                record.label = names.get(record.label, record.label)
                if record.label not in names.values():
                    message = f"label {record.label!r} is neither id nor name of a category"
                    problems.add(source, message, record.img_id)
            if "width" in image and "height" in image:
                record.size = (int(image["width"]), int(image["height"]))
            records[image["id"]] = record
        for number, annotation in enumerate(content.get("annotations", [])):
            source = f"{path}: annotation id {annotation.get('id', number)}"
            if annotation["image_id"] not in records:
                problems.add(source, f"image id {annotation['image_id']} is not in 'images'")
                continue
            _add_coco_box(records[annotation["image_id"]], annotation, names, source, problems)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        reason = f"no key {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"'{path}' is not COCO json (images, annotations, categories): {reason}") from error
    return list(records.values()), list(names.values())


def _add_coco_box(record: Record, annotation: dict, names: dict[Any, str], source: str, problems: Problems) -> None:
    category = annotation["category_id"]
    if category not in names:
        problems.add(source, f"category {category} is not in 'categories'", record.img_id)
        return
    if record.label is None:
        record.label = names[category]
    elif record.label != names[category]:
        message = f"category '{names[category]}' in image '{record.img_id}' of class "
        message += f"'{record.label}': multi-label images are not supported"
        problems.add(source, message, record.img_id)
        return
    if "bbox" in annotation:
        record.add_box([str(v) for v in annotation["bbox"]], source, problems)


def read_voc(path: str, img_id: str, problems: Problems) -> tuple[Record, list[str]]:
    """Read a PASCAL VOC xml; return the record (boxes x0, y0, x1, y1) and the names of its objects."""
    record = Record(img_id, path)
    names: list[str] = []
    try:
        root = ElementTree.parse(path).getroot()
        size = root.find("size")
        if size is not None:
            width, height = (int(float(size.findtext(key, "0"))) for key in ("width", "height"))
            record.size = (width, height) if width > 0 and height > 0 else None
    except (ElementTree.ParseError, ValueError, OSError) as error:
        problems.add(path, f"not a PASCAL VOC xml: {error}", img_id)
        return record, names
    for number, item in enumerate(root.iter("object"), 1):
        names.append(item.findtext("name", "").strip())
        fields = [item.findtext(f"bndbox/{key}", "") for key in ("xmin", "ymin", "xmax", "ymax")]
        record.add_box(fields, f"{path}: object {number}", problems)
    return record, names


def read_yolo(path: str, img_id: str, problems: Problems) -> tuple[Record, list[str]]:
    """Read a YOLO txt, ``class cx cy w h`` in fractions of the image; return the record and the class numbers."""
    record = Record(img_id, path)
    names = []
    for source, text in read_lines(path):
        fields = text.split()
        if len(fields) != 5:
            problems.add(source, f"expected 'class cx cy w h': {text!r}", img_id)
            continue
        names.append(fields[0])
        record.add_box(fields[1:], source, problems)
    return record, names


def list_images(folder: str, fix: str = "check data_root and data_prefix") -> list[str]:
    """Return the images under ``folder``, as sorted relative paths with forward slashes.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """
    require_dir(folder, fix)
    paths = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        relative = os.path.relpath(parent, folder).replace(os.sep, "/")
        start = "" if relative == "." else relative + "/"
        paths += [
            start + name for name in sorted(files) if name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")
        ]
    return paths


def sort_names(names: set[str]) -> list[str]:
    """Sort class names; names that are all numbers are sorted as numbers (ImageNetV2's folders)."""
    if all(name.isdecimal() for name in names):
        return sorted(names, key=int)
    return sorted(names)
