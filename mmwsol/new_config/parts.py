"""The splits of a folder of images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmwsol.datasets import LocListDataset

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
TABLES = (".csv", ".tsv")


def split_names(name: str) -> list[str]:
    """Return the splits that the words of a name say: 'instances_val2017' has 'val', 'trainval' none."""
    words = set(re.findall("[a-z]+", name.lower()))
    return [split for split, known in SPLITS.items() if words.intersection(known)]


@dataclass
class Part:
    """The images of one split.

    Attributes:
        name: 'train', 'val' or 'test'.
        options: Arguments of :class:`mmwsol.datasets.LocListDataset` beside ``data_root`` and ``metainfo``; an
            ``ann_file`` of None stands for the list that is written beside the config.
        items: Its images: ``img_path``, ``gt_label`` and ``gt_bboxes_ori``, (M, 4) in pixels.
        boxes_in: Where its boxes come from, '' for none.
    """

    name: str
    options: dict[str, Any]
    items: list[dict[str, Any]]
    boxes_in: str = ""

    @property
    def num_boxes(self) -> int:
        """Number of boxes."""
        return sum(len(item["gt_bboxes_ori"]) for item in self.items)

    def counts(self, classes: Sequence[str]) -> list[int]:
        """Return the number of images of every class."""
        number = Counter(item["gt_label"] for item in self.items)
        return [number[label] for label in range(len(classes))]


@dataclass
class Found:
    """What :func:`look_at` found in a folder.

    Attributes:
        root: The folder.
        classes: Names of the classes, in the order of the labels.
        train: Training images.
        val: Images to choose the threshold, or at least the epoch, by.
        test: Images to test on; None: those of ``val``.
        smallest: (W, H) of the smallest image, by its area, and its path.
        largest: The same of the largest one.
        unreadable: Why images cannot be read, one message an image.
        held_out: Whether ``val`` was taken out of the images of the folder by this program.
        notes: What a user should know, one sentence each.
    """

    root: Path
    classes: tuple[str, ...]
    train: Part
    val: Part
    test: Part | None
    smallest: tuple[tuple[int, int], str] = ((0, 0), "")
    largest: tuple[tuple[int, int], str] = ((0, 0), "")
    unreadable: list[str] = field(default_factory=list)
    held_out: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def parts(self) -> list[Part]:
        """The splits that there are."""
        return [part for part in (self.train, self.val, self.test) if part is not None]


def read_part(root: Path, classes: Sequence[str], options: dict[str, Any], name: str, where: str = "") -> Part:
    """Read the images of a split; ``options`` and ``where`` become attributes of the part."""
    dataset = LocListDataset(data_root=str(root), metainfo=dict(classes=list(classes)), **options)
    return Part(name, options, list(dataset), where)
