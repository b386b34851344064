"""Few-shot training sets."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from mmwsol.registry import DATASETS


@DATASETS.register_module()
class KShot:
    """Keep ``k`` random images of every class of a data set.

    The choice depends on ``seed`` and the image ids alone, not on the order of the list or the process, and the images
    of a smaller ``k`` are among those of a larger one.

    Args:
        dataset (dict | BaseDataset): The whole data set; one that is passed built is not changed.
        k (int): Images a class, at least 1.
        seed (int): Number of the repetition. Defaults to 0.
        lazy_init (bool): Whether to read the lists later, in :meth:`full_init`. Defaults to False.

    Raises:
        ValueError: If a class has fewer than ``k`` images.
    """

    def __init__(self, dataset: dict | BaseDataset, k: int, seed: int = 0, lazy_init: bool = False) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        # a shallow copy is enough: taking a subset replaces the list of images, it does not change it
        built = DATASETS.build({"lazy_init": True, **dataset}) if isinstance(dataset, dict) else copy.copy(dataset)
        self.dataset = built
        self.k = k
        self.seed = seed
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Meta information of the whole data set."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Read the lists and choose the images."""
        if self._fully_initialized:
            return
        self.dataset.full_init()
        self.dataset.get_subset_(self._choose())
        self._fully_initialized = True

    def _choose(self) -> list[int]:
        """Return the indices of the chosen images, in the order of the data set."""
        by_class: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for index in range(len(self.dataset)):
            info = self.dataset.get_data_info(index)
            by_class[int(info["gt_label"])].append((str(info.get("img_id", info.get("img_path"))), index))
        classes = self.metainfo.get("classes")
        labels = range(len(classes)) if classes is not None else sorted(by_class)
        chosen: list[int] = []
        for label in labels:
            images = sorted(by_class[label])
            if len(images) < self.k:
                name = classes[label] if classes is not None else label
                raise ValueError(
                    f"KShot needs {self.k} images of every class, but '{name}' has {len(images)}: take a smaller k"
                )
            order = np.random.default_rng((self.seed, label)).permutation(len(images))
            chosen += [images[i][1] for i in order[: self.k]]
        return sorted(chosen)

    def get_data_info(self, idx: int) -> dict:
        """Return the annotation of a chosen image."""
        self.full_init()
        return self.dataset.get_data_info(idx)

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class of a chosen image as a list, for ``ClassBalancedDataset``."""
        return [int(self.get_data_info(idx)["gt_label"])]

    def __getitem__(self, idx: int) -> Any:
        self.full_init()
        return self.dataset[idx]

    def __len__(self) -> int:
        self.full_init()
        return len(self.dataset)
