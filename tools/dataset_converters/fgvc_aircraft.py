"""FGVC-Aircraft 2013b: unpack the release and verify it.

python tools/dataset_converters/fgvc_aircraft.py fgvc-aircraft-2013b.tar.gz
"""

from __future__ import annotations

from common import below, run, unpack, verify

COUNTS = {split: dict(images=n, boxes=n, classes=100) for split, n in (("train", 3334), ("val", 3333), ("test", 3333))}
LISTS = ("images_box.txt", *(f"images_variant_{split}.txt" for split in ("train", "val", "trainval", "test")))


def convert(sources, out):
    from mmwsol.datasets import FGVCAircraft

    wanted = below("images", *LISTS)

    def target(name):
        path = wanted(name)
        return path and f"data/{path}"

    unpack(sources, out, target)
    root = str(out / "data")
    return verify(out, {split: lambda split=split: FGVCAircraft(root, split) for split in COUNTS}, COUNTS)


if __name__ == "__main__":
    run(__doc__, "data/fgvc-aircraft-2013b", convert)
