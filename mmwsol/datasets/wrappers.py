"""Data sets inside wrappers, such as mmengine's ``RepeatDataset`` and ``ClassBalancedDataset``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dataset import Compose
from torch.utils.data import ConcatDataset


def inner_dataset(dataset: Any) -> Any:
    """Take the data set that has the pipeline out of its wrappers.

    Wrappers are those of any OpenMMLab package, known by their attribute ``dataset``. ``ConcatDataset`` has several
    pipelines and is given back as it is.
    """
    while not hasattr(dataset, "pipeline") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return dataset


def concatenated(dataset: Any) -> Sequence[Any]:
    """Return the parts of a ``ConcatDataset``, possibly inside wrappers; () for other data sets."""
    dataset = inner_dataset(dataset)
    return dataset.datasets if isinstance(dataset, ConcatDataset) else ()


def transforms_of(dataset: Any) -> Sequence[Any]:
    """Return the transforms of the data set inside the wrappers; none for a ``ConcatDataset``, which has several."""
    pipeline = getattr(inner_dataset(dataset), "pipeline", None)
    return pipeline.transforms if isinstance(pipeline, Compose) else ()


def data_root_of(dataset: Any) -> str:
    """Return the folder that paths of the data set inside the wrappers are relative to; '' where there is none."""
    return getattr(inner_dataset(dataset), "data_root", None) or ""


def inner_config(config: Mapping[str, Any]) -> Any:
    """Take the config of the data set that has the pipeline out of those of its wrappers."""
    while "pipeline" not in config and "dataset" in config:
        config = config["dataset"]
    return config
