"""Ground truth of stored maps, from a list in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmwsol.datasets import LocListDataset
from mmwsol.datasets.records import MAX_SIDE


def read_ground_truth(
    meta: str | Path,
    split: str = "",
    image_root: str | None = None,
    image_size: tuple[int, int] | None = None,
    mask_root: str | None = None,
    classes: Sequence[str] | None = None,
    box_format: str | None = None,
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Read labels, boxes and image sizes of an evaluation set; images are not needed if the list has their sizes.

    Args:
        meta: List in a format of :class:`mmwsol.datasets.LocListDataset`: wsolevaluation's folder, a CSV, COCO json.
        split: Split of a list that has several. Defaults to ''.
        image_root: Image folder: where sizes are read that the list does not have, and pictures are drawn from.
            Defaults to None.
        image_size: (W, H) of every image, where neither list nor images tell. Defaults to None.
        mask_root: Folder to which the mask files of the list are relative. Defaults to None.
        classes: Class names in the order of the labels. Defaults to None: those of the list.
        box_format: 'xyxy', 'xywh', 'xyxy_norm', 'xywh_norm' or 'cxcywh_norm'. Defaults to None: that of the format.

    Returns:
        One dict an image (``img_id``, ``img_path`` or None, ``ori_shape`` (H, W), ``gt_label``, ``gt_bboxes_ori``
        (M, 4), and mask files where listed), and the class names.

    Raises:
        FileNotFoundError, ValueError: As ``LocListDataset``; also if an image has no size.
    """
    prefix = {"img_path": image_root or "", **({"mask_path": mask_root} if mask_root else {})}
    options: dict[str, Any] = dict(
        ann_file=str(meta),
        split=split,
        data_prefix=prefix,
        metainfo=None if classes is None else dict(classes=list(classes)),
        box_format=box_format,
        test_mode=True,
    )
    if image_size is not None and not all(0 < side < MAX_SIDE for side in image_size):
        raise ValueError(f"image_size (--image-size) is W and H in pixels, got {image_size}")
    dataset = LocListDataset(**options)
    unknown = [i for i in range(len(dataset)) if "ori_size" not in dataset.get_data_info(i)]
    if unknown and image_root:
        dataset = LocListDataset(**options, size_source="file")
    elif unknown and image_size is None:
        raise ValueError(
            f"'{meta}' has no size of {len(unknown)} images, e.g. '{dataset.get_data_info(unknown[0])['img_id']}': "
            "give the image folder (--image-root), or the one size of all images (--image-size W H)"
        )
    items = [_item(dataset.get_data_info(index), image_size, str(meta)) for index in range(len(dataset))]
    for item in items if not image_root else ():
        item["img_path"] = None  # a name without a folder
    return items, tuple(dataset.metainfo.get("classes") or ())


def _item(info: dict[str, Any], image_size: tuple[int, int] | None, meta: str) -> dict[str, Any]:
    """Return what the evaluation needs of an image; its boxes must lie in it."""
    width, height = info.get("ori_size", image_size or (0, 0))  # one of them has it
    for x0, y0, x1, y1 in info["gt_bboxes_ori"]:
        if max(x0, x1) > width + 0.5 or max(y0, y1) > height + 0.5:
            raise ValueError(
                f"'{meta}': box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) of image '{info['img_id']}' is outside its size "
                f"{width}x{height} (W x H): correct the list or the size (--image-size W H)"
            )
    names = ("img_id", "img_path", "gt_label", "gt_bboxes_ori", "mask_paths", "ignore_path")
    return {**{name: info[name] for name in names if name in info}, "ori_shape": (height, width)}
