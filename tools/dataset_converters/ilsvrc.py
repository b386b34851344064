"""ILSVRC2012 validation set: unpack the images, make the list of boxes and verify both.

Example::

    python tools/dataset_converters/ilsvrc.py ILSVRC2012_img_val.tar ILSVRC2012_bbox_val_v3.tgz

Boxes come from the xml files of the second archive, or from the folder 'metadata' of wsolevaluation in its place. The
list is ILSVRC2012_list/val_folder_new.txt, in TS-CAM's format; one that is there is kept. The training images are not
touched: unpack the archive of each class into train/<wnid>/.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from common import ConvertError, read_files, run, unpack, verify, write_text, wsol_lists

LIST = "ILSVRC2012_list/val_folder_new.txt"
COUNTS = {"val": {"images": 50000, "boxes": 80477, "classes": 1000, "in smallest class": 50, "in largest class": 50}}


def convert(sources, out):
    from mmwsol.datasets import ILSVRC

    lists = wsol_lists("ILSVRC/test")
    by_class = any(re.match(r"n\d{8}$", path.name) for path in out.glob("val/*"))

    def target(name):
        image = re.search(r"(?:^|/)(ILSVRC2012_val_\d{8}\.JPEG)$", name)
        if image and not by_class:
            return f"val/{image[1]}"
        return lists(name)

    unpack(sources, out, target)
    if not (out / LIST).exists():
        lines = box_lines(sources)
        if lines:
            write_text(LIST, out, "\n".join(lines) + "\n")
    return verify(out, {"val": lambda: ILSVRC(str(out), "val")}, COUNTS)


def box_lines(sources):
    """Return 'wnid/name label x0 y0 x1 y1 ...' of every xml file; labels are the wnids' places in sorted order."""
    entries = []
    for name, content in read_files(sources, lambda name: re.search(r"ILSVRC2012_val_\d{8}\.xml$", name) is not None):
        try:
            objects = list(ElementTree.fromstring(content).iter("object"))
            wnids = {item.findtext("name", "").strip() for item in objects}
            keys = ("xmin", "ymin", "xmax", "ymax")
            boxes = [str(int(item.findtext(f"bndbox/{key}", ""))) for item in objects for key in keys]
        except (ElementTree.ParseError, ValueError) as error:
            raise ConvertError(f"'{name}' is not an annotation of ILSVRC: {error}") from error
        if len(wnids) != 1:
            raise ConvertError(f"'{name}' has objects of {len(wnids)} classes, not of one")
        entries.append((name.rsplit("/", 1)[-1].removesuffix(".xml"), wnids.pop(), boxes))
    labels = {wnid: label for label, wnid in enumerate(sorted({wnid for _, wnid, _ in entries}))}
    return [f"{wnid}/{stem}.JPEG {labels[wnid]} {' '.join(boxes)}" for stem, wnid, boxes in sorted(entries)]


if __name__ == "__main__":
    run(__doc__, "data/ILSVRC2012", convert)
