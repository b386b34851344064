"""Few-shot subsets: as many images as asked for, and the same ones every time."""

from __future__ import annotations

import layouts
import pytest
from mmengine.dataset import ConcatDataset

from mmwsol.datasets import ILSVRC, KShot, LocListDataset
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


def config(root, **kwargs):
    inner = dict(type="mmwsol.LocListDataset", data_root=str(root), ann_file="list.csv", metainfo=dict(classes=CLASSES))
    return dict(type="mmwsol.KShot", dataset={**inner, **kwargs.pop("inner", {})}, **kwargs)


def ids(dataset):
    return [dataset.get_data_info(index)["img_id"] for index in range(len(dataset))]


def test_k_of_every_class(tmp_path):
    make_list(tmp_path)
    dataset = DATASETS.build(config(tmp_path, k=5))
    chosen = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [item["gt_label"] for item in chosen] == [0] * 5 + [1] * 5 + [2] * 5
    assert len({item["img_id"] for item in chosen}) == 15
    assert dataset.metainfo["classes"] == CLASSES and dataset.get_cat_ids(7) == [1]
    assert chosen[3]["gt_bboxes_ori"].tolist() == [[1, 2, 11, 12]]


def test_choice_is_that_of_the_seed(tmp_path):
    make_list(tmp_path)
    first = ids(DATASETS.build(config(tmp_path, k=3)))
    assert ids(DATASETS.build(config(tmp_path, k=3, inner=dict(serialize_data=False)))) == first
    others = [ids(DATASETS.build(config(tmp_path, k=3, seed=seed))) for seed in range(5)]
    assert others[0] == first and len({tuple(sorted(other)) for other in others}) == 5
    assert set(ids(DATASETS.build(config(tmp_path, k=1)))) < set(first)  # nested
    make_list(tmp_path, order=-1)
    assert set(ids(DATASETS.build(config(tmp_path, k=3)))) == set(first)  # whatever the order of the list
    make_list(tmp_path, counts=(6, 8, 50))
    assert set(first[:6]) <= set(ids(DATASETS.build(config(tmp_path, k=3))))  # and the other classes


def test_too_few_images(tmp_path):
    make_list(tmp_path, counts=(6, 2, 7))
    with pytest.raises(ValueError, match="KShot needs 3 images of every class, but 'bee' has 2"):
        DATASETS.build(config(tmp_path, k=3))
    with pytest.raises(ValueError, match="but 'dog' has 0"):
        DATASETS.build(config(tmp_path, k=1, inner=dict(metainfo=dict(classes=[*CLASSES, "dog"]))))
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        DATASETS.build(config(tmp_path, k=0))


def test_whole_data_set_is_left_alone(tmp_path):
    make_list(tmp_path)
    whole = LocListDataset(tmp_path, "list.csv", metainfo=dict(classes=CLASSES))
    few = KShot(whole, 2)
    assert (len(few), len(whole)) == (6, 21)
    assert len(ConcatDataset([few.dataset, whole])) == 27


def test_lazy(tmp_path):
    dataset = DATASETS.build(config(tmp_path, k=2, lazy_init=True))
    make_list(tmp_path)  # nothing was read before
    assert len(dataset) == 6 and dataset.metainfo["classes"] == CLASSES


def test_unreadable_image_is_replaced_from_the_few(tmp_path):
    root = layouts.ilsvrc(tmp_path)
    names = dict(classes=["a", "b", "c"])
    kwargs = dict(data_root=str(root), metainfo=names, pipeline=PIPELINE, on_error="skip")
    few = KShot(ILSVRC(**kwargs), 1)
    chosen = set(ids(few))
    assert len(chosen) == 3
    broken = ids(few)[1]
    (root / "train" / broken).write_bytes(b"")
    taken = {few[1]["data_samples"].img_id for _ in range(30)}
    assert taken and taken <= chosen - {broken}
