"""Pseudo masks in the pipeline: loading along the geometry, revealing random boxes."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from mmwsol.datasets.offline_cache import cache_file, read_manifest
from mmwsol.datasets.transforms import LoadImage, PackLocInputs, RandomCrop, RandomFlip, Resize
from mmwsol.methods.locloc import LoadPseudoMask, RevealRandomBox
from mmwsol.methods.locloc.transforms import cutmix_mask

RNG = np.random.default_rng(0)


@pytest.fixture
def stored(tmp_path):
    """An image whose blue channel is its mask, and the mask under the image's name."""
    mask = (cv2.resize(RNG.random((8, 8)), (256, 256)) > 0.5).astype(np.uint8) * 255
    image = np.stack([mask, np.zeros_like(mask), np.full_like(mask, 9)], axis=-1)
    (tmp_path / "cache/a").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "cache/a/b.png"), mask)
    cv2.imwrite(str(tmp_path / "b.png"), image)
    return tmp_path, dict(img_path=str(tmp_path / "b.png"), img_id="a/b.jpg"), mask > 0


def test_mask_follows_crop_and_flip(stored):
    folder, item, _ = stored
    for seed in range(4):
        np.random.seed(seed)
        results = LoadImage()(dict(item))
        for transform in (Resize(256), RandomCrop(224), RandomFlip(0.5), LoadPseudoMask(str(folder / "cache"))):
            results = transform(results)
        np.testing.assert_array_equal(results["pseudo_mask"], results["img"][..., 0] > 0)
        packed = PackLocInputs()(results)["data_samples"]
        np.testing.assert_array_equal(packed.pseudo_mask, results["pseudo_mask"])


def test_revealed_box(stored):
    """lambda .75 at row 10, column 200: rows 0 to 74, columns 136 to 256."""
    folder, item, mask = stored
    box = cutmix_mask((256, 256), 0.75, 10, 200)
    rows, columns = np.nonzero(box)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (0, 74, 136, 256)
    assert cutmix_mask((256, 256), 0.0, 128, 128).all() and not cutmix_mask((256, 256), 1.0, 128, 128).any()
    results = LoadPseudoMask(str(folder / "cache"))(LoadImage()(dict(item, gt_label=3)))
    reveal = RevealRandomBox()
    reveal.rand_box_params = lambda shape: (0.75, 10, 200)
    before = results["img"].copy()
    out = reveal(results)
    visible = mask | box
    np.testing.assert_array_equal(out["img"][visible], before[visible])
    assert not out["img"][~visible].any() and out["img"].dtype == np.uint8
    assert out["gt_label"] == 3 and "pseudo_mask" not in out


def test_reveal_probability_and_distribution(stored):
    folder, item, _ = stored
    results = LoadPseudoMask(str(folder / "cache"))(LoadImage()(dict(item)))
    unchanged = RevealRandomBox(prob=0.0)(dict(results))["img"]
    np.testing.assert_array_equal(unchanged, results["img"])
    np.random.seed(0)
    reveal = RevealRandomBox()
    lams = np.array([reveal.rand_box_params((256, 256)) for _ in range(500)])
    assert 0.45 < lams[:, 0].mean() < 0.55 and lams[:, 1:].min() >= 0 and lams[:, 1:].max() <= 255
    assert np.abs(lams[:, 1:].mean(0) - 128).max() < 12
    for options in (dict(alpha=0.0), dict(prob=1.5)):
        with pytest.raises(ValueError, match="alpha must be positive and prob between 0 and 1"):
            RevealRandomBox(**options)
    with pytest.raises(ValueError, match="load the mask after the resize"):
        RevealRandomBox()(dict(img=np.zeros((8, 8, 3)), pseudo_mask=np.ones((4, 4), bool)))


def test_image_without_mask_counts_as_foreground(stored, monkeypatch):
    warnings = []
    monkeypatch.setattr("mmwsol.datasets.offline_cache.print_log", lambda message, *_: warnings.append(message))
    folder, item, _ = stored
    load = LoadPseudoMask(str(folder / "cache"))
    load(LoadImage()(dict(item)))
    for name in ("x.jpg", "y.jpg"):
        assert load(LoadImage()(dict(item, img_id=name)))["pseudo_mask"].all()
    assert len(warnings) == 1 and "count as all foreground" in warnings[0]
    strange = LoadPseudoMask(str(folder / "cache"))
    image = LoadImage()(dict(item, img_id="x.jpg"))
    with pytest.raises(ValueError, match="none of 20 images has a mask"):
        for _ in range(20):
            strange(dict(image))
    unresolved = LoadPseudoMask("stage://masks/cache")  # a dry run
    for _ in range(30):
        assert unresolved(dict(image))["pseudo_mask"].all()


def test_folder_and_manifest_are_checked(tmp_path):
    with pytest.raises(ValueError, match="there is no cache folder .*masks.*run it first"):
        LoadPseudoMask(str(tmp_path / "masks/cache"))
    (tmp_path / "manifest.json").write_text(json.dumps(dict(complete=False)))
    with pytest.raises(ValueError, match="is not complete: run the stage"):
        LoadPseudoMask(str(tmp_path))
    (tmp_path / "manifest.json").write_text(json.dumps(dict(complete=True)))
    assert read_manifest(tmp_path) == dict(complete=True)


def test_names_stay_inside_the_cache(tmp_path):
    assert cache_file(tmp_path, "a/b.JPEG", ".png") == tmp_path / "a/b.png"
    assert cache_file(tmp_path, "/data/b.jpg", ".npz") == tmp_path / "data/b.npz"
    for name in ("../b.jpg", "a/../../b.jpg", "/"):
        with pytest.raises(ValueError, match="has no place in a cache"):
            cache_file(tmp_path, name, ".png")
