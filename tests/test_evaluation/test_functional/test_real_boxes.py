"""Numbers of fixed boxes, which no model predicts, on the real lists."""

import functools

import numpy as np
import pytest
from data_dir import DATA_DIR, requires_data

from mmwsol.evaluation.functional import (
    ERROR_TYPES,
    baseline_boxes,
    baseline_ious,
    best_iou_per_level,
    box_acc,
    box_iou,
    boxes_per_level,
    end_boxes,
    gt_to_frame,
    localization_error,
    normalize_map,
    threshold_grid,
    threshold_levels,
    to_uint8,
)

pytestmark = requires_data("wsol-metadata")
SIZE = (224, 224)
IOU_THRS = (0.3, 0.5, 0.7)
CENTER = [[56, 56, 168, 168]]


@functools.cache
def read(split: str) -> list[tuple[tuple[int, int], np.ndarray]]:
    """Return ((H, W), boxes (M, 4)) of every image of a list of wsolevaluation."""
    folder = DATA_DIR / "wsol-metadata" / "metadata" / split
    sizes, boxes = {}, {}
    for line in (folder / "image_sizes.txt").read_text().split():
        name, width, height = line.split(",")
        sizes[name] = (int(height), int(width))
    for line in (folder / "localization.txt").read_text().split():
        name, *box = line.split(",")
        boxes.setdefault(name, []).append([float(v) for v in box])
    return [(sizes[name], np.array(boxes[name])) for name in sizes]


@functools.cache
def ground_truth(split: str, rule: str) -> list[np.ndarray]:
    return [gt_to_frame(boxes, shape, SIZE, rule) for shape, boxes in read(split)]


def accuracy(iou: np.ndarray, iou_thr: float = 0.5) -> float:
    return 100 * (iou >= iou_thr).sum() / len(iou)


def first_boxes(gt: list[np.ndarray]) -> list[np.ndarray]:
    return [boxes[:1] for boxes in gt]


# protocol: frame rule, IoU, ground truth; whole frame and center box on CUB test and ILSVRC val at IoU .5
TABLE = [
    ("tscam", True, "any", (18.312, 44.5288), (40.498, 16.008)),
    ("sat", True, "any", (34.6565, 30.7905), (50.418, 9.880)),
    ("short", False, "first", (50.4315, 19.2786), (55.128, 5.526)),
]


@pytest.mark.parametrize("rule, plus_one, gt_mode, cub, ilsvrc", TABLE, ids=[row[0] for row in TABLE])
def test_baselines_of_the_protocols(rule, plus_one, gt_mode, cub, ilsvrc):
    fixed = baseline_boxes(SIZE)
    assert fixed["center_box"].tolist() == CENTER and fixed["whole_frame"].tolist() == [[0, 0, 224, 224]]
    for split, expected in (("CUB/test", cub), ("ILSVRC/test", ilsvrc)):
        gt = ground_truth(split, rule)
        gt = first_boxes(gt) if gt_mode == "first" else gt
        for name, value in zip(("whole_frame", "center_box"), expected, strict=True):
            ours = accuracy(baseline_ious(gt, fixed[name], plus_one))
            assert ours == pytest.approx(value, abs=6e-5), (split, name)


def test_first_box_only():
    gt = first_boxes(ground_truth("ILSVRC/test", "tscam"))
    ours = accuracy(baseline_ious(gt, baseline_boxes(SIZE)["whole_frame"]))
    assert ours == pytest.approx(39.408, abs=1e-9)


@pytest.mark.parametrize(
    "split, images, boxes, expected",
    [
        ("CUB/test", 5794, 5794, (53.9524, 18.9506, 4.5564)),
        ("ILSVRC/test", 50000, 80477, (63.06, 41.108, 22.594)),
        ("ILSVRC/val", 10000, 18532, (59.48, 37.29, 19.46)),
    ],
)
def test_whole_frame_of_wsolevaluation(split, images, boxes, expected):
    gt = ground_truth(split, "wsol")
    assert (len(gt), sum(map(len, gt))) == (images, boxes)
    box = baseline_boxes(SIZE, "exclusive_clip")["whole_frame"]
    assert box.tolist() == [[0, 0, 223, 223]]
    iou = baseline_ious(gt, box)
    np.testing.assert_allclose([accuracy(iou, iou_thr) for iou_thr in IOU_THRS], expected, atol=6e-5)
    if split == "ILSVRC/test":
        assert accuracy(baseline_ious(first_boxes(gt), box)) == pytest.approx(39.982, abs=1e-9)


def release_boxes() -> dict[str, list[float]]:
    """Return x0, y0, x1, y1 of the CUB release's own list, which is not clipped to the image."""
    folder = DATA_DIR / "cub-release-lists"
    names = dict(line.split() for line in (folder / "images.txt").read_text().splitlines())
    rows = (line.split() for line in (folder / "bounding_boxes.txt").read_text().splitlines())
    found = {}
    for number, *xywh in rows:
        x, y, w, h = map(float, xywh)
        found[names[number]] = [x, y, x + w, y + h]
    return found


@requires_data("cub-release-lists")
def test_cub_rules_differ_in_two_images():
    release = release_boxes()
    folder = DATA_DIR / "wsol-metadata" / "metadata" / "CUB" / "test"
    names = (folder / "image_ids.txt").read_text().split()
    a = np.concatenate(ground_truth("CUB/test", "wsol"))
    shapes = [shape for shape, _ in read("CUB/test")]
    b = [gt_to_frame(release[n], shape, SIZE, "tscam")[0] for n, shape in zip(names, shapes, strict=True)]
    assert ((a != b).any(axis=1)).sum() == 2 and np.abs(a - b).max() == 1


def test_rules_differ_where_the_specification_says():
    a, b = (np.concatenate(ground_truth("ILSVRC/test", rule)) for rule in ("wsol", "tscam"))
    assert ((a != b).any(axis=1)).sum() == 5 and np.abs(a - b).max() == 1
    cropped = ground_truth("ILSVRC/test", "sat")
    empty = [(boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1]) for boxes in cropped]
    assert sum(e.sum() for e in empty) == 568 and sum(e.all() for e in empty) == 14
    first = np.array([boxes[0] for boxes in ground_truth("ILSVRC/test", "short")])
    assert ((first[:, 2] <= first[:, 0]) | (first[:, 3] <= first[:, 1])).sum() == 395


ERRORS = [
    ("CUB/test", CENTER, dict(right=2580, part=2274, more=547, wrong=393)),
    ("CUB/test", [[0, 0, 224, 224]], dict(right=1061, more=4733)),
    ("ILSVRC/test", CENTER, dict(right=8002, multi_instance=6901, part=25157, more=3500, wrong=6440)),
    ("ILSVRC/test", [[0, 0, 224, 224]], dict(right=20249, multi_instance=9653, more=20098)),
]


@pytest.mark.parametrize("split, box, expected", ERRORS)
def test_error_breakdown(split, box, expected):
    found = [localization_error(box, gt, True) for gt in ground_truth(split, "tscam")]
    counts = {name: found.count(name) for name in ERROR_TYPES}
    assert counts == {name: expected.get(name, 0) for name in ERROR_TYPES}


def test_iou_of_exactly_one_half_and_medians():
    iou = baseline_ious(ground_truth("ILSVRC/test", "tscam"), np.array(CENTER))
    assert (iou >= 0.5).sum() == 8004 and (iou > 0.5).sum() == 8002
    assert np.median(iou) == pytest.approx(0.344903, abs=1e-6)
    assert np.median(iou[iou >= 0.5]) == pytest.approx(0.570896, abs=1e-6)
    iou = baseline_ious(ground_truth("CUB/test", "tscam"), np.array(CENTER))
    assert np.median(iou) == pytest.approx(0.481545, abs=1e-6)
    counts = np.histogram(iou, np.linspace(0.5, 1, 11))[0]
    assert counts.tolist() == [847, 617, 479, 331, 158, 91, 47, 9, 1, 0]


GAUSSIAN = [
    ("CUB/test", (93.90749050742147, 59.59613393165343, 17.0003451846738), (0.538, 0.432, 0.314)),
    ("CUB/val", (87.7, 45.2, 9.4), None),
    ("CUB/train", (94.2109, 60.4771, 17.5008), None),
    ("ILSVRC/test", (76.814, 54.062, 29.280), None),
    ("ILSVRC/val", (74.94, 50.36, 25.66), None),
]


@pytest.mark.parametrize("split, expected, best_at", GAUSSIAN, ids=[row[0] for row in GAUSSIAN])
def test_center_gaussian(split, expected, best_at):
    """One map for every image, 1000 thresholds: the official evaluator's digits."""
    axis = (np.arange(224) - 111.5) ** 2
    u8_map = to_uint8(normalize_map(np.exp(-(axis[:, None] + axis[None]) / (2 * 56**2))))
    levels = boxes_per_level(u8_map)
    assert end_boxes(levels.at(127), SIZE, "exclusive_clip").tolist() == [[47, 47, 177, 177]]
    gt = ground_truth(split, "wsol")
    counts = np.array([len(boxes) for boxes in gt])
    # Few distinct boxes: their IoU with every image, then spread over levels and thresholds.
    boxes, index = np.unique(end_boxes(levels.boxes, SIZE, "exclusive_clip"), axis=0, return_inverse=True)
    iou = box_iou(boxes, np.concatenate(gt))
    iou = np.maximum.reduceat(iou, np.cumsum(counts) - counts, axis=1)
    of_level = np.zeros(256, int)
    for n, low, high in zip(index.ravel(), levels.low, levels.high, strict=True):
        of_level[low : high + 1] = n
    at = of_level[threshold_levels(threshold_grid(), 255)]
    counts = np.stack([(iou >= iou_thr).sum(axis=1)[at] for iou_thr in IOU_THRS])
    best, grid = 100 * counts.max(axis=1) / len(gt), threshold_grid()
    np.testing.assert_allclose(best, expected, rtol=0, atol=1e-12 if best_at else 6e-5)
    if best_at:
        np.testing.assert_allclose(grid[counts.argmax(axis=1)], best_at)
        # The same through the functions of the metric, for some images.
        ended = levels._replace(boxes=end_boxes(levels.boxes, SIZE, "exclusive_clip"))
        hits = np.stack([best_iou_per_level(ended, g, np.zeros((1, 4))) for g in gt[:50]])
        hits = hits[:, threshold_levels(grid, 255)][:, None] >= np.array(IOU_THRS)[:, None]
        part = np.stack([(iou[:, :50] >= iou_thr).sum(axis=1)[at] for iou_thr in IOU_THRS])
        np.testing.assert_allclose(box_acc(hits)[0], 100 * part / 50)
