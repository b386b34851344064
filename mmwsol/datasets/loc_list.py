"""The generic data set: images and boxes in any of the common list formats."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.logging import print_log

from mmwsol.datasets.base import BaseLocDataset
from mmwsol.datasets.box_checks import CORNER, clip_rounding
from mmwsol.datasets.coco_reader import read_coco
from mmwsol.datasets.csv_reader import read_csv
from mmwsol.datasets.folder_reader import read_folder
from mmwsol.datasets.image_sizes import read_oriented
from mmwsol.datasets.labels import (
    FOLDER_NAMES,
    MAX_LABEL,
    NO_LABEL,
    SPLIT_NAMES,
    class_number,
    index_of,
    is_padded,
    is_several,
    name_key,
    number_of,
    several,
    sort_names,
)
from mmwsol.datasets.readers import read_wsol
from mmwsol.datasets.records import Record, plain
from mmwsol.datasets.splits import select_split
from mmwsol.registry import DATASETS

_FORMATS = ("wsol", "csv", "coco", "folder")
_BOX_FORMATS = ("xyxy", "xywh", "xyxy_norm", "xywh_norm", "cxcywh_norm")
_ROUNDING = 0.01  # of fractions


@DATASETS.register_module()
class LocListDataset(BaseLocDataset):
    """Images with one label each and any number of boxes, from a list in a common format.

    ==========  ==================================================================================================
    ``format``  ``ann_file``
    ==========  ==================================================================================================
    'wsol'      folder (or folder of split folders) with wsolevaluation's image_ids.txt, class_labels.txt,
                image_sizes.txt and localization.txt (boxes, or masks)
    'csv'       one table ``path,split,label,x0,y0,x1,y1[,mask,ignore]``, rows repeated per box, cells of boxes may
                be empty or ``nan``; separated by comma, semicolon, tab or '|'. The header is optional; with it, columns
                have any order, ``split``, boxes and masks may be missing, boxes may be ``xmin,ymin,xmax,ymax`` or
                ``x,y,w,h``, ``width,height`` is the size of the image, and usual names (``filename``, ``class``,
                ``image_path``) are known. Without a header also keras-retinanet's ``path,x1,y1,x2,y2,class``
    'coco'      COCO json; the label is ``image['label']`` or the one category of the image's annotations
    'folder'    folder of PASCAL VOC xml or YOLO txt files named like the images, flat or in class folders, or ''
                for no boxes; images in one folder per class, or flat with the label from the objects
    ==========  ==================================================================================================

    Images without boxes are kept with M = 0: they count for classification only. An image with two labels is an error:
    give it one, or leave such images out by ``on_error='skip'``. In a 'folder' with class folders the label is the
    folder, and all boxes of the file are kept; an annotation file belongs to one image, that of the same relative path,
    else of the same name. A label of a table is the name of a class; where it is none, a whole number
    is the class index, unless the names are numbers themselves ('001'). Numbers of YOLO and of wsolevaluation are
    indices, labels of COCO and VOC are names. Without ``metainfo``, labels that are all
    numbers are indices, and names if some have zeros before them.

    Args:
        data_root: Root of all relative paths.
        ann_file: See above. Defaults to ''.
        split: Split to read from a CSV or a folder of split folders; an error for what has no splits, but a
            folder of that name. Rows without a split are then bad records. Defaults to '': everything.
        format: One of the above, or 'auto': by what ``ann_file`` is. Defaults to 'auto'.
        data_prefix: Folders ``img_path`` and ``mask_path`` to which the listed paths are
            relative. Defaults to None: ``data_root``.
        metainfo: ``classes``, in the order of the labels, or a mapping of names and labels. Without it, names are
            taken in sorted order from what is read, so give it where train and val are read separately.
        label_map: Listed label (name or number) to class index. Defaults to None.
        box_format: 'xyxy', 'xywh' (corner and size), or in fractions of the image 'xyxy_norm',
            'xywh_norm' and 'cxcywh_norm' (center and size). Defaults to None: that of the format, 'xywh' for COCO,
            'cxcywh_norm' for YOLO, that of the header for a table, else 'xyxy'.
        one_based: Whether pixels count from 1; then 1 is subtracted from corners. Defaults to False.
        size_source: Where image sizes come from: 'meta', the list, or 'file', the images. Boxes are checked
            against the size where it is known; fractions need it. Defaults to 'meta'; without sizes in the list,
            fractions read the images all the same.
        **kwargs: Arguments of :class:`BaseLocDataset`.
    """

    #: Whether a subclass has chosen the files of the split by itself.
    knows_split = False

    def __init__(
        self,
        data_root: str = "",
        ann_file: str = "",
        split: str = "",
        format: str = "auto",
        data_prefix: str | Mapping[str, str] | None = None,
        metainfo: Mapping[str, Any] | None = None,
        label_map: Mapping[Any, int] | None = None,
        box_format: str | None = None,
        one_based: bool = False,
        size_source: str = "meta",
        **kwargs,
    ) -> None:
        for name, value, choices in (
            ("format", format, ("auto", *_FORMATS)),
            ("box_format", box_format, (None, *_BOX_FORMATS)),
            ("size_source", size_source, ("meta", "file")),
        ):
            if value not in choices:
                raise ValueError(f"{name} must be one of {choices}, got {value!r}")
        if str(box_format).endswith("_norm") and one_based:
            raise ValueError(f"one_based has no meaning for box_format='{box_format}', which has no pixels")
        self.format = format
        self.label_map = None
        if label_map is not None:
            wrong = {key: value for key, value in label_map.items() if not _is_index(value)}
            if wrong:
                raise ValueError(f"label_map gives class indices from 0 to {MAX_LABEL}, got {wrong}")
            self.label_map = {str(key): int(value) for key, value in label_map.items()}
        self.box_format = box_format
        self.one_based = one_based
        self.size_source = size_source
        self._num_clipped = 0
        super().__init__(data_root, ann_file, split, data_prefix, metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the list, then resolve labels, sizes and boxes."""
        kind = self.format if self.format != "auto" else self._guess_format()
        box_format: str | None = "xyxy"
        names = None
        if kind == "wsol":
            records = read_wsol(self._wsol_folder(), self.problems, need_gt=self.test_mode)
            for record in records:
                record.label = class_number(record.label) if isinstance(record.label, str) else record.label
        elif kind == "csv":
            records, box_format = read_csv(
                self.ann_file, self.problems, self.split, self._metainfo.get("classes") or ()
            )
            box_format = self._table_format(box_format)
        elif kind == "coco":
            records, names = read_coco(self.ann_file, self.problems)
            box_format = "xywh"
        else:
            records, names, box_format = self._read_folder()
        named_so = kind == "folder" and os.path.basename(self.data_prefix["img_path"]) == self.split
        if self.split and kind in ("coco", "folder") and not self.knows_split and not named_so:
            raise ValueError(
                f"split={self.split!r}: '{self.ann_file or self.data_prefix['img_path']}' has no splits, it would be "
                "read whole. Leave split out, and give ann_file and data_prefix of the split"
            )
        # Over all splits, so that they agree on the classes. Objects and folders of the other formats have names.
        labels = self._labels(records, names, numbers=kind in ("csv", "wsol"))
        if kind == "csv":
            records = select_split(records, self.split, self.ann_file, self.problems)
        for record in records:
            self._finish_boxes(record, self.box_format or box_format or "xyxy")
        if self._num_clipped:
            message = f"{type(self).__name__}: {self._num_clipped} boxes in fractions reach over the border of their "
            print_log(message + "image by up to a pixel: they end at the border", "current")
        return [self.make_item(record, None if record.label is None else labels[record.label]) for record in records]

    # ---- formats -------------------------------------------------------------------------------

    def _guess_format(self) -> str:
        path = self.ann_file
        if os.path.isfile(path):
            kinds = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".json": "coco"}
            kind = kinds.get(os.path.splitext(path)[1].lower())
            if kind is None:
                raise ValueError(f"cannot tell the format of '{path}': pass format, one of {_FORMATS}")
            return kind
        if path and not os.path.isdir(path):
            raise FileNotFoundError(f"ann_file '{path}' does not exist: check data_root and ann_file")
        for folder in (path, os.path.join(path, self.split)):
            if path and os.path.isfile(os.path.join(folder, "image_ids.txt")):
                return "wsol"
        return "folder"

    def _wsol_folder(self) -> str:
        inner = os.path.join(self.ann_file, self.split)
        if self.split and os.path.isdir(inner):
            return inner
        if self.split and not self.knows_split and os.path.basename(os.path.normpath(self.ann_file)) != self.split:
            raise ValueError(f"'{self.ann_file}' has no folder of split {self.split!r}: leave split out, or correct it")
        return self.ann_file

    def _table_format(self, named: str | None) -> str | None:
        """Compare the format that a header names with ``box_format``."""
        if named == "cxcywh" and self.box_format != "cxcywh_norm":
            raise ValueError(
                f"'{self.ann_file}' lists centers of boxes: pass box_format='cxcywh_norm' if they are fractions of the "
                "image, or convert them to xmin,ymin,xmax,ymax"
            )
        if named in ("xyxy", "xywh") and self.box_format is not None and not self.box_format.startswith(named):
            raise ValueError(f"the columns of '{self.ann_file}' are {named}, box_format={self.box_format!r} is not")
        return named

    def _read_folder(self) -> tuple[list[Record], list[str] | None, str]:
        records, folders, box_format = read_folder(self.data_prefix["img_path"], self.ann_file, self.problems)
        known = list(self.folder_labels(folders)) if folders and self.label_map is None else None
        return records, known, box_format

    # ---- labels and boxes ----------------------------------------------------------------------

    def _labels(self, records: list[Record], names: list[str] | None, numbers: bool) -> dict[str | int, int | str]:
        """Return the class index of every listed label; set ``metainfo['classes']`` if it is unknown."""
        given = {record.label: str(record.label) for record in records if record.label is not None}
        classes = self._metainfo.get("classes")
        if self.label_map is not None:
            labels: dict[str | int, int | str] = {label: _mapped(self.label_map, text) for label, text in given.items()}
            if classes is None:
                by_index = {index: key for key, index in self.label_map.items()}
                count = max(by_index, default=-1) + 1
                classes = tuple(by_index.get(index, str(index)) for index in range(count))
        else:
            if classes is None:
                classes = self._infer_classes(set(given.values()), names)
            elif all(isinstance(label, int) for label in given) or all(number_of(name) is None for name in classes):
                self._warn_from_one([number_of(text) for text in given.values()])
            index = {name: number for number, name in enumerate(classes)}
            twice = {name for name in index if classes.count(name) > 1} if len(index) < len(classes) else set()
            texts = {
                text: text if text in twice else index_of(text, index, numbers)
                for label, text in given.items()
                if isinstance(label, str)
            }
            labels = {label: label if isinstance(label, int) else texts[text] for label, text in given.items()}
            if unclear := twice.intersection(texts):
                name = sort_names(unclear)[0]
                self.problems.add("metainfo", f"'{name}' is the name of several classes: a label cannot say which")
        self._metainfo["classes"] = classes
        return labels

    def _infer_classes(self, given: set[str], names: list[str] | None) -> tuple[str, ...]:
        if names is None:
            given = {text for text in given if text not in NO_LABEL}
            given = {text for text in given if not is_several(text, given)}
            numbers = [number for number in map(number_of, given) if number is not None]
            padded = len(numbers) == len(given) and any(map(is_padded, given))
            if numbers and not padded:  # a name among numbers is reported as an unknown class
                self._warn_from_one(numbers)
                return tuple(map(str, range(max((n for n in numbers if n <= MAX_LABEL), default=-1) + 1)))
        classes = tuple(names if names is not None else sort_names(given))
        self._check_names(classes)
        if not classes:
            return classes
        shown = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
        print_log(
            plain(f"{type(self).__name__}: {len(classes)} classes in the order {shown}; ")
            + "metainfo=dict(classes=[...]) fixes the order",
            "current",
        )
        return classes

    def _warn_from_one(self, labels: Sequence[int | None]) -> None:
        """Warn if all labels of the list are numbers, and none is 0."""
        if labels and all(labels):  # None, no number, is as false as 0
            message = f"{type(self).__name__}: labels are class indices from 0, and no image has label 0: "
            message += "if they count from 1, pass label_map; if they are names, metainfo=dict(classes=[...])"
            print_log(message, "current", logging.WARNING)

    def _check_names(self, classes: tuple[str, ...]) -> None:
        """Look for names that were found in a list or in folders, and that can hardly be meant as classes."""
        where = self.ann_file or self.data_prefix["img_path"]
        if classes and SPLIT_NAMES.issuperset(name.lower() for name in classes):
            raise ValueError(
                f"'{where}': the names of classes would be {', '.join(classes)}, which are splits. Folders: point "
                "data_prefix at one of them; a table: name its columns, path,split,label. metainfo=dict(classes=[...]) "
                "if they are classes"
            )
        if len(classes) == 1 and classes[0].lower() in FOLDER_NAMES:
            message = f"{type(self).__name__}: the one class of '{where}' is called '{classes[0]}', as folders of data "
            print_log(message + "are: point data_prefix at the class folders in it", "current", logging.WARNING)
        by_key: dict[str, list[str]] = defaultdict(list)
        for name in classes:
            by_key[name_key(name)].append(name)
        alike = [ascii(names)[1:-1] for names in by_key.values() if len(names) > 1]
        if alike:
            message = f"{type(self).__name__}: '{where}' has {len(alike)} class(es) written in several ways, each "
            message += f"counted as a class of its own: {'; '.join(alike[:3])}. Write one, or pass label_map"
            print_log(message, "current", logging.WARNING)
        combined = [name for name in classes if "," in name and not {*classes}.isdisjoint(several(name))]
        if combined:
            message = f"{type(self).__name__}: '{combined[0]}' is read as one class, though a part of it is a class, "
            print_log(
                plain(message + "too; if it stands for several: images have one label"), "current", logging.WARNING
            )

    def _finish_boxes(self, record: Record, box_format: str) -> None:
        """Convert the boxes of a record to x0, y0, x1, y1 in pixels from 0."""
        fractions = box_format.endswith("_norm") and bool(record.boxes)
        if self.size_source == "file" or (fractions and record.size is None):
            path = os.path.join(self.data_prefix["img_path"], record.img_id)
            image = read_oriented(path, decode=False, color_type=self.color_type)
            if isinstance(image, str):
                self.problems.add(record.source, image, record.img_id)
                return
            record.size, turn = image
            self._note_turned(record.img_id, record.boxes, turn)
        if fractions and record.size is not None:
            for box, source in zip(record.boxes, record.box_sources, strict=True):
                if not all(-_ROUNDING <= value <= 1 + _ROUNDING for value in box):
                    message = f"box {box} is not in fractions of the image (0 to 1), as {box_format} is: "
                    self.problems.add(
                        source, message + "boxes in pixels are box_format='xyxy' or 'xywh'", record.img_id
                    )
            convert = _CONVERTERS[box_format]
            record.boxes = [self._inside(convert(box, record.size), record.size) for box in record.boxes]
            return
        for box, source in zip(record.boxes, record.box_sources, strict=True):
            if max(box) < CORNER and any(value % 1 for value in box):
                message = f"box {box} has fractions of the image: pass box_format='xyxy_norm', 'xywh_norm' or "
                message += "'cxcywh_norm' (center)"
                self.problems.add(source, message, record.img_id)
            elif box_format == "xywh" and not (box[2] > 0 and box[3] > 0):
                message = (
                    f"box {box} has no width or height (x, y, w, h): leave the cells of an image without object empty"
                )
                self.problems.add(source, message, record.img_id)
        if box_format == "xywh":
            record.boxes = [(x, y, x + w, y + h) for x, y, w, h in record.boxes]
        if self.one_based:
            record.boxes = [tuple(value - 1 for value in box) for box in record.boxes]

    def _inside(self, box: tuple[float, ...], size: tuple[int, int]) -> tuple[float, ...]:
        """Return a box that was rounded over the border as one that ends there."""
        clipped = clip_rounding(box, size)
        self._num_clipped += clipped != box
        return clipped


def _is_index(value: Any) -> bool:
    """Return whether a value of ``label_map`` can be a class index."""
    try:
        return 0 <= int(value) <= MAX_LABEL
    except (ValueError, TypeError, OverflowError):
        return False


def _from_center(box: tuple[float, ...], size: tuple[int, int]) -> tuple[float, ...]:
    (cx, cy, w, h), (width, height) = box, size
    return (
        (cx - w / 2) * width,
        (cy - h / 2) * height,
        (cx + w / 2) * width,
        (cy + h / 2) * height,
    )


def _from_corners(box: tuple[float, ...], size: tuple[int, int]) -> tuple[float, ...]:
    (x0, y0, x1, y1), (width, height) = box, size
    return x0 * width, y0 * height, x1 * width, y1 * height


def _from_size(box: tuple[float, ...], size: tuple[int, int]) -> tuple[float, ...]:
    x, y, w, h = box
    return _from_corners((x, y, x + w, y + h), size)


_CONVERTERS = {"xyxy_norm": _from_corners, "xywh_norm": _from_size, "cxcywh_norm": _from_center}


def _mapped(label_map: Mapping[str, int], text: str) -> int | str:
    """Return the class index of a listed label, where 1 is also '1.0' and '01'; the label if it has none."""
    return label_map.get(text, label_map.get(str(number_of(text)), text))
