"""Data sets inside wrappers, such as mmengine's ``RepeatDataset`` and ``ClassBalancedDataset``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


def inner_config(config: Mapping[str, Any]) -> Any:
    """Take the config of the data set that has the pipeline out of those of its wrappers."""
    while "pipeline" not in config and "dataset" in config:
        config = config["dataset"]
    return config
