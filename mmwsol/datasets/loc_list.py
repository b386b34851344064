"""The generic data set: images and boxes in any of the common list formats."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log

from mmwsol.datasets.base import BaseLocDataset, read_size
from mmwsol.datasets.readers import (
    Record,
    list_images,
    parse_label,
    read_coco,
    read_csv,
    read_voc,
    read_wsol,
    read_yolo,
    require_dir,
    sort_names,
)
from mmwsol.registry import DATASETS

_FORMATS = ("wsol", "csv", "coco", "folder")
_BOX_FORMATS = ("xyxy", "xywh", "cxcywh_norm")
_GT_EXTENSIONS = (".xml", ".txt")


@DATASETS.register_module()
class LocListDataset(BaseLocDataset):
    """Images with one label each and any number of boxes, from a list in a common format.

    ==========  ==================================================================================================
    ``format``  ``ann_file``
    ==========  ==================================================================================================
    'wsol'      folder (or folder of split folders) with wsolevaluation's image_ids.txt, class_labels.txt,
                image_sizes.txt and localization.txt (boxes, or masks)
    'csv'       one CSV ``path,split,label,x0,y0,x1,y1[,mask,ignore]``, header optional, rows repeated per box, box
                columns may be empty
    'coco'      COCO json; the label is ``image['label']`` or the one category of the image's annotations
    'folder'    folder of PASCAL VOC xml or YOLO txt files named like the images, flat or in class folders, or ''
                for no boxes; images in one folder per class, or flat with the label from the objects
    ==========  ==================================================================================================

    Images without boxes are kept with M = 0: they count for classification only. An image with two labels is an error.
    In a 'folder' with class folders the label is the folder, and all boxes of the file are kept.

    Args:
        data_root (str): Root of all relative paths.
        ann_file (str): See above. Defaults to ''.
        split (str): Split to read from a CSV or a folder of split folders. Defaults to '': everything.
        format (str): One of the above, or 'auto': by what ``ann_file`` is. Defaults to 'auto'.
        data_prefix (str | dict, optional): Folders ``img_path`` and ``mask_path`` to which the listed paths are
            relative. Defaults to None: ``data_root``.
        metainfo (dict, optional): ``classes``, in the order of the labels. Without it, names are taken in sorted order
            from what is read, so give it where train and val are read separately.
        label_map (dict, optional): Listed label (name or number) to class index. Defaults to None.
        box_format (str, optional): 'xyxy', 'xywh' (corner and size) or 'cxcywh_norm' (center and size as fractions of
            the image). Defaults to None: that of the format, 'xywh' for COCO, 'cxcywh_norm' for YOLO, else 'xyxy'.
        one_based (bool): Whether pixels count from 1; then 1 is subtracted from corners. Defaults to False.
        size_source (str): Where image sizes come from: 'meta', the list, or 'file', the images. Boxes are checked
            against the size where it is known; fractions need it. Defaults to 'meta'; without sizes in the list,
            'cxcywh_norm' reads the images all the same.
        **kwargs: Arguments of :class:`BaseLocDataset`.
    """

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
        if box_format == "cxcywh_norm" and one_based:
            raise ValueError("one_based has no meaning for box_format='cxcywh_norm', which has no pixels")
        self.format = format
        self.label_map = None
        if label_map is not None:
            self.label_map = {str(key): int(value) for key, value in label_map.items()}
        self.box_format = box_format
        self.one_based = one_based
        self.size_source = size_source
        super().__init__(data_root, ann_file, split, data_prefix, metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the list, then resolve labels, sizes and boxes."""
        kind = self.format if self.format != "auto" else self._guess_format()
        box_format, names = "xyxy", None
        if kind == "wsol":
            records = read_wsol(self._wsol_folder(), self.problems, need_gt=self.test_mode)
        elif kind == "csv":
            records = read_csv(self.ann_file, self.problems)
        elif kind == "coco":
            records, names = read_coco(self.ann_file, self.problems)
            box_format = "xywh"
        else:
            records, names, box_format = self._read_folder()
        labels = self._labels(records, names)  # over all splits, so that they agree on the classes
        if kind == "csv":
            records = self._select_split(records)
        for record in records:
            self._finish_boxes(record, self.box_format or box_format)
        return [self.make_item(record, labels[str(record.label)]) for record in records]

    # ---- formats -------------------------------------------------------------------------------

    def _guess_format(self) -> str:
        path = self.ann_file
        if os.path.isfile(path):
            kinds = {".csv": "csv", ".txt": "csv", ".json": "coco"}
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
        return inner if self.split and os.path.isdir(inner) else self.ann_file

    def _select_split(self, records: list[Record]) -> list[Record]:
        splits = sorted({record.split for record in records})
        if self.split and self.split not in splits:
            raise ValueError(f"'{self.ann_file}' has no split {self.split!r}; it has {splits}")
        return [record for record in records if not self.split or record.split == self.split]

    def _read_folder(self) -> tuple[list[Record], list[str] | None, str]:
        """Read images in class folders, or flat ones, and the annotation file of each."""
        root = self.data_prefix["img_path"]
        paths = list_images(root)
        flat = [path for path in paths if "/" not in path]
        if flat and len(flat) < len(paths):
            raise ValueError(
                f"'{root}' has both class folders and images beside them, e.g. '{flat[0]}': move those away"
            )
        annotations = self._annotation_files()
        folders = {path.split("/")[0] for path in paths} if not flat else set()
        records, kinds = [], set()
        for path in paths:
            record = Record(path, os.path.join(root, path))
            annotation = self._annotation_of(path, annotations, folders)
            names: list[str] = []
            kinds.add(annotation[-4:])
            if annotation.endswith(".xml"):
                record, names = read_voc(annotation, path, self.problems)
            elif annotation:
                record, names = read_yolo(annotation, path, self.problems)
            if not flat:
                record.label = path.split("/")[0]
            elif len(set(names)) == 1:
                record.label = parse_label(names[0])
            elif names:
                listed = ", ".join(sort_names(set(names)))
                message = f"objects of several classes ({listed}): multi-label images are not supported"
                self.problems.add(record.source, message, path)
            records.append(record)
        if self.ann_file and paths and kinds == {""}:
            raise ValueError(f"no xml or txt file under '{self.ann_file}' is named like an image of '{root}'")
        if {".xml", ".txt"} <= kinds:
            raise ValueError(f"'{self.ann_file}' mixes VOC xml and YOLO txt: keep one of them")
        known = None
        if not flat and self.label_map is None:
            known = list(self.folder_labels(folders))
        return records, known, "cxcywh_norm" if ".txt" in kinds else "xyxy"

    def _annotation_files(self) -> dict[str, list[str]]:
        """Return the xml and txt files under ``ann_file`` by their stem, as relative paths."""
        files: dict[str, list[str]] = {}
        if not self.ann_file:
            return files
        require_dir(self.ann_file, "ann_file is the folder of VOC xml or YOLO txt files")
        for parent, folders, names in os.walk(self.ann_file, followlinks=True):
            folders.sort()
            for name in sorted(names):
                stem, extension = os.path.splitext(name)
                if extension.lower() in _GT_EXTENSIONS and not name.startswith("."):
                    path = os.path.relpath(os.path.join(parent, name), self.ann_file)
                    files.setdefault(stem, []).append(path.replace(os.sep, "/"))
        return files

    def _annotation_of(self, path: str, files: dict[str, list[str]], folders: set[str]) -> str:
        """Return the annotation file with the image's stem; one in a class folder serves that class only."""
        folder = path.split("/")[0]
        matches = [
            name
            for name in files.get(os.path.splitext(os.path.basename(path))[0], [])
            if name.split("/")[0] == folder or name.split("/")[0] not in folders
        ]
        if len(matches) > 1:
            message = f"has {len(matches)} annotation files in '{self.ann_file}': {', '.join(matches[:3])}"
            self.problems.add(f"image '{path}'", message, path)
            return ""
        return os.path.join(self.ann_file, matches[0]) if matches else ""

    # ---- labels and boxes ----------------------------------------------------------------------

    def _labels(self, records: list[Record], names: list[str] | None) -> dict[str, int | str | None]:
        """Return the class index of every listed label; set ``metainfo['classes']`` if it is unknown."""
        listed = {str(r.label): r.label for r in records}
        given = {key: label for key, label in listed.items() if label is not None}
        classes = self._metainfo.get("classes")
        if self.label_map is not None:
            labels: dict[str, Any] = {key: self.label_map.get(key, key) for key in given}
            if classes is None:
                by_index = {index: key for key, index in self.label_map.items()}
                count = max(by_index, default=-1) + 1
                classes = tuple(by_index.get(index, str(index)) for index in range(count))
        else:
            if classes is None:
                classes = self._infer_classes(given, names)
            index = {name: number for number, name in enumerate(classes)}
            # a number is the class index itself, unless it is the name of a class
            labels = {key: index.get(key, label) for key, label in given.items()}
        self._metainfo["classes"] = classes
        return {"None": None, **labels}

    def _infer_classes(self, given: dict[str, Any], names: list[str] | None) -> tuple[str, ...]:
        numbers = [label for label in given.values() if isinstance(label, int)]
        if names is None and numbers:  # a name among numbers is reported as an unknown class
            return tuple(str(index) for index in range(max(numbers) + 1))
        classes = tuple(names if names is not None else sort_names(set(given)))
        shown = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
        print_log(
            f"{type(self).__name__}: {len(classes)} classes in the order {shown}; metainfo=dict(classes=[...]) fixes "
            "the order",
            "current",
        )
        return classes

    def _finish_boxes(self, record: Record, box_format: str) -> None:
        """Convert the boxes of a record to x0, y0, x1, y1 in pixels from 0."""
        fractions = box_format == "cxcywh_norm" and bool(record.boxes)
        if self.size_source == "file" or (fractions and record.size is None):
            size = read_size(os.path.join(self.data_prefix["img_path"], record.img_id), False)
            if isinstance(size, str):
                self.problems.add(record.source, size, record.img_id)
                return
            record.size = size
        if fractions and record.size is not None:
            record.boxes = [_from_fractions(box, record.size) for box in record.boxes]
            return
        if box_format == "xywh":
            record.boxes = [(x, y, x + w, y + h) for x, y, w, h in record.boxes]
        if self.one_based:
            record.boxes = [tuple(value - 1 for value in box) for box in record.boxes]


def _from_fractions(box: tuple[float, ...], size: tuple[int, int]) -> tuple[float, ...]:
    (cx, cy, w, h), (width, height) = box, size
    return (
        (cx - w / 2) * width,
        (cy - h / 2) * height,
        (cx + w / 2) * width,
        (cy + h / 2) * height,
    )
