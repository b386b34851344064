"""CUBv2: put the images and the lists of wsolevaluation into one folder and verify them.

Example::

    python tools/dataset_converters/cubv2.py CUBV2.tar wsolevaluation/metadata

Images that are not of CUBv2, as in wsolevaluation's folder of both, are left out.
"""

from __future__ import annotations

from common import list_lines, run, unpack, verify, wsol_lists

COUNTS = {"val": {"images": 1000, "boxes": 1000, "classes": 200, "in smallest class": 3, "in largest class": 6}}


def convert(sources, out):
    from mmwsol.datasets import CUBv2

    unpack(sources, out, wsol_lists("CUB/val"))
    ids = set(list_lines(out / "metadata/CUB/val/image_ids.txt"))

    def target(name):
        img_id = "/".join(name.split("/")[-2:])
        return f"images/{img_id}" if img_id in ids else None

    unpack(sources, out, target)
    return verify(out, {"val": lambda: CUBv2(str(out))}, COUNTS)


if __name__ == "__main__":
    run(__doc__, "data/CUBV2", convert)
