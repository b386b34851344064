"""Error kinds, PxAP and the reduction of MaxBoxAcc."""

import numpy as np
import pytest

from mmwsol.evaluation.functional import (
    PIXEL_EDGES,
    best_iou_per_level,
    box_acc,
    box_iou,
    boxes_per_level,
    localization_error,
    pixel_curves,
    pixel_histograms,
    score_bins,
    threshold_grid,
    threshold_levels,
)


@pytest.mark.parametrize(
    "box, gt, expected",
    [
        ([0, 0, 9, 9], [[0, 0, 29, 29]], "part"),
        ([0, 0, 29, 29], [[10, 10, 19, 19]], "more"),
        ([0, 0, 29, 9], [[0, 0, 9, 9], [20, 0, 29, 9]], "multi_instance"),
        ([0, 0, 19, 9], [[0, 0, 9, 19], [10, 0, 19, 19]], "multi_instance"),
        ([0, 0, 9, 9], [[5, 5, 24, 24]], "wrong"),
        ([1, 2, 11, 14], [[0, 0, 9, 9]], "part"),  # would be 'more' too: part comes first
        ([0, 0, 9, 9], [[50, 50, 60, 60]], "wrong"),
        ([0, 0, 9, 9], [[0, 0, 9, 9]], "right"),
        ([0, 0, 9, 9], [[0, 0, 9, 9], [0, 0, 9, 8]], "right"),
    ],
)
def test_error_kinds(box, gt, expected):
    assert localization_error(box, gt, class_correct=True) == expected
    assert localization_error(box, gt, class_correct=False) == "cls"


def test_more_needs_seven_tenths_of_the_box():
    # Prediction of 200 pixels; 7 of 10 and 6 of 10 pixels of the object are covered.
    assert localization_error([3, 0, 22, 9], [[0, 0, 9, 0]], True) == "more"
    assert localization_error([4, 0, 23, 9], [[0, 0, 9, 0]], True) == "wrong"


def test_error_bar_is_strict_on_demand():
    assert localization_error([0, 0, 1, 0], [[0, 0, 0, 0]], True) == "more"
    assert localization_error([0, 0, 1, 0], [[0, 0, 0, 0]], True, strict=False) == "right"
    assert localization_error([0, 0, 1, 0], [[0, 0, 0, 0]], True, iou_thr=0.4) == "right"


def test_pxap_and_piou():
    scores = np.array([[0.9, 0.4, 0.6, 0.1, 0.99]])
    fg = np.array([[1, 1, 0, 0, 0]], bool)
    ignore = np.array([[0, 0, 0, 0, 1]], bool)
    histograms = pixel_histograms(scores, fg, ignore)
    _, values = pixel_curves(histograms)
    assert values["pxap"] == pytest.approx(83.3333, abs=1e-4)
    assert values["piou"] == pytest.approx(66.6667, abs=1e-4)
    histograms = pixel_histograms(scores, fg)
    _, values = pixel_curves(histograms)
    assert values["pxap"] == pytest.approx(50) and values["piou"] == pytest.approx(50)
    # Foreground wins over ignore.
    np.testing.assert_array_equal(pixel_histograms(scores, fg, ignore | fg), pixel_histograms(scores, fg, ignore))


def test_pxap_of_tied_scores():
    scores, fg = np.array([[0.9, 0.6, 0.1, 0.6, 0.2]]), np.array([[1, 1, 1, 0, 0]], bool)
    assert pixel_curves(pixel_histograms(scores, fg))[1]["pxap"] == pytest.approx(75.5556, abs=1e-4)


def test_pixel_bins():
    assert len(PIXEL_EDGES) == 1003
    assert score_bins(np.array([0.57, 1.0, 0.0, 0.999])).tolist() == [569, 1000, 0, 999]
    edges = PIXEL_EDGES[:1001]
    near = np.concatenate([edges, np.nextafter(edges, 0), np.nextafter(edges, 1)]).clip(0, 1)
    np.testing.assert_array_equal(score_bins(near), np.searchsorted(PIXEL_EDGES, near, "right") - 1)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        pixel_histograms(np.array([[1.2]]), np.array([[True]]))
    with pytest.raises(ValueError, match="one shape"):
        pixel_histograms(np.zeros((2, 2)), np.zeros((3, 3), bool))


def test_pxap_without_foreground():
    with pytest.raises(ValueError, match="no foreground"):
        pixel_curves(pixel_histograms(np.zeros((2, 2)), np.zeros((2, 2), bool)))


def test_maximum_is_taken_per_bar():
    iou = np.array([[0.2, 0.6, 0.6, 0.1], [0.1, 0.2, 0.6, 0.8]])
    bars = np.array([0.3, 0.5, 0.7])
    curves, best, index = box_acc(iou[:, None] >= bars[:, None])
    assert curves.tolist() == [[0, 50, 100, 50], [0, 50, 100, 50], [0, 0, 0, 50]]
    assert best.tolist() == [100, 100, 50] and index.tolist() == [2, 2, 3]
    assert best.mean() == pytest.approx(83.3333, abs=1e-4)


def test_grid_and_levels():
    grid = threshold_grid(0.001)
    np.testing.assert_array_equal(grid, np.arange(0, 1, 0.001))
    assert np.unique(threshold_levels(grid, 255)).tolist() == list(range(255))
    for step, levels in ((0.01, 100), (0.05, 20)):
        assert len(np.unique(threshold_levels(threshold_grid(step), 255))) == levels
    for peak in (1, 76, 200, 239, 255):
        assert threshold_levels(grid, peak).tolist() == [int(t * np.uint8(peak)) for t in grid]
    with pytest.raises(ValueError, match="got 2"):
        threshold_grid(2)


def test_best_iou_per_level():
    rng = np.random.RandomState(0)
    gt, default = np.array([[2, 3, 9, 9], [0, 0, 4, 4]]), np.zeros((1, 4))
    for top in (255, 90):
        u8_map = (rng.rand(12, 14) * top).astype(np.uint8)
        levels = boxes_per_level(u8_map, "all_contours")
        best = best_iou_per_level(levels, gt, default)
        for level in range(256):
            boxes = levels.at(level) if len(levels.at(level)) else default
            assert best[level] == box_iou(boxes, gt).max()
    assert (best_iou_per_level(boxes_per_level(u8_map * 0), gt, default) == 1 / 25).all()
