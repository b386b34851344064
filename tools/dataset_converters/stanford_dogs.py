"""Stanford Dogs: unpack the three archives of the release into one folder and verify it.

python tools/dataset_converters/stanford_dogs.py images.tar annotation.tar lists.tar
"""

from __future__ import annotations

from common import below, run, unpack, verify

COUNTS = {
    "train": {"images": 12000, "classes": 120, "in smallest class": 100, "in largest class": 100},
    "test": {"images": 8580, "boxes": 9249, "classes": 120},
}


def convert(sources, out):
    from mmwsol.datasets import StanfordDogs

    unpack(sources, out, below("Images", "Annotation", "train_list.mat", "test_list.mat"))
    return verify(out, {split: lambda split=split: StanfordDogs(str(out), split) for split in COUNTS}, COUNTS)


if __name__ == "__main__":
    run(__doc__, "data/StanfordDogs", convert)
