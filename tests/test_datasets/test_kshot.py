"""Few-shot subsets (``k_shot``, ``k_seed``): as many images as asked for, and the same ones every time."""

from __future__ import annotations

import layouts
import pytest

from mmwsol.datasets import ILSVRC, BaseLocDataset
from mmwsol.registry import DATASETS

CLASSES = ("ant", "bee", "cat")
PIPELINE = [dict(type="mmwsol.LoadImage"), dict(type="mmwsol.PackLocInputs")]


def make_list(root, counts=(6, 8, 7), order=1):
    """A CSV list with ``counts`` images of each class, forwards or backwards."""
    rows = [
        f"{name}{n}.png,train,{name},1,2,11,12"
        for name, count in zip(CLASSES, counts, strict=True)
        for n in range(count)
    ]
    return layouts.write_lines(root / "list.csv", rows[::order])


def build(root, k_shot, **kwargs):
    cfg = dict(type="mmwsol.LocListDataset", data_root=str(root), ann_file="list.csv", metainfo=dict(classes=CLASSES))
    return DATASETS.build({**cfg, "k_shot": k_shot, **kwargs})


def ids(dataset):
    return [dataset.get_data_info(index)["img_id"] for index in range(len(dataset))]


def test_k_of_every_class(tmp_path):
    make_list(tmp_path)
    dataset = build(tmp_path, 5)
    chosen = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [item["gt_label"] for item in chosen] == [0] * 5 + [1] * 5 + [2] * 5
    assert len({item["img_id"] for item in chosen}) == 15
    assert dataset.metainfo["classes"] == CLASSES and dataset.get_cat_ids(7) == [1]
    assert chosen[3]["gt_bboxes_ori"].tolist() == [[1, 2, 11, 12]]
    assert len(build(tmp_path, None)) == 21


def test_choice_is_that_of_the_seed(tmp_path):
    make_list(tmp_path)
    first = ids(build(tmp_path, 3))
    assert ids(build(tmp_path, 3, serialize_data=False)) == first
    others = [ids(build(tmp_path, 3, k_seed=seed)) for seed in range(5)]
    assert others[0] == first and len({tuple(sorted(other)) for other in others}) == 5
    assert set(ids(build(tmp_path, 1))) < set(first)  # nested
    make_list(tmp_path, order=-1)
    assert set(ids(build(tmp_path, 3))) == set(first)  # whatever the order of the list
    make_list(tmp_path, counts=(6, 8, 50))
    assert set(first[:6]) <= set(ids(build(tmp_path, 3)))  # and the other classes


def test_choice_stays_that_of_earlier_versions(tmp_path):
    """Published draws can be repeated: these are the images that the former wrapper ``KShot`` chose."""
    make_list(tmp_path)
    assert ids(build(tmp_path, 2)) == ["ant2.png", "ant3.png", "bee1.png", "bee3.png", "cat2.png", "cat5.png"]
    assert ids(build(tmp_path, 2, k_seed=7)) == ["ant2.png", "ant5.png", "bee3.png", "bee6.png", "cat0.png", "cat5.png"]


def test_too_few_images(tmp_path):
    make_list(tmp_path, counts=(6, 2, 7))
    with pytest.raises(
        ValueError, match="k_shot needs 3 images of every class, but 'bee' has 2: take a smaller k_shot"
    ):
        build(tmp_path, 3)
    with pytest.raises(ValueError, match="but 'dog' has 0"):
        build(tmp_path, 1, metainfo=dict(classes=[*CLASSES, "dog"]))
    with pytest.raises(ValueError, match="k_shot must be at least 1, got 0"):
        build(tmp_path, 0)


def test_lazy(tmp_path):
    dataset = build(tmp_path, 2, lazy_init=True)
    make_list(tmp_path)  # nothing was read before
    dataset.full_init()
    assert len(dataset) == 6 and dataset.metainfo["classes"] == CLASSES


def test_every_data_set_has_it():
    names = [name for name, kind in DATASETS.module_dict.items() if issubclass(kind, BaseLocDataset)]
    assert len(names) >= 12
    for name in names:
        dataset = DATASETS.build(dict(type=f"mmwsol.{name}", k_shot=3, k_seed=4, lazy_init=True))
        assert (dataset.k_shot, dataset.k_seed) == (3, 4)


def test_shapes(tmp_path):
    cfg = dict(type="mmwsol.Shapes", data_root=str(tmp_path), num_images=30, image_size=32)
    few = DATASETS.build(dict(cfg, k_shot=2))
    assert sorted(few.get_data_info(index)["gt_label"] for index in range(len(few))) == sorted([*range(10)] * 2)


def test_unreadable_image_is_replaced_from_the_few(tmp_path):
    root = layouts.ilsvrc(tmp_path)
    names = dict(classes=["a", "b", "c"])
    few = ILSVRC(data_root=str(root), metainfo=names, pipeline=PIPELINE, on_error="skip", k_shot=1)
    chosen = set(ids(few))
    assert len(chosen) == 3
    broken = ids(few)[1]
    (root / "train" / broken).write_bytes(b"")
    taken = {few[1]["data_samples"].img_id for _ in range(30)}
    assert taken and taken <= chosen - {broken}
