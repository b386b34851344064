"""Ground-truth boxes in the evaluation frame."""

import numpy as np
import pytest

from mmwsol.evaluation.functional import FRAME_RULES, check_frame, frame_of_rule, gt_to_frame
from mmwsol.structures import Frame

SIZE = (224, 224)
CUB = [[60, 27, 60 + 325, 27 + 304]]  # first test image, 500x335
VAL2 = [[45, 49, 499, 162], [2, 69, 437, 207]]  # ILSVRC_val_00000002, 500x375


@pytest.mark.parametrize(
    "rule, boxes, shape, expected",
    [
        ("wsol", CUB, (335, 500), [[26, 18, 172, 221]]),
        ("tscam", CUB, (335, 500), [[26, 18, 172, 221]]),
        ("sat", CUB, (335, 500), [[14, 4, 181, 223]]),
        ("short", CUB, (335, 500), [[0, 4.632836, 214.208955, 224]]),
        ("wsol", VAL2, (375, 500), [[20, 29, 223, 96], [0, 41, 195, 123]]),
        ("sat", VAL2, (375, 500), [[7, 17, 223, 94], [0, 31, 207, 125]]),
        ("tscam", [[60, 27, 385, 331]], (375, 500), [[26, 16, 172, 197]]),
        ("tscam", [[0, 0, 499, 499]], (500, 500), [[0, 0, 223, 223]]),
        ("sat", [[14, 112, 402, 298]], (347, 500), [[0, 66, 189, 203]]),
        ("sat", [[111, 108, 441, 193]], (375, 500), [[40, 57, 209, 115]]),
    ],
)
def test_official_boxes(rule, boxes, shape, expected):
    for dtype in (np.float32, np.float64):
        moved = gt_to_frame(np.array(boxes, dtype), shape, SIZE, rule)
        np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-6 if rule == "short" else 0)


def test_frame_that_is_not_square():
    # (H, W) = (10, 35): 35 wide, 10 high.
    assert gt_to_frame([1, 2, 4, 3], (20, 10), (10, 35), "wsol").tolist() == [[3, 1, 14, 1]]


def test_tscam_reads_cub_numbers_as_integers():
    boxes = np.array([[12.6, 29.8, 12.6 + 28.0, 29.8 + 32.4]], np.float32)
    # x, y, w, h = 12, 29, 28, 32; x1 = 12 + 28, not int(40.6); w is not 27.99999.
    assert gt_to_frame(boxes, (64, 64), (64, 64), "tscam").tolist() == [[12, 29, 40, 61]]


def test_crop_leaves_inverted_boxes():
    moved = gt_to_frame([[1, 125, 10, 440]], (451 * 2, 216), SIZE, "sat")
    assert moved[0, 2] < moved[0, 0]
    # The short-side rule clips them to an empty box instead.
    moved = gt_to_frame([[1, 10, 10, 40]], (200, 600), SIZE, "short")
    assert moved[0, 0] == moved[0, 2] == 0


def test_sizes_before_the_crop():
    box = [[0, 0, 384, 384]]
    assert gt_to_frame(box, (384, 384), (384, 384), "sat").tolist() == [[0, 0, 383, 383]]
    short = gt_to_frame([[100, 100, 200, 200]], (384, 384), (384, 384), "short")
    scale, offset = 448 / 384, 32  # round(32.5) to even
    np.testing.assert_allclose(short, [[100 * scale - offset] * 2 + [200 * scale - offset] * 2])
    small = gt_to_frame([[100, 100, 200, 200]], (384, 384), (384, 384), "short", resize_size=400)
    assert not np.allclose(small, short)


def test_bad_rules_are_named():
    with pytest.raises(ValueError, match="frame_rule must be one of .* got 'crop'"):
        gt_to_frame(CUB, (335, 500), SIZE, "crop")
    with pytest.raises(ValueError, match="square frame"):
        gt_to_frame(CUB, (335, 500), (224, 192), "sat")


def test_no_boxes():
    for rule in ("wsol", "tscam", "sat", "short"):
        assert gt_to_frame(np.zeros((0, 4)), (30, 40), SIZE, rule).shape == (0, 4)


SHAPE = (335, 500)
PIPELINES = {
    "squash": Frame.identity(SHAPE).resized(SIZE),
    "squash_crop": Frame.identity(SHAPE).resized((256, 256)).cropped(16, 16, SIZE),
    "short_crop": Frame.identity(SHAPE).resized((256, 382)).cropped(79, 16, SIZE),
}
FITS = {"wsol": "squash", "tscam": "squash", "sat": "squash_crop", "short": "short_crop"}


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("rule", FITS)
def test_rule_must_fit_the_pipeline(rule, pipeline):
    frame = PIPELINES[pipeline]
    if FITS[rule] == pipeline:
        check_frame(frame, rule)
    else:
        with pytest.raises(ValueError, match=f"frame_rule '{rule}' does not fit the test pipeline"):
            check_frame(frame, rule)


@pytest.mark.parametrize("rule", FRAME_RULES)
def test_there_and_back(rule):
    """The geometry of a rule leads back to the original picture; its rounding moves boxes by a pixel at most."""
    box = np.array([[30.0, 40.0, 201.0, 190.0]])
    frame = frame_of_rule((375, 500), SIZE, rule)
    assert frame.ori_shape == (375, 500) and frame.shape == SIZE
    original = frame.inverse().boxes(box)
    np.testing.assert_allclose(frame.boxes(original), box, atol=1e-4)
    moved = gt_to_frame(original, (375, 500), SIZE, rule)
    assert np.abs(moved - box).max() <= 1 + 1e-4  # integer rules truncate
