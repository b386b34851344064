"""Imagenette: ten classes of ImageNet in real photographs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from mmwsol.datasets.base import BaseLocDataset
from mmwsol.datasets.csv_reader import read_csv
from mmwsol.datasets.readers import list_images, require_file
from mmwsol.datasets.records import Record
from mmwsol.registry import DATASETS

#: Class folder to name, in the order of the labels.
IMAGENETTE_CLASSES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
_TRAINING = re.compile(r"(n\d{8})_\d+\.JPEG$")
_VALIDATION = re.compile(r"ILSVRC2012_val_\d{8}\.JPEG$")
_HALVES = ("calibration", "report")
_CONVERTER = "tools/dataset_converters/imagenette.py"


@DATASETS.register_module()
class Imagenette(BaseLocDataset):
    """Imagenette (fast.ai): ten classes of ImageNet; 12,894 training photographs, and 500 with the boxes of ILSVRC.

    fastai's archives as they unpack (imagenette2, imagenette2-320, imagenette2-160, and the older ones without the 2),
    or the whole images squashed, with a list of boxes in pixels of the files that are there::

        train/<wnid>/*.JPEG  val/<wnid>/*.JPEG
        boxes.csv (path,split,label,x0,y0,x1,y1[,width,height]; the label is the wnid)

    The two folders of the archives mix the photographs of ImageNet's training set (``n01440764_10026.JPEG``) and of
    ILSVRC's validation set (``ILSVRC2012_val_00000293.JPEG``). Here the name decides, wherever the file lies:
    'train' is all of the former, without boxes, 'test' all of the latter, 50 a class. For thresholds that are not
    chosen on the images that they are reported on, 'calibration' and 'report' are the halves of 'test': in each class
    the listed names in sorted order, the first, third, ... and the second, fourth, ... An image is called
    ``<wnid>/<name>`` in all forms.

    Args:
        data_root: Folder with ``train`` and ``val``.
        split: 'train', 'test', 'calibration' or 'report'. Defaults to 'train'.
        ann_file: List of the boxes, which 'train' does not read; ``tools/dataset_converters/imagenette.py`` makes it
            from the lists of ILSVRC. Defaults to 'boxes.csv'.
        **kwargs: Arguments of :class:`BaseLocDataset`.

    Raises:
        FileNotFoundError: If a folder or the list is missing.
        ValueError: If there is no such split, a folder of another class, or a class without images; or a bad record:
            an image with a name of neither kind, in the folder of another class, twice, or without boxes, and a listed
            image that is not there.
    """

    METAINFO = dict(classes=tuple(IMAGENETTE_CLASSES.values()))
    splits = ("train", "test", *_HALVES)

    def __init__(self, data_root: str = "", split: str = "train", ann_file: str = "boxes.csv", **kwargs) -> None:
        if split not in self.splits:
            raise ValueError(
                f"Imagenette has the splits {self.splits}, got {split!r}; the archives' folder 'val' is none: it has "
                "training photographs, too"
            )
        super().__init__(data_root, ann_file, split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images of the split and read their boxes."""
        paths = self._find()
        training = {name: path for name, path in paths.items() if _TRAINING.match(name)}
        if self.split == "train":
            self._check_classes(training.values(), "of ImageNet's training set")
            records = {name: Record("", os.path.join(self.data_root, path)) for name, path in training.items()}
        else:
            validation = {name: path for name, path in paths.items() if name not in training}
            self._check_classes(validation.values(), "of ILSVRC's validation set")
            records = self._read_boxes(validation)
        # One order, whatever the folders and the lines: a seed draws the same photographs from every archive.
        return [self._item(records[name], paths[name]) for name in sorted(records, key=lambda n: _image_id(paths[n]))]

    def _find(self) -> dict[str, str]:
        """Return the images by their name, as paths relative to ``data_root``."""
        paths: dict[str, str] = {}
        for part in ("train", "val"):
            fix = "data_root is the folder that fastai's archive unpacks to, with 'train' and 'val'"
            listed = list_images(os.path.join(self.data_root, part), fix)
            folders = {path.partition("/")[0] for path in listed}
            unknown = sorted(folders - IMAGENETTE_CLASSES.keys())
            if unknown:
                raise ValueError(
                    f"'{os.path.join(self.data_root, part, unknown[0])}' is no class folder of Imagenette, which are "
                    f"{', '.join(IMAGENETTE_CLASSES)}: is it another archive? Remove it, or correct data_root"
                )
            for path in listed:
                self._add(paths, f"{part}/{path}")
        return paths

    def _add(self, paths: dict[str, str], path: str) -> None:
        """Add an image, or note what is wrong with its name."""
        name, wnid = os.path.basename(path), path.split("/")[1]
        match = _TRAINING.match(name)
        message = None
        if match is None and not _VALIDATION.match(name):
            message = (
                f"'{name}' is named neither like the photographs of ImageNet's training set (n01440764_10026.JPEG) nor "
                "like those of ILSVRC's validation set (ILSVRC2012_val_00000293.JPEG): remove it"
            )
        elif match is not None and match[1] != wnid:
            message = f"a photograph of class '{match[1]}' is in the folder of '{wnid}': move it to its own"
        elif name in paths:
            message = f"the photograph is there twice, also as '{paths[name]}': unpack one archive into one folder"
        if message is None:
            paths[name] = path
        else:
            self.problems.add(os.path.join(self.data_root, path), message, _image_id(path))

    def _check_classes(self, paths: Iterable[str], kind: str) -> None:
        missing = sorted(IMAGENETTE_CLASSES.keys() - {path.split("/")[1] for path in paths})
        if missing:
            names = ", ".join(f"{wnid} ({IMAGENETTE_CLASSES[wnid]})" for wnid in missing)
            raise ValueError(
                f"'{self.data_root}' has no photograph {kind} of the class(es) {names}: unpack the whole archive"
            )

    def _read_boxes(self, paths: Mapping[str, str]) -> dict[str, Record]:
        """Return the records of the split by the name of the image."""
        require_file(self.ann_file, f"{_CONVERTER} makes it from the lists of ILSVRC (README, Data)")
        listed, box_format = read_csv(self.ann_file, self.problems)
        if box_format not in (None, "xyxy"):
            raise ValueError(f"'{self.ann_file}' has boxes as {box_format}: name the columns x0,y0,x1,y1")
        records: dict[str, Record] = {}
        for record in listed:
            name = os.path.basename(record.img_id)
            message = _line_problem(record, name, paths.get(name), name in records)
            img_id = _image_id(paths[name]) if name in paths else record.img_id
            if record.img_id in self.problems.bad_ids:  # the table is wrong there
                self.problems.bad_ids.add(img_id)
            elif message is not None:
                self.problems.add(record.source, f"'{record.img_id}' {message}", img_id)
            records.setdefault(name, record)
        for name in sorted(paths.keys() - records.keys()):
            message = f"'{paths[name]}' is not listed: move the list away and make it again by {_CONVERTER}"
            self.problems.add(self.ann_file, message)
        wanted = self._half(records)
        return {name: record for name, record in records.items() if name in wanted and name in paths}

    def _half(self, records: Mapping[str, Record]) -> set[str]:
        """Return the listed images of the split: the list alone decides, not which files are there."""
        if self.split == "test":
            return set(records)
        by_class: dict[str, list[str]] = {}
        for name, record in sorted(records.items()):
            by_class.setdefault(str(record.label), []).append(name)
        first = _HALVES.index(self.split)
        return {name for names in by_class.values() for name in names[first::2]}

    def _item(self, record: Record, path: str) -> dict:
        """Return the item of an image; the label is its class folder."""
        record.img_id = _image_id(path)
        return self.make_item(record, [*IMAGENETTE_CLASSES].index(path.split("/")[1]), path)


def _line_problem(record: Record, name: str, path: str | None, again: bool) -> str | None:
    """Return what is wrong with a listed image, which lies at ``path``, or None."""
    if not _VALIDATION.match(name):
        return "is no photograph of ILSVRC's validation set, and only these have boxes here: remove the line"
    if again:
        return "is listed under two paths or splits: remove one"
    if path is None:
        return "is not in 'train' or 'val': unpack the whole archive, or remove the line"
    wnid = path.split("/")[1]
    if record.label != wnid:
        return f"is listed as class '{record.label}' and lies in the folder of '{wnid}': correct the one that is wrong"
    return None if record.boxes else f"has no box: move the list away and make it again by {_CONVERTER}"


def _image_id(path: str) -> str:
    """Return what an image is called wherever the archive has it: ``<wnid>/<name>``."""
    return path.partition("/")[2]
