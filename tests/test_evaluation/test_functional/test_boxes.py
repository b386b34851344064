"""IoU conventions and box ends."""

import numpy as np
import pytest

from mmwsol.evaluation.functional import box_iou, default_bbox, end_boxes


def test_iou_in_both_conventions():
    assert box_iou([1, 2, 5, 6], [3, 1, 4, 5])[0, 0] == 8 / 27
    assert box_iou([1, 2, 5, 6], [3, 1, 4, 5], plus_one=False)[0, 0] == 3 / 17
    assert box_iou([46, 62, 146, 162], [46, 62, 145, 161])[0, 0] == pytest.approx(0.98029605, abs=1e-8)
    assert box_iou([60, 50, 120, 100], [60, 50, 119, 99])[0, 0] == pytest.approx(0.96432, abs=1e-5)


def test_degenerate_boxes():
    zero = [0, 0, 0, 0]
    assert box_iou(zero, zero)[0, 0] == 1.0
    assert box_iou(zero, zero, plus_one=False)[0, 0] == 0.0
    # An inverted box, as the crop of SAT leaves them, overlaps nothing.
    assert box_iou([0, 0, 10, 10], [5, 5, -4, 20])[0, 0] == 0.0
    assert box_iou([0, 0, 10, 10], [5, 5, 4, 20])[0, 0] == 0.0


@pytest.mark.parametrize("ends, bar", [((6, 9), 0.7), ((2, 9), 0.3), ((4, 9), 0.5)])
def test_iou_equal_to_the_bar_counts(ends, bar):
    pred, gt = [0, 0, ends[0], 0], [0, 0, ends[1], 0]
    assert box_iou(np.float32(pred), np.float32(gt))[0, 0] >= bar


def test_iou_of_many_boxes():
    iou = box_iou([[0, 0, 9, 9], [20, 20, 29, 29]], [[0, 0, 9, 9], [0, 0, 9, 19], [50, 50, 60, 60]])
    np.testing.assert_array_equal(iou, [[1, 0.5, 0], [0, 0, 0]])
    assert box_iou(np.zeros((0, 4)), [[0, 0, 1, 1]]).shape == (0, 1)


def test_bad_boxes_are_named():
    with pytest.raises(ValueError, match=r"shape \(N, 4\), got \(1, 3\)"):
        box_iou([[1, 2, 3]], [0, 0, 1, 1])
    with pytest.raises(ValueError, match="finite"):
        box_iou([0, 0, np.nan, 1], [0, 0, 1, 1])


def test_box_ends():
    boxes = np.array([[2, 2, 4, 4], [0, 0, 2, 3]])
    np.testing.assert_array_equal(end_boxes(boxes, (4, 4), "exclusive"), boxes)
    np.testing.assert_array_equal(end_boxes(boxes, (4, 4), "exclusive_clip"), [[2, 2, 3, 3], [0, 0, 2, 3]])
    np.testing.assert_array_equal(end_boxes(boxes, (4, 4), "inclusive"), [[2, 2, 3, 3], [0, 0, 1, 2]])
    np.testing.assert_array_equal(end_boxes(boxes, (9, 4), "exclusive_clip"), [[2, 2, 3, 4], [0, 0, 2, 3]])
    with pytest.raises(ValueError, match="box_end must be one of .* got 'clip'"):
        end_boxes(boxes, (4, 4), "clip")


def test_default_boxes():
    assert default_bbox("unit", (5, 7)).tolist() == [[0, 0, 1, 1]]
    assert default_bbox("zero", (5, 7)).tolist() == [[0, 0, 0, 0]]
    assert default_bbox("frame", (5, 7)).tolist() == [[0, 0, 7, 5]]
    with pytest.raises(ValueError, match="'none'"):
        default_bbox("none", (5, 7))
