"""Drawing."""

from __future__ import annotations

import numpy as np
import pytest

from mmwsol.visualization import (
    draw_boxes,
    draw_masks,
    draw_outcome,
    draw_prediction,
    overlay_map,
    stack_panels,
)
from mmwsol.visualization.draw import GT_COLOR, OTHER_COLOR, PRED_COLOR


@pytest.fixture
def image():
    return np.full((40, 60, 3), 100, np.uint8)


def test_boxes_cover_their_pixels(image):
    drawn = draw_boxes(image, [[10, 5, 30, 25]], (1, 2, 3), thickness=1)
    changed = np.argwhere((drawn != image).any(-1))
    assert changed.min(0).tolist() == [5, 10]
    assert changed.max(0).tolist() == [24, 29]  # x1, y1 are the ends, exclusive
    assert (image == 100).all()
    assert (draw_boxes(image, np.zeros((0, 4))) == image).all()
    assert (draw_boxes(image, [[10, 20, 30, 35]], texts=["a"])[:19] != 100).any()


def test_overlay_map_is_hot_where_the_map_is(image):
    score = np.zeros((40, 60))
    score[:, 30:] = 1
    blended = overlay_map(image, score).astype(int)
    assert (blended[:, :30, 0] > blended[:, :30, 2]).all()  # blue
    assert (blended[:, 30:, 2] > blended[:, 30:, 0]).all()  # red
    score[0, 0] = np.nan
    overlay_map(image, score)
    with pytest.raises(ValueError, match="differ in size"):
        overlay_map(image, score[:10])


def test_masks(image):
    mask = np.zeros((40, 60), bool)
    mask[:5] = True
    drawn = draw_masks(image, mask, ignore_mask=~mask)
    assert len(np.unique(drawn[:5].reshape(-1, 3), axis=0)) == 1
    assert (drawn[0, 0] != drawn[10, 0]).any()
    assert (draw_masks(image, None) == image).all()


def test_prediction_picture(image):
    score = np.zeros((40, 60), np.float32)
    box, gt = np.array([10, 5, 30, 25]), np.array([[10, 5, 30, 15], [0, 0, 2, 2]])
    drawn = draw_prediction(image, score, box, gt, "cat", "dog", 0.5)
    assert drawn.shape == (22 + 40 * 6, 2 * 60 * 6, 3)
    for color in (GT_COLOR, PRED_COLOR):
        assert (drawn == color).all(-1).any()
    without = draw_prediction(image, score, box, np.zeros((0, 4)), "cat", "dog", 0.5)
    assert (without[:22] != drawn[:22]).any()  # no IoU in the caption
    assert stack_panels([image], "x" * 500).shape[1] == 360


def test_outcome_shows_every_box_in_its_color(image):
    drawn = draw_outcome(image, [[2, 2, 50, 35]], [[10, 5, 30, 25], [20, 8, 55, 30]], [PRED_COLOR, OTHER_COLOR], "IoU")
    colors = {tuple(pixel) for pixel in drawn.reshape(-1, 3).tolist()}
    assert {GT_COLOR, PRED_COLOR, OTHER_COLOR} <= colors
    assert drawn.shape[1] == 60 * 6 and (image == 100).all()
