"""Brain tumors in MRI slices."""

from __future__ import annotations

from collections.abc import Mapping

from mmwsol.datasets.loc_list import LocListDataset
from mmwsol.registry import DATASETS

_FOLDERS = {"train": "Train", "val": "Val"}


@DATASETS.register_module()
class BrainTumor(LocListDataset):
    """MRI for Brain Tumor with Bounding Boxes (Kaggle, ahmedsorour1): 4,737 training and 512 val images of 4 classes.

    The label is the class folder; boxes are YOLO fractions of the image. An image without a file of boxes, or with an
    empty one, counts for classification only::

        {Train,Val}/<class>/images/*.jpg
        {Train,Val}/<class>/labels/*.txt

    Args:
        data_root: Folder with ``Train`` and ``Val``.
        split: 'train' or 'val'. Defaults to 'train'.
        ann_file: Folder of the YOLO files. Defaults to None: that of the split.
        data_prefix: Image folder. Defaults to that of the split.
        metainfo: ``classes`` defaults to the four.
        **kwargs: Arguments of :class:`LocListDataset`.
    """

    knows_split = True
    METAINFO = dict(classes=("Glioma", "Meningioma", "No Tumor", "Pituitary"))

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
            raise ValueError(f"BrainTumor has the splits 'train' and 'val', got {split!r}")
        folder = _FOLDERS[split]
        ann_file = folder if ann_file is None else ann_file
        super().__init__(data_root, ann_file, split, "folder", data_prefix or folder, metainfo, **kwargs)
