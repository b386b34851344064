"""Data sets and their configs come out of wrappers."""

from types import SimpleNamespace

from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset

from mmwsol.datasets.wrappers import inner_config, inner_dataset


def dataset() -> BaseDataset:
    return BaseDataset(lazy_init=True)


def test_inner_dataset_is_that_with_the_pipeline():
    plain = dataset()
    assert inner_dataset(plain) is plain
    assert inner_dataset(RepeatDataset(plain, 2, lazy_init=True)) is plain
    outer = SimpleNamespace(dataset=RepeatDataset(plain, 2, lazy_init=True))
    assert inner_dataset(outer) is plain
    both = ConcatDataset([plain, dataset()], lazy_init=True)
    assert inner_dataset(SimpleNamespace(dataset=both)) is both  # which has two pipelines


def test_inner_config_is_a_part_of_the_whole():
    whole = ConfigDict(type="RepeatDataset", times=2, dataset=dict(type="mmwsol.CUB", pipeline=[]))
    inner_config(whole).pipeline = [dict(type="LoadImageFromFile")]
    assert whole.dataset.pipeline[0].type == "LoadImageFromFile"
    mixed = dict(type="MultiImageMixDataset", dataset=dict(type="mmwsol.CUB", pipeline=[]), pipeline=["mixup"])
    assert inner_config(mixed) is mixed  # its own pipeline is the one that counts
    assert inner_config({}) == {}
