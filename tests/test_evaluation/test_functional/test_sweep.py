"""The compiled sweep against OpenCV, level by level. MMWSOL_FUZZ=1 runs the long version (minutes)."""

import os
import threading

import cv2
import numpy as np
import pytest

from mmwsol.evaluation.functional import best_iou_per_level, box_iou, boxes_per_level, contours, largest_and_all_boxes

LONG = os.environ.get("MMWSOL_FUZZ") == "1"
MODES = ("largest_contour", "all_contours", "largest_component", "all_components")


def official_boxes(mask, mode):
    """Return sorted boxes; contours as the official codes find them, RETR_TREE and ``max``."""
    if "contour" in mode:
        outlines = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[-2]
        if outlines and mode == "largest_contour":
            outlines = [max(outlines, key=cv2.contourArea)]
        return sorted((x, y, x + w, y + h) for x, y, w, h in map(cv2.boundingRect, outlines))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:].tolist()]
    if count > 1 and mode == "largest_component":
        sizes, first = stats[1:, 4], np.unique(labels[labels > 0], return_index=True)[1]
        return [boxes[min(np.flatnonzero(sizes == sizes.max()), key=lambda i: first[i])]]
    return sorted(boxes)


def expand(levels):
    rows = [[] for _ in range(256)]
    for box, low, high in zip(levels.boxes.tolist(), levels.low.tolist(), levels.high.tolist(), strict=True):
        for level in range(low, high + 1):
            rows[level].append(tuple(box))
    return [sorted(row) for row in rows]


def assert_exact(u8_map, modes=MODES):
    """Compare all 256 levels; equal masks are looked at once."""
    per_level = {mode: expand(boxes_per_level(u8_map, mode, backend="numba")) for mode in modes}
    pixels = None
    for level in range(256):
        mask = (u8_map > level).astype(np.uint8)
        if pixels != mask.sum():
            pixels = mask.sum()
            expected = {mode: official_boxes(mask, mode) for mode in modes}
        for mode in modes:
            assert per_level[mode][level] == expected[mode], (mode, level, u8_map.tolist())


def small_map(rng):
    shape = tuple(rng.randint(1, 26, 2))
    kind = rng.randint(7)
    if kind == 0:  # ties
        return (rng.randint(0, rng.randint(2, 6), shape) * rng.randint(1, 50)).astype(np.uint8)
    if kind == 1:
        return np.full(shape, rng.randint(256), np.uint8)
    if kind == 2:  # maximum below 255
        return rng.randint(0, 120, shape).astype(np.uint8)
    if kind == 3:  # lines of one pixel
        u8_map = np.zeros(shape, np.uint8)
        u8_map[:: rng.randint(2, 4)] = rng.randint(1, 256)
        u8_map[:, :: rng.randint(2, 5)] = rng.randint(1, 256)
        u8_map[rng.rand(*shape) < 0.2] = rng.randint(256)
        return u8_map
    if kind == 4:
        return rng.randint(0, 256, shape).astype(np.uint8)
    if kind == 5:  # islands in holes in islands
        yy, xx = np.mgrid[: shape[0], : shape[1]]
        return ((np.maximum(abs(yy - shape[0] // 2), abs(xx - shape[1] // 2)) * rng.randint(1, 90)) % 256).astype(
            np.uint8
        )
    coarse = rng.rand(*rng.randint(2, 8, 2)).astype(np.float32)
    return (cv2.resize(coarse, shape[::-1]) * 255).astype(np.uint8)


def scaled(scoremap, peak=255):
    low, high = scoremap.min(), scoremap.max()
    return ((scoremap - low) / (high - low) * peak).astype(np.uint8)


def full_map(kind, rng, side):
    yy, xx = np.mgrid[:side, :side] / side
    coarse = cv2.resize(rng.rand(14, 14), (side, side), interpolation=cv2.INTER_CUBIC)
    if kind == "blobs":
        centers, widths = rng.rand(3, 2), rng.uniform(0.05, 0.3, 3)
        blobs = [np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / w**2) for (x, y), w in zip(centers, widths, strict=True)]
        return scaled(sum(blobs))
    if kind == "sharp":
        return scaled(1 / (1 + np.exp(-30 * (coarse - 0.5))) + 0.1 * rng.rand(side, side))
    if kind == "rings":
        return scaled(np.sin(np.hypot(xx - rng.rand(), yy - rng.rand()) * 80) + 0.3 * coarse)
    if kind == "texture":
        return scaled(np.sin(xx * 150) * np.sin(yy * 170) + coarse)
    if kind == "white":
        return scaled(rng.rand(side, side))
    if kind == "quantized":
        return (scaled(coarse) // 32 * 32).astype(np.uint8)
    if kind == "lines":
        return scaled(coarse) * (rng.rand(side, side) < 0.6)
    return scaled(coarse, 255 if kind == "coarse" else 180)


KINDS = ("coarse", "blobs", "sharp", "rings", "texture", "white", "quantized", "lines", "dim")
needs_numba = pytest.mark.skipif(contours.compiled_sweep() is None, reason="numba is not installed")


@needs_numba
def test_small_maps():
    rng = np.random.RandomState(1)
    for _ in range(20000 if LONG else 400):
        assert_exact(small_map(rng))


@needs_numba
@pytest.mark.parametrize("kind", KINDS)
def test_large_maps(kind):
    rng = np.random.RandomState(KINDS.index(kind))
    for _ in range(23 if LONG else 1):
        assert_exact(full_map(kind, rng, 224 if LONG else 48), MODES[:2])


@needs_numba
def test_best_iou():
    rng = np.random.RandomState(2)
    for i in range(200):
        u8_map = small_map(rng)
        gt = np.sort(rng.randint(0, 25, (rng.randint(1, 4), 2, 2)), axis=1).reshape(-1, 4) + rng.rand()
        default = np.array([[0.0, 0, 1, 1]])
        for mode in MODES:
            ours = boxes_per_level(u8_map, mode, backend="numba")
            values = [
                best_iou_per_level(levels, gt, default, bool(i % 2), backend)
                for levels, backend in ((ours, "numba"), (ours, "opencv"))
            ]
            values.append(
                best_iou_per_level(boxes_per_level(u8_map, mode, "opencv"), gt, default, bool(i % 2), "opencv")
            )
            np.testing.assert_array_equal(values[0], values[1])
            np.testing.assert_array_equal(values[0], values[2])


@pytest.mark.parametrize("backend", ["numba", "opencv"])
@pytest.mark.parametrize("region", ["contour", "component"])
def test_largest_and_all(backend, region):
    if backend == "numba" and contours.compiled_sweep() is None:
        pytest.skip("numba is not installed")
    rng = np.random.RandomState(3)
    for _ in range(20):
        u8_map = small_map(rng)
        largest, every = largest_and_all_boxes(u8_map, region, backend)
        assert expand(largest) == expand(boxes_per_level(u8_map, f"largest_{region}", "opencv"))
        assert expand(every) == expand(boxes_per_level(u8_map, f"all_{region}s", "opencv"))


@needs_numba
def test_the_interpreter_lock_is_released():
    """A long sweep must not stop other threads: they are counted while it runs."""
    u8_map = full_map("white", np.random.RandomState(0), 1500)
    boxes_per_level(u8_map[:9, :9], "all_contours")  # load the kernels
    done, ticks = threading.Event(), 0
    worker = threading.Thread(target=lambda: (boxes_per_level(u8_map, "all_contours"), done.set()))
    worker.start()
    while not done.wait(0.001):
        ticks += 1
    worker.join()
    assert ticks > 10


def test_without_numba(monkeypatch):
    monkeypatch.setattr(contours, "compiled_sweep", lambda: None)
    u8_map = np.array([[0, 9], [9, 9]], np.uint8)
    assert boxes_per_level(u8_map).at(3).tolist() == [[0, 0, 2, 2]]
    best = best_iou_per_level(boxes_per_level(u8_map), [[0, 0, 2, 2]], np.zeros((1, 4)))
    assert best[8] == 1 and best[9] == box_iou([[0, 0, 0, 0]], [[0, 0, 2, 2]])[0, 0]
    with pytest.raises(ImportError, match=r"mmwsol\[fast\]"):
        boxes_per_level(u8_map, backend="numba")
    with pytest.raises(ValueError, match="backend must be one of .* got 'cuda'"):
        boxes_per_level(u8_map, backend="cuda")


def test_missing_numba_is_reported_once(monkeypatch, recwarn):
    def missing(name):
        raise ModuleNotFoundError("No module named 'numba'")

    monkeypatch.setattr(contours.importlib, "import_module", missing)
    contours.compiled_sweep.cache_clear()
    for _ in range(2):
        assert boxes_per_level(np.array([[0, 9], [9, 9]], np.uint8)).at(3).tolist() == [[0, 0, 2, 2]]
    assert [str(w.message) for w in recwarn if "numba" in str(w.message)] == [
        "numba is not installed: the same values take several times as long (pip install 'mmwsol[fast]')"
    ]
    contours.compiled_sweep.cache_clear()


def test_broken_numba_is_reported(monkeypatch):
    def broken(name):
        raise ImportError("Numba needs NumPy 1.0 or less")

    monkeypatch.setattr(contours.importlib, "import_module", broken)
    contours.compiled_sweep.cache_clear()
    with pytest.warns(UserWarning, match="Numba needs NumPy 1.0"):
        assert contours.compiled_sweep() is None
    contours.compiled_sweep.cache_clear()
