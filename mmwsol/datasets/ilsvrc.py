"""ILSVRC 2012 (ImageNet-1k)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from mmwsol.datasets.base import BaseLocDataset, fill_prefix
from mmwsol.datasets.labels import parse_label
from mmwsol.datasets.readers import list_images, read_box_lines, read_wsol
from mmwsol.datasets.records import Record
from mmwsol.registry import DATASETS

_VAL_LISTS = (
    "ILSVRC2012_list/val_folder_new.txt",
    "val_folder_new.txt",
    "metadata/ILSVRC/test",
)
_WNID = re.compile(r"n\d{8}$")


@DATASETS.register_module()
class ILSVRC(BaseLocDataset):
    """ILSVRC 2012: 1,000 classes; the label is the place of the class folder (wnid) in sorted order.

    ``train/<wnid>/*.JPEG``; validation images lie in ``val/`` either flat or in class folders: both are found on
    their own, whatever the list says. The lists read are, by what ``ann_file`` points at:

    * None, the default: for 'train', no list; for 'val', the first of ``ILSVRC2012_list/val_folder_new.txt``,
      ``val_folder_new.txt`` and ``metadata/ILSVRC/test`` that exists;
    * '': no list; the class folders are listed and there are no boxes;
    * a file of lines ``wnid/name label [x0 y0 x1 y1 ...]``: TS-CAM's ``val_folder_new.txt`` and ``train.txt``;
    * a folder with wsolevaluation's four files: its ``ILSVRC/test`` is this data set's ``split='val'``.

    Args:
        data_root: Folder with ``train`` and ``val``.
        split: 'train' or 'val'. Defaults to 'train'.
        ann_file: See above. Defaults to None.
        data_prefix: Image folder. Defaults to the name of the split.
        metainfo: For a part of the classes: ``classes`` and ``wnids``, in the order of the labels.
        **kwargs: Arguments of :class:`BaseLocDataset`.
    """

    METAINFO = dict(classes=IMAGENET_CATEGORIES)

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        ann_file: str | None = None,
        data_prefix: str | Mapping[str, str] | None = None,
        metainfo: Mapping | None = None,
        **kwargs,
    ) -> None:
        if split not in ("train", "val"):
            raise ValueError(
                f"ILSVRC has the splits 'train' and 'val', got {split!r}; wsolevaluation's 'test' lists are those of "
                "split='val'"
            )
        self._find_list = ann_file is None and split == "val"
        prefix = fill_prefix(data_prefix, img_path=split)
        if metainfo and "wnids" in metainfo and "classes" not in metainfo:
            metainfo = {**metainfo, "classes": metainfo["wnids"]}
        super().__init__(data_root, ann_file or "", split, prefix, metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the list or the class folders."""
        if self._find_list:
            self.ann_file = self._default_list()
        if not self.ann_file:
            return self._read_folders()
        if os.path.isdir(self.ann_file):
            records = read_wsol(self.ann_file, self.problems, need_gt=self.test_mode)
            for record in records:
                record.label = parse_label(record.label) if isinstance(record.label, str) else record.label
            self._check_split(records)
        else:
            records = read_box_lines(self.ann_file, self.problems, labels=True)
        wnids = self._wnids()
        return [self.make_item(r, r.label, self._img_path(r, wnids)) for r in records]  # type: ignore[arg-type]

    def _default_list(self) -> str:
        for name in _VAL_LISTS:
            path = os.path.join(self.data_root, name)
            if os.path.exists(path):
                return path
        raise FileNotFoundError(
            f"'{self.data_root}' has no list of the validation boxes, none of {', '.join(_VAL_LISTS)}: put one "
            "there, pass ann_file, or ann_file='' for class folders without boxes"
        )

    def _read_folders(self) -> list[dict]:
        folder = self.data_prefix["img_path"]
        paths = list_images(folder)
        if any("/" not in path for path in paths):
            raise ValueError(f"'{folder}' has images outside class folders: pass ann_file, a list with their labels")
        labels = self.folder_labels({path.split("/")[0] for path in paths}, "wnids")
        return [self.make_item(Record(path, os.path.join(folder, path)), labels[path.split("/")[0]]) for path in paths]

    def _check_split(self, records: list[Record]) -> None:
        for record in records:
            if not record.img_id.startswith(f"{self.split}/"):
                raise ValueError(
                    f"{record.source}: image '{record.img_id}' is not under '{self.split}/': these lists are of "
                    "another split or data set ('val2/' is mmwsol.ImageNetV2)"
                )

    def _wnids(self) -> list[str] | None:
        """Return the class folders in label order, [] if images lie flat, None if there is no image folder."""
        folder = self.data_prefix["img_path"]
        if not os.path.isdir(folder):
            return None
        wnids = sorted(entry.name for entry in os.scandir(folder) if _WNID.match(entry.name))
        if not wnids:
            return []
        return list(self.folder_labels(set(wnids), "wnids"))

    def _img_path(self, record: Record, wnids: list[str] | None) -> str:
        """Return the path of an image relative to the image folder."""
        start = f"{self.split}/"  # wsolevaluation's ids are relative to the folder above
        path = record.img_id[len(start) :] if record.img_id.startswith(start) else record.img_id
        if wnids is None:
            return path
        name = os.path.basename(path)
        if not wnids:
            return name
        if "/" in path or not isinstance(record.label, int) or not 0 <= record.label < len(wnids):
            return path
        return f"{wnids[record.label]}/{name}"
