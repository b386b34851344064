"""Tiny-ImageNet with boxes."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mmwsol.datasets.base import BaseLocDataset
from mmwsol.datasets.readers import list_images, read_box_lines, read_lines, read_table
from mmwsol.datasets.records import Record
from mmwsol.registry import DATASETS


@DATASETS.register_module()
class TinyImageNet(BaseLocDataset):
    """Tiny-ImageNet: 64x64 images, one box each, in one of two layouts; the label is the class folder's sorted place.

    By class folders, with lists::

        classes.txt (wnid name)  train_boxes.txt  val_boxes.txt (path x0 y0 x1 y1)
        train/<wnid>/*.JPEG  val/<wnid>/*.JPEG

    The public Tiny-ImageNet-200::

        wnids.txt  words.txt (wnid, tab, names; optional)
        train/<wnid>/images/*.JPEG  train/<wnid>/<wnid>_boxes.txt (name x0 y0 x1 y1)
        val/images/*.JPEG  val/val_annotations.txt (name wnid x0 y0 x1 y1)

    Args:
        data_root: Folder with the lists.
        split: 'train' or 'val'. Defaults to 'train'. The images of 'test' have no labels.
        metainfo: ``classes`` defaults to the names in the lists.
        **kwargs: Arguments of :class:`BaseLocDataset`.
    """

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        metainfo: Mapping | None = None,
        **kwargs,
    ) -> None:
        if split not in ("train", "val"):
            raise ValueError(f"Tiny-ImageNet has the labeled splits 'train' and 'val', got {split!r}")
        super().__init__(data_root, split=split, metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the lists of the layout that ``data_root`` has."""
        if os.path.isfile(os.path.join(self.data_root, "wnids.txt")):
            records = self._read_public()
        else:
            records = self._read_folders()
        return [self.make_item(record, record.label) for record in records]

    def _set_classes(self, names: dict[str, str]) -> dict[str, int]:
        """Set ``metainfo['classes']`` from ``{wnid: name}`` unless given; return the label of each wnid."""
        wnids = sorted(names)
        self._metainfo.setdefault("classes", tuple(names[wnid] for wnid in wnids))
        if self.num_classes != len(wnids):
            raise ValueError(
                f"'{self.data_root}' has {len(wnids)} classes and metainfo['classes'] "
                f"{self.num_classes}: correct metainfo"
            )
        return {wnid: label for label, wnid in enumerate(wnids)}

    def _read_folders(self) -> list[Record]:
        names = {}
        fix = "data_root holds classes.txt, or wnids.txt for the public Tiny-ImageNet-200"
        for source, text in read_lines(os.path.join(self.data_root, "classes.txt"), fix):
            wnid, *rest = text.split(None, 1)
            if wnid in names:
                self.problems.add(source, f"class '{wnid}' is listed twice: remove one line")
            names[wnid] = rest[0] if rest else wnid
        labels = self._set_classes(names)
        folder = os.path.join(self.data_root, self.split)
        records = {}
        for path in list_images(folder):
            img_id = f"{self.split}/{path}"
            wnid = path.split("/")[0]
            records[img_id] = Record(img_id, os.path.join(folder, path), labels.get(wnid, wnid))
        list_file = os.path.join(self.data_root, f"{self.split}_boxes.txt")
        for boxes in read_box_lines(list_file, self.problems, labels=False):
            if boxes.img_id in records and records[boxes.img_id].boxes:
                message = f"image '{boxes.img_id}' is listed twice: remove one line"
                self.problems.add(boxes.source, message, boxes.img_id)
            elif boxes.img_id in records:
                records[boxes.img_id].boxes += boxes.boxes
                records[boxes.img_id].box_sources += boxes.box_sources
            else:
                message = f"image '{boxes.img_id}' is not in '{self.data_root}'"
                self.problems.add(boxes.source, message + ": restore it or remove the line")
        return list(records.values())

    def _read_public(self) -> list[Record]:
        wnids: list[str] = []
        for source, text in read_lines(os.path.join(self.data_root, "wnids.txt")):
            if text in wnids:
                self.problems.add(source, f"class '{text}' is listed twice: remove one line")
            wnids.append(text)
        names = {wnid: wnid for wnid in wnids}
        words_file = os.path.join(self.data_root, "words.txt")
        for _, text in read_lines(words_file) if os.path.isfile(words_file) else ():
            wnid, _, words = text.partition("\t")
            if wnid in names:
                names[wnid] = words.split(",")[0].strip() or wnid
        labels = self._set_classes(names)
        if self.split == "val":
            return self._read_public_val(labels)
        records: list[Record] = []
        for wnid, label in labels.items():
            folder = f"train/{wnid}/images"
            by_name = {
                name: Record(f"{folder}/{name}", f"{folder}/{name}", label)
                for name in list_images(os.path.join(self.data_root, folder))
            }
            list_file = os.path.join(self.data_root, "train", wnid, f"{wnid}_boxes.txt")
            columns = ("name", "x0", "y0", "x1", "y1")
            for source, (name, *fields) in read_table(list_file, columns, self.problems):
                self._add_box(by_name.get(name), name, fields, source)
            records += by_name.values()
        return records

    def _read_public_val(self, labels: dict[str, int]) -> list[Record]:
        folder = "val/images"
        names = list_images(os.path.join(self.data_root, folder))
        by_name = {name: Record(f"{folder}/{name}", f"{folder}/{name}") for name in names}
        list_file = os.path.join(self.data_root, "val", "val_annotations.txt")
        columns = ("name", "wnid", "x0", "y0", "x1", "y1")
        for source, (name, wnid, *fields) in read_table(list_file, columns, self.problems):
            if name in by_name and by_name[name].label is None:
                by_name[name].label = labels.get(wnid, wnid)
                by_name[name].source = source
            self._add_box(by_name.get(name), name, fields, source)
        return list(by_name.values())

    def _add_box(self, record: Record | None, name: str, fields: list[str], source: str) -> None:
        if record is None:
            self.problems.add(source, f"image '{name}' is not in the image folder: restore it or remove the line")
            return
        if record.boxes:
            self.problems.add(source, f"image '{name}' is listed twice: remove one line", record.img_id)
            return
        record.add_box(fields, source, self.problems)
