"""Regions of masks, and the sweep over levels against the loop it replaces."""

import cv2
import numpy as np
import pytest

from mmwsol.evaluation.functional import boxes_per_level, mask_boxes

MODES = ("largest_contour", "all_contours", "largest_component", "all_components")


def canvas(height, width, *blocks):
    """Draw ones at blocks (first row, last row, first column, last column)."""
    mask = np.zeros((height, width), np.uint8)
    for r0, r1, c0, c1 in blocks:
        mask[r0 : r1 + 1, c0 : c1 + 1] = 1
    return mask


def boxes(mask, mode):
    return sorted(mask_boxes(mask, mode).tolist())


def test_area_is_not_pixel_count():
    mask = canvas(8, 14, (1, 1, 1, 10), (4, 5, 2, 3))  # a line of 10 pixels, a block of 4
    assert boxes(mask, "largest_contour") == [[2, 4, 4, 6]]
    assert boxes(mask, "largest_component") == [[1, 1, 11, 2]]


def test_holes_count_for_contours_only():
    mask = canvas(12, 16, (1, 5, 1, 5), (1, 4, 9, 13))
    mask[2:5, 2:5] = 0  # ring: 16 pixels, area 16; the other block: 20 pixels, area 12
    assert boxes(mask, "largest_contour") == [[1, 1, 6, 6]]
    assert boxes(mask, "largest_component") == [[9, 1, 14, 5]]


def test_ties():
    mask = canvas(10, 10, (0, 2, 0, 2), (6, 8, 6, 8))
    assert boxes(mask, "largest_contour") == [[6, 6, 9, 9]]
    assert boxes(mask, "largest_component") == [[0, 0, 3, 3]]
    mask = canvas(10, 10, (0, 2, 6, 8), (0, 2, 0, 2))  # same rows
    assert boxes(mask, "largest_contour") == [[6, 0, 9, 3]]
    assert boxes(mask, "largest_component") == [[0, 0, 3, 3]]


def test_boxes_of_holes():
    mask = np.ones((12, 12), np.uint8)
    mask[4:8, 4:8] = 0
    assert boxes(mask, "all_contours") == [[0, 0, 12, 12], [3, 3, 9, 9]]
    assert boxes(mask, "largest_contour") == [[0, 0, 12, 12]]
    assert boxes(mask, "all_components") == [[0, 0, 12, 12]]
    mask = canvas(5, 5, (1, 3, 1, 3))
    mask[2, 2] = 0
    assert boxes(mask, "all_contours") == [[1, 1, 4, 4], [1, 1, 4, 4]]


def test_diagonal_neighbors_are_connected():
    mask = canvas(6, 6, (0, 1, 0, 1), (2, 2, 2, 2), (3, 4, 3, 4))
    for mode in MODES:
        assert boxes(mask, mode) == [[0, 0, 5, 5]]


def test_border_and_single_pixels():
    assert boxes(canvas(4, 4, (2, 3, 2, 3)), "largest_contour") == [[2, 2, 4, 4]]
    assert boxes(canvas(4, 4, (3, 3, 3, 3)), "largest_contour") == [[3, 3, 4, 4]]
    for mode in MODES:
        assert mask_boxes(np.zeros((4, 4)), mode).shape == (0, 4)


def test_bool_masks_and_views():
    mask = canvas(9, 9, (1, 3, 2, 6)).astype(bool)
    assert boxes(mask[:, ::-1].T, "largest_contour") == [[1, 2, 4, 7]]


def reference(u8_map, level, mode):
    """The official single-threshold code, RETR_TREE; for components the definition."""
    mask = (u8_map > level).astype(np.uint8)
    if "contour" in mode:
        contours = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[-2]
        if contours and mode == "largest_contour":
            contours = [max(contours, key=cv2.contourArea)]
        rects = [cv2.boundingRect(c) for c in contours]
        return sorted([x, y, x + w, y + h] for x, y, w, h in rects)
    candidates = []
    seen = np.zeros_like(mask)
    for r, c in np.argwhere(mask):  # raster order
        if seen[r, c]:
            continue
        stack, pixels = [(r, c)], []
        seen[r, c] = 1
        while stack:
            i, j = stack.pop()
            pixels.append((i, j))
            for a in range(max(i - 1, 0), min(i + 2, mask.shape[0])):
                for b in range(max(j - 1, 0), min(j + 2, mask.shape[1])):
                    if mask[a, b] and not seen[a, b]:
                        seen[a, b] = 1
                        stack.append((a, b))
        rows, cols = np.array(pixels).T.tolist()
        box = [min(cols), min(rows), max(cols) + 1, max(rows) + 1]
        candidates.append((len(pixels), box))
    if candidates and mode == "largest_component":
        candidates = [max(candidates, key=lambda item: item[0])]
    return sorted(box for _, box in candidates)


def random_map(rng, kind, side):
    shape = tuple(rng.randint(1, side + 1, 2))
    if kind == "quantized":
        return rng.randint(0, 4, shape).astype(np.uint8) * 60
    if kind == "constant":
        return np.full(shape, rng.choice([0, 76, 255]), np.uint8)
    if kind == "dim":  # maximum below 255
        return rng.randint(0, 120, shape).astype(np.uint8)
    if kind == "lines":  # one pixel wide
        u8_map = np.zeros(shape, np.uint8)
        u8_map[:: rng.randint(2, 4)] = rng.randint(1, 256)
        u8_map[:, :: rng.randint(2, 5)] = rng.randint(1, 256)
        return u8_map
    coarse = rng.rand(4, 4).astype(np.float32)
    return (cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR) * 255).astype(np.uint8)


KINDS = ("quantized", "constant", "dim", "lines", "smooth")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_levels_equal_the_loop(kind, mode):
    rng = np.random.RandomState(KINDS.index(kind))
    components = "component" in mode
    for _ in range(8 if components else 60):
        u8_map = random_map(rng, kind, 9 if components else 25)
        levels = boxes_per_level(u8_map, mode, backend="opencv")
        for level in range(256):
            expected = reference(u8_map, level, mode)
            assert sorted(levels.at(level).tolist()) == expected
            assert sorted(mask_boxes(u8_map > level, mode).tolist()) == expected


@pytest.mark.parametrize("mode", ["largest_contour", "all_contours"])
def test_levels_equal_the_loop_at_full_size(mode):
    rng = np.random.RandomState(7)
    yy, xx = np.mgrid[:224, :224]
    maps = [
        cv2.resize(rng.rand(14, 14), (224, 224), interpolation=cv2.INTER_CUBIC).clip(0, 1),
        np.exp(-((xx - 60) ** 2 + (yy - 150) ** 2) / 4000),
        0.5 + 0.5 * np.sin(np.hypot(xx - 111, yy - 90) / 9),
        (cv2.resize(rng.rand(28, 28), (224, 224)) * 8).round() / 8,
    ]
    for scoremap in maps:
        u8_map = (scoremap * 255).astype(np.uint8)
        levels = boxes_per_level(u8_map, mode, backend="opencv")
        for level in range(0, 256, 3):
            assert sorted(levels.at(level).tolist()) == reference(u8_map, level, mode)


def test_levels_outside_the_values():
    u8_map = np.array([[10, 200], [10, 10]], np.uint8)
    levels = boxes_per_level(u8_map)
    assert [levels.at(t).tolist() for t in (0, 9, 10, 199)] == [[[0, 0, 2, 2]]] * 2 + [[[1, 0, 2, 1]]] * 2
    assert levels.at(200).tolist() == levels.at(255).tolist() == []


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="mode must be one of .* got 'largest'"):
        boxes_per_level(np.zeros((3, 3), np.uint8), "largest")
    with pytest.raises(ValueError, match=r"\(H, W\) uint8, got float64 of shape \(3, 3\)"):
        boxes_per_level(np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"\(H, W\), got \(1, 3, 3\)"):
        mask_boxes(np.zeros((1, 3, 3)))
