"""Boxes as label files: COCO json, YOLO txt, PASCAL VOC xml and CSV, as the readers beside this module read them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmwsol.datasets.labels import nfc
from mmwsol.datasets.readers import is_text
from mmwsol.datasets.records import clean_path
from mmwsol.files import NAME_BYTES, check_inside, write_text

FORMATS = ("coco", "yolo", "voc", "csv")
ENDINGS = dict(yolo=".txt", voc=".xml")  # of formats with a file an image
DECIMALS = 2  # of boxes in pixels
FRACTION_DECIMALS = 10  # of YOLO's fractions: boxes are read back equal to DECIMALS

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML 1.0 excludes


@dataclass
class LabelList:
    """Images with boxes, in the structure of COCO's instance annotations, and the files that they become.

    Boxes are ``x0, y0, x1, y1`` in pixels of the image file as it is stored (not turned by an EXIF tag), counted from
    the outer border: pixel i covers i to i + 1. They are rounded to 0.01 pixels, once for all formats.

    ========  ===================================================================================================
    format    files
    ========  ===================================================================================================
    'coco'    ``NAME.json``; ``bbox`` x, y, width, height, ``score`` of annotations where it is known,
              ``label`` of an image, the id of its class; category ids count from 1. ``NAME.classes.txt`` has
              the names, one a line, for ``metainfo=dict(classes=FILE)``
    'yolo'    ``classes.txt`` with the names, one a line, and ``labels/<image>.txt`` with a line
              ``class cx cy w h`` a box, in fractions of the image, classes from 0. Without boxes it is empty
    'voc'     ``<image>.xml``; ``bndbox`` counts from 0 with the ends above, as
              :class:`mmwsol.LocListDataset` reads it by default (not from 1). Without boxes it has no object
    'csv'     ``NAME.csv``, ``path,label,x0,y0,x1,y1,image_width,image_height,confidence``, a row a box; an image
              without boxes has a row with these cells empty
    ========  ===================================================================================================

    A file of an image has the relative path of the image with another ending, in place of its own: ``a/b.txt`` of
    ``a/b.jpg``; behind it, ``a/b.jpg.txt``, where two images would share one.

    Attributes:
        data_root: Folder that file names are relative to; those of images outside are absolute.
        classes: Names in the order of the labels.
        info: What made the boxes; becomes ``info`` of COCO json.
        images, annotations: COCO's lists.
        others: Relative paths of images that lie in the same folders, listed or not: no file of 'yolo' and 'voc' is
            named so that it could be that of another one.
    """

    data_root: str
    classes: tuple[str, ...]
    info: dict[str, Any]
    images: list[dict] = field(default_factory=list)
    annotations: list[dict] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def add(self, img_path: str, size: Sequence[int], instances: Sequence[dict], label: int | None = None) -> None:
        """Add an image.

        Args:
            img_path: The file.
            size: (W, H) in pixels.
            instances: Objects: ``label`` from 0, ``box`` x0, y0, x1, y1, and further keys of a COCO annotation, such as
                ``score``.
            label: Class of the image, which stands also where there is no box. Defaults to None: not stated.
        """
        image_id = len(self.images) + 1
        image = dict(id=image_id, file_name=relative_name(img_path, self.data_root), width=size[0], height=size[1])
        self.images.append(image if label is None else {**image, "label": int(label) + 1})
        for instance in instances:
            x0, y0, x1, y1 = (round(float(value), DECIMALS) for value in instance["box"])
            annotation = dict(
                id=len(self.annotations) + 1,
                image_id=image_id,
                category_id=int(instance["label"]) + 1,
                bbox=[x0, y0, round(x1 - x0, DECIMALS), round(y1 - y0, DECIMALS)],
                area=round((x1 - x0) * (y1 - y0), DECIMALS),
                iscrowd=0,
            )
            rest = {key: value for key, value in instance.items() if key not in ("label", "box")}
            self.annotations.append({**annotation, **rest})

    def to_coco(self) -> dict[str, Any]:
        """Return the content of the json file."""
        categories = [dict(id=label + 1, name=name) for label, name in enumerate(self.classes)]
        return dict(info=self.info, images=self.images, annotations=self.annotations, categories=categories)

    def contents(self, format: str, name: str = "") -> Iterator[tuple[str, str]]:
        """Yield the files of a format: relative path and text.

        Args:
            format: One of :data:`FORMATS`.
            name: File name without ending, for 'coco' and 'csv'. Defaults to ''.

        Raises:
            ValueError: If the format is unknown, or an image for 'yolo' or 'voc' is outside ``data_root``.
        """
        if format not in FORMATS:
            raise ValueError(f"the format of labels must be one of {FORMATS}, got {format!r}.")
        if format == "coco":
            yield f"{name}.classes.txt", _lines(self.classes)
            yield f"{name}.json", json.dumps(self.to_coco())
        elif format == "csv":
            yield f"{name}.csv", self._table()
        else:
            listed = [image["file_name"] for image in self.images]
            others = set(self.others).difference(listed)
            names = annotation_names([*listed, *others], format)[: len(listed)]
            if format == "yolo":
                yield "classes.txt", _lines(self.classes)
            text: Callable[[dict, list[dict]], str] = self._yolo if format == "yolo" else self._voc
            for file_name, (image, objects) in zip(names, self._by_image(), strict=True):
                yield file_name, text(image, objects)

    def write(self, format: str, folder: str | Path, name: str = "") -> None:
        """Write the files of a format into a folder, each whole or not at all; see :meth:`contents`.

        Raises:
            OSError: If a file cannot be written, or a link leads out of the folder.
        """
        for file_name, text in self.contents(format, name):
            check_inside(Path(folder, file_name), folder)
            write_text(Path(folder, file_name), text)

    def _by_image(self) -> Iterator[tuple[dict, list[dict]]]:
        objects: dict[int, list[dict]] = {image["id"]: [] for image in self.images}
        for annotation in self.annotations:
            objects[annotation["image_id"]].append(annotation)
        for image in self.images:
            yield image, objects[image["id"]]

    def _table(self) -> str:
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["path", "label", "x0", "y0", "x1", "y1", "image_width", "image_height", "confidence"])
        for image, objects in self._by_image():
            size = (image["width"], image["height"])
            for item in objects:
                row = (self.classes[item["category_id"] - 1], *_corners(item), *size, item.get("score", ""))
                writer.writerow((image["file_name"], *row))
            if not objects:
                label = self.classes[image["label"] - 1] if "label" in image else ""
                writer.writerow((image["file_name"], label, "", "", "", "", *size, ""))
        return table.getvalue()

    def _yolo(self, image: dict, objects: list[dict]) -> str:
        width, height = image["width"], image["height"]
        lines = []
        for item in objects:
            x, y, w, h = item["bbox"]
            fractions = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            numbers = " ".join(f"{value:.{FRACTION_DECIMALS}f}" for value in fractions)
            lines.append(f"{item['category_id'] - 1} {numbers}\n")
        return "".join(lines)

    def _voc(self, image: dict, objects: list[dict]) -> str:
        folder, name = os.path.split(image["file_name"])
        root = ElementTree.Element("annotation")
        _add(root, folder=folder, filename=name)
        _add(ElementTree.SubElement(root, "size"), width=image["width"], height=image["height"], depth=3)
        _add(root, segmented=0)
        for item in objects:
            part = ElementTree.SubElement(root, "object")
            _add(part, name=self.classes[item["category_id"] - 1], pose="Unspecified", truncated=0, difficult=0)
            corners = (f"{value:.{DECIMALS if value % 1 else 0}f}" for value in _corners(item))
            box = ElementTree.SubElement(part, "bndbox")
            _add(box, **dict(zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)))
            if "score" in item:
                _add(part, confidence=item["score"])
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding="unicode") + "\n"


def relative_name(img_path: str, root: str) -> str:
    """Return the path of an image relative to a folder, with forward slashes; absolute if it is outside."""
    name = os.path.relpath(img_path, root or ".")
    if name.split(os.sep)[0] == os.pardir:
        name = os.path.abspath(img_path)
    return Path(name).as_posix()


def annotation_names(names: Sequence[str], format: str) -> list[str]:
    """Name the YOLO txt or VOC xml files of images, as :func:`mmwsol.datasets.folder_reader.read_folder` finds them.

    Args:
        names: Relative paths of the images, with forward slashes.
        format: 'yolo' or 'voc'.

    Raises:
        ValueError: If a path is absolute or leads out.
    """
    outside = [name for name in names if name.startswith("/") or ".." in name.split("/")]
    if outside:
        raise ValueError(f"{format} names a file like its image, and '{outside[0]}' is outside the folder of images.")
    claims = Counter(claim for name in names for claim in {nfc(name), nfc(os.path.splitext(name)[0])})
    folder = "labels/" if format == "yolo" else ""
    stems = (os.path.splitext(name)[0] for name in names)
    unique = (stem if claims[nfc(stem)] == 1 else name for name, stem in zip(names, stems, strict=True))
    return [f"{folder}{stem}{ENDINGS[format]}" for stem in unique]


def unlistable(name: str, format: str) -> str | None:
    """Say why an image cannot stand in a label file by its relative path, None if it can."""
    if format == "csv" and not (is_text(name) and len(name.splitlines()) == 1 and name.strip() == name):
        return "a line break, blanks at its ends or bytes that are no text in its path, which CSV cannot hold"
    if format in ("csv", "coco") and clean_path(name) != name:
        return f"a backslash in its path, which {format} files have for folders"
    if format in ENDINGS and len(os.fsencode(name.rsplit("/", 1)[-1])) > NAME_BYTES - len(ENDINGS[format]):
        return f"a name that is too long for another ending, {ENDINGS[format]}"
    return None


def check_listable(names: Sequence[str], format: str) -> None:
    """Raise an error if an image cannot stand in label files of a format, or name its own.

    Raises:
        ValueError: If that is so; the message names the first.
    """
    for name in names:
        if reason := unlistable(name, format):
            raise ValueError(f"image '{name}' has {reason}: rename it, or choose another format.")
    if format in ENDINGS:
        annotation_names(names, format)


def label_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return class names for label files: each on one line, with the label behind those that several classes have."""
    names = [" ".join(name.split()) or str(label) for label, name in enumerate(classes)]
    count = Counter(names)
    return tuple(f"{name} ({label})" if count[name] > 1 else name for label, name in enumerate(names))


def _corners(annotation: dict) -> tuple[float, ...]:
    x, y, w, h = annotation["bbox"]
    return x, y, round(x + w, DECIMALS), round(y + h, DECIMALS)


def _lines(names: Sequence[str]) -> str:
    return "".join(f"{name}\n" for name in names)


def _add(parent: ElementTree.Element, **texts: Any) -> None:
    """Add elements with texts; characters that XML cannot hold become question marks."""
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = _NO_XML.sub("?", str(text))
