"""NEU-DET: sort any copy into the usual split and verify it.

Example::

    python tools/dataset_converters/neu_det.py NEU-DET.zip

Images 1 to 240 of a class are for training, 241 to 300 for val. Class and number are those of the file name, wherever
the file lies: in IMAGES and ANNOTATIONS, or in train and validation (which have crazing_240.xml on the wrong side).
"""

from __future__ import annotations

import re

from common import run, unpack, verify

CLASSES = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
COUNTS = {
    "train": {"images": 1440, "boxes": 3335, "in smallest class": 240, "in largest class": 240},
    "val": {"images": 360, "boxes": 854, "in smallest class": 60, "in largest class": 60},
}
TRAINING = 240
NAME = re.compile(rf"(?:^|/)(({'|'.join(CLASSES)})_(\d+)\.(jpg|xml))$")


def target(name):
    """Return the path of an image or xml file in the layout that ``mmwsol.NEUDET`` reads."""
    match = NAME.search(name)
    if match is None:
        return None
    name, cls, number, kind = match.groups()
    folder = "train" if int(number) <= TRAINING else "validation"
    return f"{folder}/annotations/{name}" if kind == "xml" else f"{folder}/images/{cls}/{name}"


def convert(sources, out):
    from mmwsol.datasets import NEUDET

    unpack(sources, out, target)
    return verify(out, {split: lambda split=split: NEUDET(str(out), split) for split in COUNTS}, COUNTS)


if __name__ == "__main__":
    run(__doc__, "data/NEU-DET", convert)
