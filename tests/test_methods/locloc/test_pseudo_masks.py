"""Pseudo masks: tri-map, GrabCut, fallback, presets, summary."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from mmwsol.methods.locloc import PseudoMaskWriter
from mmwsol.methods.locloc.offline import MaskJob, attention_map, grabcut, min_max, trimap
from mmwsol.registry import TASK_UTILS

Y, X = np.mgrid[:64, :64].astype(float)
SQUARE = (np.abs(X - 31.5) < 16) & (np.abs(Y - 31.5) < 16)
BLOB = min_max(np.exp(-((X - 31.5) ** 2 + (Y - 31.5) ** 2) / 200))


def scene() -> np.ndarray:
    """A textured square of another color, as BGR."""
    back = [150 + 30 * np.sin(0.5 * X), 160 + 25 * np.cos(0.4 * Y), 170 + 20 * np.sin(0.3 * (X + Y))]
    front = [40 + 15 * np.sin(0.9 * X), 50 + 15 * np.cos(0.7 * Y), 200 + 15 * np.sin(0.6 * (X - Y))]
    return np.where(SQUARE[..., None], np.stack(front, -1), np.stack(back, -1)).round().astype(np.uint8)


def test_trimap_thresholds():
    attention = np.array([[0, 0.0199, 0.02, 0.7499, 0.75, 1]])
    np.testing.assert_array_equal(trimap(attention, 0.02, 0.75), [[0, 0, 2, 2, 1, 1]])
    np.testing.assert_array_equal(trimap(attention, 0.03, 0.1), [[0, 0, 0, 1, 1, 1]])
    np.testing.assert_array_equal(trimap(attention, 0.02, 0.75, 3), [[0, 0, 3, 3, 1, 1]])


@pytest.mark.parametrize(
    ("deltas", "counts", "area", "overlap"),
    [((0.02, 0.75), (1640, 180, 2276), (1024, 1024), 1.0), ((0.03, 0.1), (1908, 1436, 752), (1436, 1470), 0.7)],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_grabcut_of_a_square(deltas, counts, area, overlap, seed):
    labels = trimap(BLOB, *deltas)
    assert tuple((labels == label).sum() for label in (0, 1, 2)) == counts
    before = labels.copy()
    decided = grabcut(scene(), labels, seed=seed)
    np.testing.assert_array_equal(labels, before)
    np.testing.assert_array_equal(decided[labels < 2], labels[labels < 2])  # certain pixels stay
    mask = np.isin(decided, (1, 3))
    assert area[0] <= mask.sum() <= area[1]
    assert (mask & SQUARE).sum() / (mask | SQUARE).sum() == pytest.approx(overlap, abs=0.01)


def test_threads_do_not_change_masks():
    rng = np.random.default_rng(0)
    images = [np.clip(scene() + rng.normal(0, 25, (64, 64, 3)), 0, 255).astype(np.uint8) for _ in range(16)]
    writer = PseudoMaskWriter()
    jobs = [MaskJob(image, BLOB.astype(np.float32)) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(writer.finish, jobs)) == [writer.finish(job) for job in jobs]


@pytest.mark.parametrize("constant", [0.0, 0.7])
def test_fallback_without_certain_pixels(constant):
    assert grabcut(scene(), np.zeros((64, 64), np.uint8)) is None
    assert grabcut(scene(), np.ones((64, 64), np.uint8)) is None
    writer = PseudoMaskWriter()
    assert not writer.mask(MaskJob(scene(), np.full((8, 8), constant, np.float32))).any()
    spike = np.zeros((8, 8), np.float32)
    spike[3, 4] = 1
    job = MaskJob(scene(), spike)
    strict = PseudoMaskWriter(delta0=0.03, delta1=1.0)  # the resize lowers the peak: no certain foreground
    np.testing.assert_array_equal(strict.mask(job), cv2.resize(spike, (64, 64)) >= 0.05)


def test_presets_take_their_blocks_and_heads():
    attention = torch.rand(2, 3, 6, 4, 4)
    released, paper, ppd = (PseudoMaskWriter(name) for name in ("released", "paper", "ppd"))
    expected = attention[:, 2, :3].mean(1)
    torch.testing.assert_close(attention_map(attention, released.layers, released.heads), expected)
    torch.testing.assert_close(attention_map(attention, ppd.layers, ppd.heads), expected)
    torch.testing.assert_close(attention_map(attention, paper.layers, paper.heads), attention.mean((1, 2)))
    assert (released.delta0, released.delta1, paper.delta0, paper.delta1) == (0.03, 0.1, 0.02, 0.75)
    mixed = PseudoMaskWriter("paper", delta1=0.2, heads=(1,))
    assert (mixed.delta0, mixed.delta1, mixed.heads, mixed.layers) == (0.02, 0.2, (1,), None)
    assert released.params() != paper.params()


def test_ppd_masks_are_normalized_after_the_resize():
    spike = np.zeros((16, 16), np.float32)
    spike[3, 4] = 1
    mask = PseudoMaskWriter("ppd").mask(MaskJob(np.zeros((256, 256, 3), np.uint8), spike))
    resized = cv2.resize(spike, (64, 64))
    np.testing.assert_array_equal(mask, resized / resized.max() >= 0.05)
    assert PseudoMaskWriter("ppd").mask(MaskJob(np.zeros((64, 64, 3), np.uint8), spike)).sum() == 1


def test_files_are_lossless():
    job = MaskJob(scene(), cv2.resize(BLOB, (16, 16)).astype(np.float32))
    writer = PseudoMaskWriter("paper")
    stored = cv2.imdecode(np.frombuffer(writer.finish(job), np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint8 and set(np.unique(stored)) == {0, 255}
    np.testing.assert_array_equal(stored > 0, writer.mask(job))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(preset="dino"), "preset must be one of"),
        (dict(delta0=0.5), "delta0=0.5 and delta1=0.1 must satisfy"),
        (dict(uncertain_label=1), "uncertain_label must be 2"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        TASK_UTILS.build(dict(type="mmwsol.PseudoMaskWriter", **options))


def test_attention_must_be_tapped():
    model = SimpleNamespace(
        data_preprocessor=lambda batch: batch, backbone=lambda inputs: SimpleNamespace(cls_attn=None)
    )
    with pytest.raises(ValueError, match="tap='cls'"):
        PseudoMaskWriter().process(model, dict(inputs=[torch.zeros(3, 4, 4, dtype=torch.uint8)]))
