"""ImageNetV2, threshold-0.7 part: put the images and the lists of wsolevaluation into one folder and verify them.

Example::

    python tools/dataset_converters/imagenetv2.py imagenetv2-threshold0.7.tar.gz wsolevaluation/metadata

The lists name images by number or, newer ones, by hash, and so does the archive. Where they differ the files are
renamed by mapping.txt, which the newer lists have beside them. Every image must have the size that the list states.
"""

from __future__ import annotations

from common import ConvertError, list_lines, run, unpack, verify, wsol_lists

LISTS = "metadata/ILSVRC/val"
COUNTS = {"val": {"images": 10000, "boxes": 18532, "classes": 1000, "in smallest class": 10, "in largest class": 10}}


def convert(sources, out):
    from mmwsol.datasets import ImageNetV2
    from mmwsol.datasets.image_sizes import read_size

    unpack(sources, out, wsol_lists("ILSVRC/val"))
    ids = set(list_lines(out / LISTS / "image_ids.txt"))
    names = {}  # of the archive, by that of the list, both ways
    if (out / LISTS / "mapping.txt").is_file():
        for line in filter(None, list_lines(out / LISTS / "mapping.txt")):
            number, name = (part.strip() for part in line.split(","))
            names[number], names[name] = name, number
    unknown = []

    def target(name):
        parts = name.split("/")
        if len(parts) < 2 or not parts[-1].endswith(".jpeg"):
            return None
        path = "/".join(parts[-2:])
        for img_id in (f"val2/{path}", f"val2/{names.get(path)}"):
            if img_id in ids:
                return img_id
        unknown.append(path)
        return None

    unpack(sources, out, target)
    if unknown:
        fix = "give the folder 'metadata/ILSVRC/val' with mapping.txt, which newer versions of wsolevaluation have"
        raise ConvertError(f"{len(unknown)} images are not in the list, e.g. '{unknown[0]}': {fix}")
    summary = verify(out, {"val": lambda: ImageNetV2(str(out))}, COUNTS)
    dataset = ImageNetV2(str(out))
    for index in range(len(dataset)):
        item = dataset.get_data_info(index)
        size = read_size(item["img_path"], decode=False)
        if size != item["ori_size"]:
            raise ConvertError(
                f"'{item['img_path']}' is {size}, the list says {item['ori_size']} (W, H): is it another image?"
            )
    return summary


if __name__ == "__main__":
    run(__doc__, "data/ImageNetV2", convert)
