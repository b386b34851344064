"""Resize, normalization and quantization of maps."""

import numpy as np
import pytest
import torch

from mmwsol.evaluation.functional import evaluation_map, normalize_map, resize_map, to_uint8

RNG = np.random.RandomState(0)


def test_resize_has_half_pixel_centers():
    up = resize_map(np.array([[0, 1], [0, 1]], np.float32), (8, 8))
    np.testing.assert_array_equal(up, [[0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]] * 8)
    np.testing.assert_array_equal(to_uint8(up)[0], [0, 0, 31, 95, 159, 223, 255, 255])


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resize_equals_torch(mode):
    small = RNG.rand(14, 14)
    ours = resize_map(small, (224, 224), mode)
    tensor = torch.from_numpy(small)[None, None]
    theirs = torch.nn.functional.interpolate(tensor, (224, 224), mode=mode, align_corners=False)
    if mode == "bicubic":  # OpenCV keeps a = -.75, as torch
        np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=1e-6)
    else:
        np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=1e-12)


def test_size_is_height_width():
    assert resize_map(np.ones((2, 3)), (5, 7)).shape == (5, 7)


def test_norms():
    scoremap = np.array([[-1.0, 0.0], [1.0, 3.0]])
    np.testing.assert_array_equal(normalize_map(scoremap, "minmax"), [[0, 0.25], [0.5, 1]])
    np.testing.assert_allclose(normalize_map(scoremap, "minmax_eps"), [[0, 1 / 4.00001], [2 / 4.00001, 4 / 4.00001]])
    np.testing.assert_array_equal(normalize_map(scoremap, "max"), [[0, 0], [1 / 3, 1]])
    np.testing.assert_allclose(normalize_map(scoremap, "ivr", 50), [[0, 0], [0.2, 1]])
    half = np.array([[0.5, 0.25]])
    np.testing.assert_array_equal(normalize_map(half, "none"), half)
    assert normalize_map(scoremap.astype(np.float32)).dtype == np.float32
    for bad in ("l2", "MINMAX"):
        with pytest.raises(ValueError, match=f"norm must be one of .* got '{bad}'"):
            normalize_map(scoremap, bad)
    with pytest.raises(ValueError, match="percentile"):
        normalize_map(scoremap, "ivr")
    with pytest.raises(ValueError, match=r"norm='none' needs maps in \[0, 1\]"):
        normalize_map(scoremap, "none")


@pytest.mark.parametrize("norm", ["minmax", "minmax_eps", "ivr"])
def test_constant_map_becomes_zero(norm):
    out = normalize_map(np.full((3, 3), 7.0), norm, 50 if norm == "ivr" else None)
    assert not out.any()
    assert not normalize_map(np.full((3, 3), -7.0), "max").any()


def test_order_matters():
    peak = np.zeros((14, 14))
    peak[7, 7] = 5
    after = evaluation_map(peak, (224, 224), norm_order="after")
    before = evaluation_map(peak, (224, 224), norm_order="before")
    assert to_uint8(after).max() == 255
    assert to_uint8(before).max() == 239  # .9375 + nothing of the neighbors
    assert after.dtype == np.float32


def test_cubic_overshoot_stays_in_range():
    noise = (RNG.rand(14, 14) > 0.5).astype(float)
    for order in ("before", "after"):
        for norm in ("minmax", "none", "max"):
            out = evaluation_map(noise, (224, 224), "bicubic", norm, order, "float64")
            assert out.min() >= 0 and out.max() <= 1
    # With 'none' the map is not stretched: the flat parts keep their values.
    assert evaluation_map(np.full((4, 4), 0.3), (9, 9), norm="none").max() == np.float32(0.3)


def test_nan_and_infinity():
    bad = np.zeros((3, 3))
    bad[1, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        evaluation_map(bad, (9, 9))
    with pytest.warns(UserWarning, match="NaN"):
        out = evaluation_map(bad, (9, 9), nan="zero")
    assert out.shape == (9, 9) and not out.any()
    bad[1, 1] = np.inf
    with pytest.raises(ValueError, match="NaN or infinite"):
        evaluation_map(bad, (9, 9), nan="zero")


def test_bad_arguments_are_named():
    ok = np.eye(3)
    with pytest.raises(ValueError, match=r"\(h, w\), got \(1, 3, 3\)"):
        evaluation_map(ok[None], (9, 9))
    with pytest.raises(ValueError, match="interpolation must be one of .* got 'nearest'"):
        evaluation_map(ok, (9, 9), interpolation="nearest")
    with pytest.raises(ValueError, match="norm_order must be 'after' or 'before', got 'never'"):
        evaluation_map(ok, (9, 9), norm_order="never")


def test_uint8_truncates_in_its_own_precision():
    assert to_uint8(np.array([[0.5, 0.502, 1, 0.25, 0]])).tolist() == [[127, 128, 255, 63, 0]]
    assert to_uint8(np.float32([[0.7 - 1e-8]])).tolist() == [[178]]
    for value in (-0.001, 1.001, np.nan):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            to_uint8(np.array([[value]]))
