"""The real lists load, without any image, with the counts that the data sets are known to have."""

from __future__ import annotations

import time

import numpy as np
import pytest
from data_dir import DATA_DIR, requires_data

from mmwsol.datasets import CUB, ILSVRC, CUBv2, ImageNetV2, LocListDataset, OpenImages30k, TinyImageNet
from mmwsol.evaluation.functional import (
    baseline_boxes,
    baseline_ious,
    box_iou,
    boxes_per_level,
    end_boxes,
    normalize_map,
    threshold_grid,
    threshold_levels,
    to_uint8,
)
from mmwsol.evaluation.metrics import MaxBoxAcc

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
    data = items(dataset)
    per_image = [len(item["gt_bboxes_ori"]) for item in data]
    assert (len(data), sum(per_image), max(per_image)) == (images, boxes, most)
    assert sum(count > 1 for count in per_image) == multi
    assert sum(len(item.get("mask_paths", ())) for item in data) == masks
    assert sum("ignore_path" in item for item in data) == (images if masks else 0)
    assert dataset.num_classes == classes == len({item["gt_label"] for item in data})
    assert all("ori_size" in item for item in data) == (folder != "OpenImages")


# data set, images, fewest and most images of a class, boxes or masks, images with several of them, most in one image
HELD_OUT = {
    "CUBv2": (lambda **kwargs: CUBv2(DATA_DIR / "wsol-metadata", **kwargs), 1000, 3, 6, 1000, 0, 1),
    "ImageNetV2": (lambda **kwargs: ImageNetV2(DATA_DIR / "wsol-metadata", **kwargs), 10000, 10, 10, 18532, 2052, 259),
    "val": (lambda **kwargs: OpenImages30k(DATA_DIR / "wsol-metadata", "val", **kwargs), 2500, 25, 25, 3854, 568, 25),
    "test": (
        lambda **kwargs: OpenImages30k(DATA_DIR / "wsol-metadata", "test", **kwargs),
        5000,
        50,
        50,
        7632,
        1081,
        62,
    ),
    "train": (lambda **_: OpenImages30k(DATA_DIR / "wsol-metadata"), 29819, 230, 300, 0, 0, 0),
}


@requires_data("wsol-metadata")
@pytest.mark.parametrize("name", HELD_OUT)
def test_data_sets_of_wsolevaluation(name):
    build, images, fewest, largest, total, several, most = HELD_OUT[name]
    dataset = build(test_mode=True)
    data = items(dataset)
    per_class = np.bincount([item["gt_label"] for item in data], minlength=dataset.num_classes)
    assert (len(data), per_class.min(), per_class.max()) == (images, fewest, largest)
    per_image = np.array([len(item["gt_bboxes_ori"]) + len(item.get("mask_paths", ())) for item in data])
    assert (per_image.sum(), (per_image > 1).sum(), per_image.max()) == (total, several, most)
    assert all("ignore_path" in item for item in data) == (name in ("val", "test"))


@requires_data("wsol-metadata")
def test_names_of_the_openimages_classes():
    dataset = OpenImages30k(DATA_DIR / "wsol-metadata", "test")
    names = {item["img_id"].split("/")[1]: dataset.metainfo["classes"][item["gt_label"]] for item in items(dataset)}
    assert len(names) == 100
    wanted = {"0bt_c3": "Book", "0by6g": "Shark", "0bt9lr": "Dog", "01yrx": "Cat", "0k4j": "Car", "04yx4": "Man"}
    assert {mid: names[mid] for mid in wanted} == wanted


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
    data = items(dataset)
    assert len(data) == images and all(len(item["gt_bboxes_ori"]) == 1 for item in data)
    assert dataset.num_classes == 20 and dataset.metainfo["classes"][0] == "goldfish"
    assert np.bincount([item["gt_label"] for item in data]).tolist() == [images // 20] * 20
    assert dataset[0]["img"].shape == (64, 64, 3)
    if split == "val":  # a published baseline of this copy: the whole frame hits about a third
        boxes = np.concatenate([item["gt_bboxes_ori"] for item in data])
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


def cub_test(**kwargs):
    """The release has no sizes: those of wsolevaluation."""
    release = CUB(DATA_DIR / "cub-release-lists", "test", **kwargs)
    listed = items(LocListDataset(DATA_DIR, f"{WSOL}/CUB", "test"))
    sizes = {item["img_id"]: item["ori_size"] for item in listed}
    return [{**item, "ori_size": sizes[item["img_id"]]} for item in items(release)]


# MaxBoxAcc at IoU .3, .5 and .7 of wsolevaluation's protocol: a map with a Gaussian in the center, and a box over all
EXACT = {
    "CUB test": (
        cub_test,
        (93.90749050742147, 59.59613393165343, 17.0003451846738),
        (53.9524, 18.9506, 4.5564),
    ),
    "CUBv2": (lambda: items(HELD_OUT["CUBv2"][0]()), (87.7, 45.2, 9.4), None),
    "ILSVRC val": (
        lambda: items(ILSVRC(DATA_DIR, "val", f"{WSOL}/ILSVRC/test")),
        (76.814, 54.062, 29.280),
        (63.06, 41.108, 22.594),
    ),
    "ImageNetV2": (lambda: items(HELD_OUT["ImageNetV2"][0]()), (74.94, 50.36, 25.66), (59.48, 37.29, 19.46)),
}


@requires_data("wsol-metadata", "cub-release-lists")
@pytest.mark.parametrize("name", EXACT)
def test_exact_accuracies_without_images(name):
    """What the data sets hold, seen through the frame of the metrics, gives the official evaluator's digits."""
    build, gaussian, whole_frame = EXACT[name]
    metric, size = MaxBoxAcc(), (224, 224)
    gt = []
    for item in build():
        width, height = item["ori_size"]
        sample = dict(gt_bboxes_ori=item["gt_bboxes_ori"], ori_shape=(height, width), img_shape=size)
        gt.append(metric.gt_boxes(sample))
    iou_thresholds = np.array([0.3, 0.5, 0.7])

    axis = (np.arange(224) - 111.5) ** 2
    levels = boxes_per_level(to_uint8(normalize_map(np.exp(-(axis[:, None] + axis[None]) / (2 * 56**2)))))
    boxes, index = np.unique(end_boxes(levels.boxes, size, "exclusive_clip"), axis=0, return_inverse=True)
    iou = box_iou(boxes, np.concatenate(gt))
    iou = np.maximum.reduceat(iou, np.cumsum([0, *map(len, gt)])[:-1], axis=1)  # best box of every image
    counts = np.stack([(iou >= threshold).sum(axis=1) for threshold in iou_thresholds], axis=1)
    hits = np.zeros((3, 256), int)  # images by IoU threshold and level
    for number, low, high in zip(index.ravel(), levels.low, levels.high, strict=True):
        hits[:, low : high + 1] = counts[number][:, None]
    best = 100 * hits[:, threshold_levels(threshold_grid(), 255)].max(axis=1) / len(gt)
    np.testing.assert_allclose(best, gaussian, rtol=0, atol=1e-12)

    if whole_frame:
        box = baseline_boxes(size, "exclusive_clip")["whole_frame"]
        iou = baseline_ious(gt, box)
        reached = [100 * (iou >= threshold).sum() / len(iou) for threshold in iou_thresholds]
        assert np.round(reached, 4).tolist() == list(whole_frame)
