"""CUB-200-2011: unpack the release and verify it.

Example::

    python tools/dataset_converters/cub.py CUB_200_2011.tgz segmentations.tgz

The second archive, the masks, may be left out.
"""

from __future__ import annotations

from common import below, run, unpack, verify

COUNTS = {split: dict(images=n, boxes=n, classes=200) for split, n in (("train", 5994), ("test", 5794))}
LISTS = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt", "classes.txt")


def convert(sources, out):
    from mmwsol.datasets import CUB

    unpack(sources, out, below("images", "segmentations", *LISTS))
    return verify(out, {split: lambda split=split: CUB(str(out), split) for split in COUNTS}, COUNTS)


if __name__ == "__main__":
    run(__doc__, "data/CUB_200_2011", convert)
