"""NEU-DET: defects on steel."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mmwsol.datasets.loc_list import LocListDataset
from mmwsol.registry import DATASETS

_FOLDERS = {"train": "train", "val": "validation"}


@DATASETS.register_module()
class NEUDET(LocListDataset):
    """NEU-DET (Song and Yan, 2013): 1,440 training and 360 val images (200x200, gray) of six defects of steel.

    The label is the class folder, which is also in the file name; boxes are PASCAL VOC, several an image. Objects of
    another class, which 123 of the 1,800 images have, count as boxes of the image::

        {train,validation}/images/<class>/<class>_<number>.jpg
        {train,validation}/annotations/<class>_<number>.xml

    Args:
        data_root: Folder with ``train`` and ``validation``; ``tools/dataset_converters/neu_det.py`` makes them
            from any copy.
        split: 'train' or 'val'. Defaults to 'train'.
        ann_file: Folder of the xml files. Defaults to None: that of the split.
        data_prefix: Image folder. Defaults to that of the split.
        metainfo: ``classes`` defaults to the six.
        **kwargs: Arguments of :class:`LocListDataset`.
    """

    knows_split = True
    METAINFO = dict(classes=("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches"))

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        ann_file: str | None = None,
        data_prefix: str | Mapping[str, str] | None = None,
        metainfo: Mapping | None = None,
        **kwargs,
    ) -> None:
        if split not in _FOLDERS:
            raise ValueError(f"NEU-DET has the splits 'train' and 'val', got {split!r}")
        folder = _FOLDERS[split]
        ann_file = f"{folder}/annotations" if ann_file is None else ann_file
        super().__init__(data_root, ann_file, split, "folder", data_prefix or f"{folder}/images", metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the folders and compare each image's folder with its name."""
        items = super().load_data_list()
        for item in items:
            folder, name = os.path.split(item["img_id"])
            named = name.rsplit("_", 1)[0]
            if named != folder and named in self._metainfo["classes"]:
                message = f"image '{item['img_id']}' is named after class '{named}': move it to that folder"
                self.problems.add(item["img_path"], message, item["img_id"])
        return items
