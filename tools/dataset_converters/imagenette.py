"""Imagenette: unpack one of fastai's archives, write the list of ILSVRC's boxes for it, and verify both.

Example::

    python tools/dataset_converters/imagenette.py imagenette2-320.tgz wsolevaluation/metadata
    python tools/dataset_converters/imagenette.py wsolevaluation/metadata --out imagenette2-320   # unpacked already

Boxes come from wsolevaluation's lists of the ILSVRC validation set (metadata/ILSVRC/test), or from the xml files of
ILSVRC2012_bbox_val_v3.tgz in their place. They count in pixels of the original photographs; the archives -320 and -160
have the short side resized. boxes.csv therefore has them scaled, by the size of each file and the listed one, and the
size of the file beside them. A file whose shape is not the listed one within the rounding to whole pixels is an error.
A boxes.csv that is there is kept.
"""

from __future__ import annotations

import csv
import io
import math
import re
from typing import NamedTuple

from common import ConvertError, read_files, run, unpack, verify, write_text

LIST = "boxes.csv"
COLUMNS = ("path", "split", "label", "x0", "y0", "x1", "y1", "width", "height")
HALF = {"images": 250, "classes": 10, "in smallest class": 25, "in largest class": 25}
COUNTS = {
    "train": {"images": 12894, "classes": 10, "in smallest class": 1194, "in largest class": 1300},
    "test": {"images": 500, "boxes": 813, "classes": 10, "in smallest class": 50, "in largest class": 50},
    "calibration": HALF,
    "report": HALF,
}
# The class folders' places among the 1,000 of ILSVRC.
LABELS = dict(
    n01440764=0, n02102040=217, n02979186=482, n03000684=491, n03028079=497, n03394916=566, n03417042=569,
    n03425413=571, n03445777=574, n03888257=701,
)  # fmt: skip
PHOTOGRAPH = re.compile(
    rf"(?:^|/)((?:train|val)/(?:{'|'.join(LABELS)})/(?:n\d{{8}}_\d+|ILSVRC2012_val_\d{{8}})\.JPEG)$"
)
LISTED = re.compile(r"(?:^|/)ILSVRC/test/(class_labels|image_sizes|localization)\.txt$")
XML = re.compile(r"(?:^|/)(ILSVRC2012_val_\d{8})\.xml$")
GIVE = "give the folder 'metadata' of wsolevaluation, or ILSVRC2012_bbox_val_v3.tgz, as a further source"


class Truth(NamedTuple):
    """What the lists say about a photograph: class (folder or place among the 1,000), (W, H) and boxes."""

    classes: set[str | int]
    sizes: set[tuple[int, ...]]
    boxes: list[tuple[int, ...]]
    source: str


def convert(sources, out):
    from mmwsol.datasets import Imagenette

    unpack(sources, out, target)
    if not (out / LIST).exists():
        paths = {
            path.name: path for path in sorted(out.glob("*/n*/ILSVRC2012_val_*.JPEG")) if PHOTOGRAPH.search(str(path))
        }
        if not paths:
            raise ConvertError(
                f"'{out}' has no ILSVRC2012_val_*.JPEG in train/<wnid> or val/<wnid>: give the archive, or as "
                "--out the folder that it was unpacked to"
            )
        write_text(LIST, out, table(out, paths, read_truth(sources, paths)))
    summary = verify(out, {split: lambda split=split: Imagenette(str(out), split) for split in COUNTS}, COUNTS)
    check_sizes(Imagenette(str(out), "test"))
    return summary


def target(name):
    """Return the path of a photograph of the ten classes; folders stay as the archive has them."""
    match = PHOTOGRAPH.search(name)
    return match and match[1]


def read_truth(sources, names):
    """Return what the lists say about the photographs ``names``.

    Raises:
        ConvertError: If there is no list, or it lacks a photograph or something of one.
    """
    truth = {name: Truth(set(), set(), [], "") for name in names}
    wanted = re.compile(f"{LISTED.pattern}|{XML.pattern}")
    found = set()
    for name, content in read_files(sources, lambda name: wanted.search(name) is not None):
        if match := LISTED.search(name):
            found.add(match[1])
            read_list(match[1], name, content, truth)
        elif (image := f"{XML.search(name)[1]}.JPEG") in truth:
            found.add("xml")
            truth[image] = read_xml(name, content)
    if not found:
        raise ConvertError(f"none of the sources has boxes of the ILSVRC validation set: {GIVE}")
    missing = {"class_labels", "image_sizes", "localization"} - found
    if missing and "xml" not in found:
        raise ConvertError(f"ILSVRC/test/{sorted(missing)[0]}.txt is missing: {GIVE}")
    unknown = sorted(name for name, entry in truth.items() if not (entry.classes and entry.sizes and entry.boxes))
    if unknown:
        raise ConvertError(
            f"the lists lack class, size or box of {len(unknown)} of {len(truth)} photographs, e.g. '{unknown[0]}': "
            f"they are of another data set, or cut off; {GIVE}"
        )
    return truth


def read_list(kind, name, content, truth):
    """Add the lines of one of wsolevaluation's lists to ``truth``."""
    length = {"class_labels": 1, "image_sizes": 2, "localization": 4}[kind]
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
        image, *fields = (part.strip() for part in line.split(","))
        entry = truth.get(image.rsplit("/", 1)[-1])
        if entry is None:
            continue
        if len(fields) != length or not all(field.isdecimal() for field in fields):
            raise ConvertError(f"'{name}', line {number}: expected the path and {length} whole number(s): {line!r}")
        values = tuple(map(int, fields))
        if kind == "class_labels":
            entry.classes.add(values[0])
        else:
            (entry.boxes.append if kind == "localization" else entry.sizes.add)(values)


def read_xml(name, content):
    """Return what an xml of ILSVRC says."""
    from mmwsol.datasets.readers import parse_xml

    try:
        root = parse_xml(content)
        size = tuple(int(root.findtext(f"size/{key}", "")) for key in ("width", "height"))
        objects = list(root.iter("object"))
        keys = ("xmin", "ymin", "xmax", "ymax")
        boxes = [tuple(int(item.findtext(f"bndbox/{key}", "")) for key in keys) for item in objects]
    except ValueError as error:
        raise ConvertError(f"'{name}' is not an annotation of ILSVRC: {error}") from error
    return Truth({item.findtext("name", "").strip() for item in objects}, {size}, boxes, name)


def table(out, paths, truth):
    """Return the list of boxes in pixels of the files.

    Raises:
        ConvertError: If a file is not the listed photograph; it says of how many that is so.
    """
    from mmwsol.datasets.image_sizes import read_size

    lines, wrong = io.StringIO(), []
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, path in paths.items():
        entry, wnid = truth[name], path.parent.name
        size = read_size(str(path), decode=False)
        problem = size if isinstance(size, str) else mismatch(entry, wnid, size)
        if problem:
            wrong.append(f"'{path}' {problem}")
            continue
        (listed,) = entry.sizes
        for box in entry.boxes:
            row = [scaled(value, size[axis % 2], listed[axis % 2]) for axis, value in enumerate(box)]
            writer.writerow([path.relative_to(out).as_posix(), "val", wnid, *row, *size])
    if wrong:
        raise ConvertError(f"{len(wrong)} of {len(paths)} photographs do not fit the lists, e.g. {wrong[0]}")
    return lines.getvalue()


def mismatch(entry, wnid, size):
    """Return why a file of this folder and size is not the listed photograph, None if it can be."""
    if len(entry.classes) != 1 or not entry.classes <= {wnid, LABELS[wnid]}:
        classes = ", ".join(map(str, entry.classes))
        return f"lies in the folder of '{wnid}' (class {LABELS[wnid]}) and is listed as class {classes}: correct one"
    if len(entry.sizes) != 1:
        return f"is listed with {len(entry.sizes)} sizes: remove all but one"
    (listed,) = entry.sizes
    if not fits(size, listed):
        return (
            f"is {size[0]}x{size[1]}, and the lists say {listed[0]}x{listed[1]} (W x H), which no scale gives: it is "
            "another photograph, or cropped, squashed or turned; unpack fastai's archive anew"
        )
    return None


def fits(size, listed):
    """Tell whether one scale, and rounding up or down, makes ``size`` from ``listed``."""
    lows = [(side - 1) / original for side, original in zip(size, listed, strict=True)]
    highs = [(side + 1) / original for side, original in zip(size, listed, strict=True)]
    return max(lows) < min(highs)


def scaled(value, side, original):
    """Return a coordinate in pixels of the file.

    It is rounded up to a thousandth: wsolevaluation truncates boxes in its frame, and so finds the pixels that it finds
    with the original photograph.
    """
    return value if side == original else math.ceil(round(1000 * value * side / original, 3)) / 1000


def check_sizes(dataset):
    """Compare the files with the sizes in the list of boxes.

    Raises:
        ConvertError: If one differs.
    """
    from mmwsol.datasets.image_sizes import read_size

    for index in range(len(dataset)):
        item = dataset.get_data_info(index)
        size, listed = read_size(item["img_path"], decode=False), item.get("ori_size")
        if isinstance(size, str):
            raise ConvertError(size)
        if listed is not None and size != listed:
            raise ConvertError(
                f"'{item['img_path']}' is {size}, '{LIST}' says {listed} (W, H): that list is of another archive; move "
                "it away and repeat the command"
            )


if __name__ == "__main__":
    run(__doc__, "data/imagenette", convert)
