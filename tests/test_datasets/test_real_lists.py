"""The real lists load, without any image, with the counts that the data sets are known to have."""

from __future__ import annotations

import time

import numpy as np
import pytest
from data_dir import DATA_DIR, requires_data

from mmwsol.datasets import CUB, ILSVRC, LocListDataset, TinyImageNet

WSOL = "wsol-metadata/metadata"
# folder, images, boxes, images with several boxes, most boxes in one image, masks, classes (evaluation.md c.1)
COUNTS = [
    ("CUB/train", 5994, 5994, 0, 1, 0, 200),
    ("CUB/val", 1000, 1000, 0, 1, 0, 200),
    ("CUB/test", 5794, 5794, 0, 1, 0, 200),
    ("ILSVRC/val", 10000, 18532, 2052, 259, 0, 1000),
    ("ILSVRC/test", 50000, 80477, 11715, 20, 0, 1000),
    ("OpenImages/train", 29819, 0, 0, 0, 0, 100),
    ("OpenImages/val", 2500, 0, 0, 0, 3854, 100),
    ("OpenImages/test", 5000, 0, 0, 0, 7632, 100),
]


def items(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


@requires_data("wsol-metadata")
@pytest.mark.parametrize(("name", "images", "boxes", "multi", "most", "masks", "classes"), COUNTS)
def test_wsol_counts(name, images, boxes, multi, most, masks, classes):
    folder, split = name.split("/")
    dataset = LocListDataset(DATA_DIR, f"{WSOL}/{folder}", split)
    found = items(dataset)
    per_image = [len(item["gt_bboxes_ori"]) for item in found]
    assert (len(found), sum(per_image), max(per_image)) == (images, boxes, most)
    assert sum(count > 1 for count in per_image) == multi
    assert sum(len(item.get("mask_paths", ())) for item in found) == masks
    assert sum("ignore_path" in item for item in found) == (images if masks else 0)
    assert dataset.num_classes == classes == len({item["gt_label"] for item in found})
    assert all("ori_size" in item for item in found) == (folder != "OpenImages")


@requires_data("wsol-metadata")
def test_ilsvrc_loads_in_seconds():
    start = time.perf_counter()
    dataset = ILSVRC(DATA_DIR, "val", f"{WSOL}/ILSVRC/test", test_mode=True)
    assert time.perf_counter() - start < 20  # about 2 s alone on one core
    item = dataset.get_data_info(1)
    assert item["img_id"] == "val/ILSVRC2012_val_00000002.JPEG" and item["gt_label"] == 970
    assert item["gt_bboxes_ori"].tolist() == [[45, 49, 499, 162], [2, 69, 437, 207]]
    assert item["ori_size"] == (500, 375)
    labels = np.bincount([item["gt_label"] for item in items(dataset)], minlength=1000)
    assert (labels == 50).all()


@requires_data("cub-release-lists", "wsol-metadata")
@pytest.mark.parametrize(("split", "images"), [("train", 5994), ("test", 5794)])
def test_cub_release_agrees_with_wsol(split, images):
    """wsolevaluation's box is x, y, min(x + w, W - 1), min(y + h, H - 1) of the release's."""
    release = items(CUB(DATA_DIR / "cub-release-lists", split))
    listed = {i["img_id"]: i for i in items(LocListDataset(DATA_DIR, f"{WSOL}/CUB", split))}
    assert len(release) == images == len(listed)
    for item in release:
        other = listed[item["img_id"]]
        assert item["gt_label"] == other["gt_label"]
        high = np.tile(other["ori_size"], 2) - 1
        np.testing.assert_array_equal(np.minimum(item["gt_bboxes_ori"][0], high), other["gt_bboxes_ori"][0])


@requires_data("tiny-imagenet-20")
@pytest.mark.parametrize(("split", "images"), [("train", 10000), ("val", 1000)])
def test_tiny_imagenet_20(split, images):
    dataset = TinyImageNet(DATA_DIR / "tiny-imagenet-20", split, pipeline=[dict(type="mmwsol.LoadImage")])
    found = items(dataset)
    assert len(found) == images and all(len(item["gt_bboxes_ori"]) == 1 for item in found)
    assert dataset.num_classes == 20 and dataset.metainfo["classes"][0] == "goldfish"
    assert np.bincount([item["gt_label"] for item in found]).tolist() == [images // 20] * 20
    assert dataset[0]["img"].shape == (64, 64, 3)
    if split == "val":  # a published baseline of this copy: the whole frame hits about a third
        boxes = np.concatenate([item["gt_bboxes_ori"] for item in found])
        area = np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1) / 64**2
        assert 0.25 < (area >= 0.5).mean() < 0.42


@requires_data("neu-det")
def test_neu_det_flat():
    """1,800 xml files; 123 have objects of two or three classes, which have no image-level label."""
    kwargs = dict(data_prefix="IMAGES", ann_file="ANNOTATIONS")
    with pytest.raises(ValueError, match=r"123 bad record\(s\)(.|\n)*multi-label"):
        LocListDataset(DATA_DIR / "neu-det", **kwargs)
    dataset = LocListDataset(DATA_DIR / "neu-det", on_error="skip", **kwargs)
    assert len(dataset) == 1677 and dataset.num_classes == 6
    for item in items(dataset)[::50]:
        assert dataset.metainfo["classes"][item["gt_label"]] == item["img_id"].rsplit("_", 1)[0]
