"""Stanford Cars: unpack the release, in either of its forms, into one folder and verify it.

Example::

    python tools/dataset_converters/stanford_cars.py car_ims.tgz cars_annos.mat
    python tools/dataset_converters/stanford_cars.py cars_{train,test}.tgz car_devkit.tgz cars_test_annos_withlabels.mat
"""

from __future__ import annotations

from common import below, run, unpack, verify

COUNTS = {split: dict(images=n, boxes=n, classes=196) for split, n in (("train", 8144), ("test", 8041))}
DEVKIT = ("cars_train_annos.mat", "cars_test_annos_withlabels.mat")


def convert(sources, out):
    from mmwsol.datasets import StanfordCars

    def target(name):
        last = name.split("/")[-1]
        if last in DEVKIT:
            return f"devkit/{last}"
        return below("car_ims", "cars_train", "cars_test", "cars_annos.mat")(name)

    unpack(sources, out, target)
    return verify(out, {split: lambda split=split: StanfordCars(str(out), split) for split in COUNTS}, COUNTS)


if __name__ == "__main__":
    run(__doc__, "data/StanfordCars", convert)
