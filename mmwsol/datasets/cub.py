"""CUB-200-2011, read from the files of its release."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mmpretrain.datasets.categories import CUB_CATEGORIES

from mmwsol.datasets.base import BaseLocDataset, fill_prefix
from mmwsol.datasets.readers import read_lines, read_table
from mmwsol.datasets.records import Record, clean_path
from mmwsol.registry import DATASETS

_LISTS = ("image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt")


@DATASETS.register_module()
class CUB(BaseLocDataset):
    """CUB-200-2011 (Wah et al., 2011): 5,994 training and 5,794 test images of 200 bird species, one box each.

    ``data_root`` is the folder of the release::

        images.txt  image_class_labels.txt  train_test_split.txt  bounding_boxes.txt
        images/<class>/*.jpg
        segmentations/<class>/*.png     (separate archive; used as masks where the folder is present)

    Boxes are x, y, x + w, y + h as listed. 30 of them reach over the border of the image, by up to 32 pixels; the
    evaluation protocols clip them.

    Args:
        data_root: Folder of the release.
        split: 'train' or 'test'. Defaults to 'train'.
        ann_file: Folder of the four lists, if it is not ``data_root``. Defaults to ''.
        data_prefix: Defaults to ``dict(img_path='images', mask_path='segmentations')``.
        metainfo: ``classes`` defaults to the names in ``classes.txt`` beside the lists, else to the
            200 of the data set.
        **kwargs: Arguments of :class:`BaseLocDataset`.
    """

    METAINFO = dict(classes=CUB_CATEGORIES)
    strict_boxes = False

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        ann_file: str = "",
        data_prefix: str | Mapping[str, str] | None = None,
        metainfo: Mapping | None = None,
        **kwargs,
    ) -> None:
        if split not in ("train", "test"):
            raise ValueError(
                f"CUB has the splits 'train' and 'test', got {split!r}; CUBv2 is mmwsol.CUBv2, and "
                "mmwsol.LocListDataset reads lists of other splits"
            )
        prefix = fill_prefix(data_prefix, img_path="images", mask_path="segmentations")
        self._classes_given = "classes" in (metainfo or {})
        super().__init__(data_root, ann_file, split, prefix, metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Join the four lists on the image number."""
        folder = self.ann_file or self.data_root
        fix = "data_root is the folder of the CUB-200-2011 release, with images.txt"
        if not self._classes_given:
            self._read_classes(os.path.join(folder, "classes.txt"))

        records: dict[str, Record] = {}
        ids = os.path.join(folder, "images.txt")
        for source, (number, path) in read_table(ids, ("id", "path"), self.problems, fix=fix):
            if number in records:
                self.problems.add(source, f"id {number} is listed twice: remove one line", path)
            else:
                records[number] = Record(clean_path(path), source)

        count = self.num_classes
        for source, record, (label,) in self._join(_LISTS[0], ["label"], records):
            if label.isdecimal() and 1 <= int(label) <= (count or 0):
                record.label = int(label) - 1
            else:
                message = f"label {label} of image '{record.img_id}' is not in 1..{count}: "
                self.problems.add(source, message + "correct the list or metainfo['classes']", record.img_id)
        for source, record, (flag,) in self._join(_LISTS[1], ["0|1"], records):
            record.split = {"1": "train", "0": "test"}.get(flag, "")
            if not record.split:
                message = f"expected 'id 1' (train) or 'id 0' (test), found {flag!r}"
                self.problems.add(source, message, record.img_id)
        for source, record, fields in self._join(_LISTS[2], list("xywh"), records):
            record.add_box(fields, source, self.problems)

        masks = os.path.isdir(self.data_prefix["mask_path"])
        items = []
        for number, record in records.items():
            if record.img_id in self.problems.bad_ids:
                continue
            entries = (record.label is not None, record.split, record.boxes)
            missing = [name for name, there in zip(_LISTS, entries, strict=True) if not there]
            if missing:
                message = f"image id {number} has no line in {', '.join(missing)}"
                self.problems.add(record.source, message, record.img_id)
            elif record.split == self.split:
                if masks:
                    record.masks = [os.path.splitext(record.img_id)[0] + ".png"]
                record.boxes = [(x, y, x + w, y + h) for x, y, w, h in record.boxes]
                items.append(self.make_item(record, record.label))
        return items

    def _join(self, name: str, columns: list[str], records: dict[str, Record]):
        """Yield (source, record, fields) of the lines of a list that starts with the image number."""
        path = os.path.join(self.ann_file or self.data_root, name)
        fix = "the CUB-200-2011 release has it beside images.txt"
        seen: set[str] = set()
        for source, (number, *fields) in read_table(path, ("id", *columns), self.problems, fix=fix):
            if number in seen:
                img_id = records[number].img_id if number in records else None
                self.problems.add(source, f"image id {number} is listed twice: remove one line", img_id)
                continue
            seen.add(number)
            if number in records:
                yield source, records[number], fields
            else:
                self.problems.add(source, f"image id {number} is not in images.txt")

    def _read_classes(self, path: str) -> None:
        """Take the class names from the release's classes.txt, 'id NNN.Name', where present."""
        if os.path.isfile(path):
            names = [text.split(None, 1)[-1] for _, text in read_lines(path)]
            self._metainfo["classes"] = tuple(name.split(".", 1)[-1] for name in names)
