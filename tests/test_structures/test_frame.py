"""Frame: closed forms of every step, there and back, boxes, maps and masks."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import cv2
import numpy as np
import pytest
from PIL import Image

from mmwsol.structures import Frame


def random_frame(rng):
    """Return a frame of some random steps."""
    frame = Frame.identity(rng.integers(20, 90, 2))
    for _ in range(int(rng.integers(1, 6))):
        step = int(rng.integers(3))
        if step == 0:
            frame = frame.resized(rng.integers(10, 120, 2))
        elif step == 1:
            frame = frame.cropped(*rng.integers(-9, 9, 2), rng.integers(10, 60, 2))
        else:
            frame = frame.flipped(*rng.integers(0, 2, 2).astype(bool))
    return frame


def numbers(frame):
    return np.array([*frame.ori_shape, *frame.shape, *frame.scale, *frame.shift])


# ---- steps --------------------------------------------------------------------------------------


def test_steps_in_closed_form():
    frame = Frame.identity((30, 40, 3))
    assert frame == Frame((30, 40), (30, 40), (1.0, 1.0), (0.0, 0.0))
    resized = frame.resized((60, 20))
    assert resized == Frame((30, 40), (60, 20), (0.5, 2.0))
    cropped = resized.cropped(3, -5, (50, 12))  # five rows of padding above
    assert cropped == Frame((30, 40), (50, 12), (0.5, 2.0), (-3.0, 5.0))
    assert cropped.resized((100, 12)) == Frame((30, 40), (100, 12), (0.5, 4.0), (-3.0, 10.0))
    assert cropped.flipped() == Frame((30, 40), (50, 12), (-0.5, 2.0), (15.0, 5.0))
    assert cropped.flipped(False, True) == Frame((30, 40), (50, 12), (0.5, -2.0), (-3.0, 45.0))
    assert cropped.flipped(True, True).flips == (True, True) and cropped.flips == (False, False)
    assert cropped.flipped().whole_shape == cropped.whole_shape == (60.0, 20.0)


def test_points_go_where_the_pixels_go():
    frame = Frame.identity((30, 40)).resized((60, 20)).cropped(3, -5, (50, 12)).flipped()
    # (x, y) = (10, 4): after the resize (5, 8), after the crop (2, 13), flipped in a width of 12
    assert frame.points([10, 4]).tolist() == [10.0, 13.0]
    assert frame.points(np.zeros((2, 3, 2), np.uint8)).shape == (2, 3, 2)


@pytest.mark.parametrize("seed", range(20))
def test_compose_and_inverse(seed):
    rng = np.random.default_rng(seed)
    first = random_frame(rng)
    second = dataclasses.replace(random_frame(rng), ori_shape=first.shape)
    points = rng.uniform(-50, 150, (7, 2))
    both = first.compose(second)
    assert (both.ori_shape, both.shape) == (first.ori_shape, second.shape)
    np.testing.assert_allclose(both.points(points), second.points(first.points(points)), atol=1e-9)
    back = both.inverse()
    assert (back.ori_shape, back.shape) == (both.shape, both.ori_shape)
    np.testing.assert_allclose(back.points(both.points(points)), points, atol=1e-9)
    np.testing.assert_allclose(numbers(back.inverse()), numbers(both), atol=1e-9)
    np.testing.assert_allclose(numbers(both.compose(back))[4:], [1, 1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(numbers(both.flipped(True, True).flipped(True, True)), numbers(both), atol=1e-9)
    assert both.flipped(False, False) == both


# ---- the object ---------------------------------------------------------------------------------


def test_frames_are_immutable_values():
    frame, same = (Frame.identity((30, 40)).cropped(np.int64(3), np.float32(2), np.array([20, 20])) for _ in range(2))
    assert frame == same and len({frame, same}) == 1
    assert pickle.loads(pickle.dumps(frame)) == copy.deepcopy(frame) == frame
    assert repr(frame) == "Frame(ori_shape=(30, 40), shape=(20, 20), scale=(1.0, 1.0), shift=(-3.0, -2.0))"
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.shape = (1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(ori_shape=(30, 0)), r"ori_shape of a frame must be \(H, W\) of at least one pixel, got \(30, 0\)"),
        (dict(shape=(20, 20, 3)), r"shape of a frame must be \(H, W\)"),
        (dict(scale=(1.0, 0.0)), r"scales other than 0, got scale=\(1.0, 0.0\)"),
        (dict(shift=(float("nan"), 0.0)), "finite numbers"),
    ],
)
def test_impossible_frames(options, message):
    with pytest.raises(ValueError, match=message):
        Frame(**{**dict(ori_shape=(30, 40), shape=(20, 20)), **options})


# ---- boxes --------------------------------------------------------------------------------------


def test_boxes():
    frame = Frame.identity((30, 40)).resized((60, 20)).cropped(3, -5, (50, 12)).flipped()
    # x: 12 - (x / 2 - 3), y: 2 y + 5
    boxes = frame.boxes([[10, 4, 20, 10], [0, 0, 40, 30]])
    assert boxes.dtype == np.float32 and boxes.tolist() == [[5, 13, 10, 25], [0, 5, 12, 50]]
    assert frame.boxes([[0, 0, 40, 30]], clip=False).tolist() == [[-5, 5, 15, 65]]
    assert frame.boxes([]).shape == frame.boxes(np.zeros((0, 4))).shape == (0, 4)


def test_boxes_outside_become_degenerate_and_stay():
    frame = Frame.identity((30, 40)).cropped(20, 10, (10, 10))
    assert frame.boxes([[0, 0, 5, 5], [35, 12, 40, 15]]).tolist() == [[0, 0, 0, 0], [10, 2, 10, 5]]


@pytest.mark.parametrize("seed", range(5))
def test_boxes_there_and_back(seed):
    rng = np.random.default_rng(seed)
    frame = random_frame(rng)
    boxes = np.sort(rng.uniform(0, 20, (9, 2, 2)), axis=1).reshape(9, 4)
    back = frame.inverse().boxes(frame.boxes(boxes, clip=False), clip=False)
    np.testing.assert_allclose(back, boxes, atol=1e-3)
    height, width = frame.ori_shape
    np.testing.assert_allclose(
        frame.inverse().boxes(frame.boxes(boxes, clip=False)), boxes.clip(0, [width, height] * 2), atol=1e-3
    )


# ---- maps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
def test_maps_come_back_to_the_pixels_they_are_of(flip):
    """Original 20 x 10 (W x H), enlarged twice, cropped at x=8, then flipped."""
    frame = Frame.identity((10, 20)).resized((20, 40)).cropped(8, 0, (20, 24))
    picture = np.zeros((20, 24), np.float32)
    picture[4:8, 2:12] = 1  # x_original = (x_network + 8) / 2: 5 to 10
    if flip:
        frame, picture = frame.flipped(), np.ascontiguousarray(picture[:, ::-1])
    expected = np.zeros((10, 20))
    expected[2:4, 5:10] = 1
    np.testing.assert_allclose(frame.inverse().maps(picture), expected)


def test_maps_equal_a_resize_and_a_crop_by_hand():
    picture = np.random.default_rng(0).random((30, 40, 3)).astype(np.float32)
    frame = Frame.identity((30, 40)).resized((90, 120)).cropped(11, 7, (60, 70)).flipped()
    expected = cv2.resize(picture, (120, 90), interpolation=cv2.INTER_LINEAR)[7:67, 11:81][:, ::-1]
    inner = (slice(2, -2), slice(2, -2))  # cv2.resize repeats border pixels, a warp has 0 outside
    np.testing.assert_allclose(frame.maps(picture)[inner], expected[inner], atol=0.02)  # warpAffine has 1/32 pixels
    np.testing.assert_array_equal(Frame.identity((30, 40)).maps(picture), picture)
    padded = Frame.identity((30, 40)).cropped(-4, -3, (40, 50)).maps(picture)
    np.testing.assert_array_equal(padded, np.pad(picture, ((3, 7), (4, 6), (0, 0))))
    with pytest.raises(ValueError, match=r"a picture of \(H, W\) = \(40, 30\) .* begins at \(30, 40\)"):
        frame.maps(picture.transpose(1, 0, 2))


# ---- masks --------------------------------------------------------------------------------------


def mask_of(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("mask_shape", [(30, 40), (30, 41), (60, 80), (13, 17)])
def test_masks_equal_cv2_nearest_then_crop_and_flip(mask_shape):
    """wsolevaluation's rule, whatever the size of the mask."""
    mask = mask_of(mask_shape)
    whole = cv2.resize(mask, (56, 64), interpolation=cv2.INTER_NEAREST)
    frame = Frame.identity((30, 40)).resized((64, 56))
    moved = frame.masks(mask)
    assert moved.dtype == np.uint8 and np.array_equal(moved, whole)
    crop = frame.cropped(5, 9, (40, 48))
    np.testing.assert_array_equal(crop.masks(mask), whole[9:49, 5:53])
    for flips in ((True, False), (False, True), (True, True)):
        rows, columns = (slice(None, None, -1 if flip else 1) for flip in flips[::-1])
        np.testing.assert_array_equal(crop.flipped(*flips).masks(mask), whole[9:49, 5:53][rows, columns])
    padded = frame.cropped(-6, -4, (70, 66)).flipped()
    np.testing.assert_array_equal(padded.masks(mask), np.pad(whole, ((4, 2), (6, 4)))[:, ::-1])
    again = crop.flipped().cropped(3, 2, (20, 20)).flipped(False, True)  # a crop of the flipped crop
    np.testing.assert_array_equal(again.masks(mask), whole[9:49, 5:53][:, ::-1][2:22, 3:23][::-1])


def test_masks_of_a_crop_that_is_resized():
    """The whole image has no whole size then: network pixel i shows mask pixel floor((i - shift) / scale)."""
    rows, columns = np.mgrid[:30, :40]
    frame = Frame.identity((30, 40)).cropped(3, 2, (21, 27)).resized((32, 48))
    y, x = 2 + np.arange(32)[:, None] * 21 / 32, 3 + np.arange(48) * 27 / 48
    for values, place in ((rows, y), (columns, x)):
        for moved in (frame.masks(values), frame.flipped(True, True).masks(values)[::-1, ::-1]):
            # On the border of two pixels, rounding decides.
            assert (moved <= np.floor(place)).all() and (moved >= np.floor(place - 1e-9)).all()


@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True), (True, True)])
def test_bilinear_masks_equal_pillow_then_crop_and_flip(flips):
    """A pixel is true where a part of the mask lies in it."""
    mask = mask_of((30, 40)) > 250
    whole = np.asarray(Image.fromarray(mask.astype(np.uint8)).resize((56, 64), Image.Resampling.BILINEAR)) > 0
    frame = Frame.identity((30, 40)).resized((64, 56))
    rows, columns = (slice(None, None, -1 if flip else 1) for flip in flips[::-1])
    for x, y, expected in ((5, 9, whole[9:49, 5:53]), (-6, -4, np.pad(whole, ((4, 0), (6, 0)))[:40, :48])):
        moved = frame.cropped(x, y, (40, 48)).flipped(*flips).masks(mask, resample="bilinear")
        assert moved.dtype == bool and np.array_equal(moved, expected[rows, columns])
    with pytest.raises(ValueError, match="resample must be one of .* got 'cubic'"):
        frame.masks(mask, resample="cubic")


def test_masks_outside_the_image_are_empty():
    mask = np.ones((30, 40), bool)
    frame = Frame.identity((30, 40)).cropped(100, 0, (10, 10))
    assert frame.masks(mask).dtype == bool and not frame.masks(mask).any()
    half = Frame.identity((30, 40)).cropped(35, -5, (10, 10)).masks(mask)
    assert half[5:, :5].all() and half.sum() == 25
