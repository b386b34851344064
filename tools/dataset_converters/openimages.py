"""OpenImages30k: put images, masks and the lists of wsolevaluation into one folder and verify them.

Example::

    python tools/dataset_converters/openimages.py OpenImages_{images,annotations}.zip wsolevaluation/metadata

Without training images, of which there are none in OpenImages30k_eval.zip, only they are reported as missing.
"""

from __future__ import annotations

from common import run, unpack, verify, wsol_lists

COUNTS = {
    "train": dict(images=29819, classes=100),
    "val": dict(images=2500, masks=3854, classes=100),
    "test": dict(images=5000, masks=7632, classes=100),
}


def convert(sources, out):
    from mmwsol.datasets import OpenImages30k

    def target(name):
        for split in COUNTS:
            if path := wsol_lists(f"OpenImages/{split}")(name):
                return path
        parts = name.split("/")[-3:]
        is_image = len(parts) == 3 and parts[0] in COUNTS and parts[2].endswith((".jpg", ".png"))
        return "/".join(parts) if is_image else None

    unpack(sources, out, target)
    return verify(out, {split: lambda split=split: OpenImages30k(str(out), split) for split in COUNTS}, COUNTS)


if __name__ == "__main__":
    run(__doc__, "data/OpenImages", convert)
