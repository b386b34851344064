"""Shapes: deterministic, exact, and a localization task that cannot be solved by place or color."""

import cv2
import numpy as np
import pytest

from mmwsol.datasets.shapes import CLASSES, Shapes, render


def test_same_seed_same_picture_and_splits_differ():
    first, again = render(7), render(7)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], render(7, seed=1)[0])
    assert not np.array_equal(first[0], render(7, split="val")[0])


def test_pictures_are_what_they_were():
    # Changing them without raising _VERSION would leave stale pictures on users' disks.
    image, mask, label = render(3)
    assert (image.shape, image.dtype, label) == ((64, 64, 3), np.uint8, 3)
    assert [int(image.sum()), int(mask.sum())] == [896829, 663]


@pytest.fixture(scope="module")
def pictures():
    return [render(i, "val") for i in range(400)]


def test_task_is_real(pictures):
    boxes = []
    for _, mask, _ in pictures:
        ys, xs = np.nonzero(mask)
        boxes.append((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
    boxes = np.array(boxes, float)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    overlap = np.clip(np.minimum(boxes[:, 2:], 48) - np.maximum(boxes[:, :2], 16), 0, None).prod(1)
    assert np.mean(area / 64**2 >= 0.5) < 0.35  # the whole frame finds fewer
    assert np.mean(overlap / (area + 32**2 - overlap) >= 0.5) < 0.35  # so does the center box
    assert area.min() > 8 * 8


def test_color_and_place_do_not_tell_the_class(pictures):
    labels = np.array([label for _, _, label in pictures])
    color = np.array([image[mask].mean(0) for image, mask, _ in pictures])
    place = np.array([np.argwhere(mask).mean(0) for _, mask, _ in pictures])
    for feature in (color, place):
        feature = (feature - feature.mean(0)) / feature.std(0)
        distance = np.linalg.norm(feature[:, None] - feature, axis=2)
        np.fill_diagonal(distance, np.inf)
        nearest = labels[distance.argmin(1)] == labels
        assert nearest.mean() < 2.2 / len(CLASSES)


def test_files_boxes_and_masks(tmp_path):
    dataset = Shapes(data_root=str(tmp_path), split="val", num_images=20)
    assert len(dataset) == 20 and dataset.metainfo["classes"] == CLASSES
    info = dataset.get_data_info(13)
    image, mask, label = render(13, "val")
    np.testing.assert_array_equal(cv2.imread(info["img_path"]), image)
    np.testing.assert_array_equal(cv2.imread(info["mask_paths"][0], 0) > 0, mask)
    ys, xs = np.nonzero(mask)
    np.testing.assert_array_equal(info["gt_bboxes_ori"], [[xs.min(), ys.min(), xs.max(), ys.max()]])
    assert info["gt_label"] == label == 3


def test_pictures_are_rendered_once(tmp_path):
    Shapes(data_root=str(tmp_path), num_images=3)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    Shapes(data_root=str(tmp_path), num_images=3)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="got 0 and 64"):
        Shapes(data_root=str(tmp_path), num_images=0)
