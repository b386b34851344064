"""Imagenette: boxes of ILSVRC's lists scaled to the files of an archive, and what is answered where they do not fit."""

from __future__ import annotations

import shutil

import layouts
import numpy as np
import pytest
from data_dir import DATA_DIR, requires_data
from test_dataset_converters import one_line, pack, tree

from mmwsol.datasets import Imagenette

HALF = {"images": 20, "in smallest class": 2}
COUNTS = {
    "train": {"images": 20, "classes": 10},
    "test": {"images": 30, "boxes": 40, "in smallest class": 3},
    "calibration": HALF,
    "report": {"images": 10, "in smallest class": 1},
}


def items(folder):
    dataset = Imagenette(folder, "test", test_mode=True, check_images=True)
    return {item["img_id"]: item for item in map(dataset.get_data_info, range(len(dataset)))}


@pytest.fixture(params=[None, 100, 20], ids=["original", "larger", "smaller"])
def source(request, tmp_path):
    return layouts.imagenette(tmp_path / "src", request.param)


def test_archive(converter, tmp_path, source):
    """Boxes are scaled axis by axis, by the size of the file."""
    archive = pack(source / "imagenette2", tmp_path / "imagenette2-320.tgz", "imagenette2-320/")
    text = converter("imagenette", archive, source / "metadata", out=tmp_path / "out", **COUNTS)
    assert "is complete. train: 20 images, 10 classes; test: 30 images, 40 boxes, 3 in smallest class;" in text
    assert "50 files put into" in text
    for name, item in items(tmp_path / "out").items():
        number = int(name[-7:-5])
        original = np.array([60 + number, 41 + number // 3] * 2)
        expected = np.array([[10, 5, 59, 40], [0, 0, 20, 30]][: len(item["gt_bboxes_ori"])])
        scale = np.tile(item["ori_size"], 2) / original
        found = item["gt_bboxes_ori"] - expected * scale
        assert len(expected) == (2 if number % 3 == 0 else 1) and (found > -1e-5).all() and (found < 0.0011).all()
        frame = np.trunc(item["gt_bboxes_ori"].astype(float) * 224 / np.tile(item["ori_size"], 2))
        assert (frame == np.trunc(expected * 224 / original)).all()  # wsolevaluation's
    before = tree(tmp_path / "out")
    assert "is complete" in converter("imagenette", archive, source / "metadata", out=tmp_path / "out", **COUNTS)
    assert "is complete" in converter("imagenette", out=tmp_path / "out", **COUNTS)  # verifies
    assert tree(tmp_path / "out") == before


def test_unpacked_in_place_and_xml(converter, tmp_path):
    """The list is written beside the photographs; xml files of ILSVRC give the same one."""
    source = layouts.imagenette(tmp_path / "src", 20)
    out = source / "imagenette2"
    assert "is complete" in converter("imagenette", source / "metadata", out=out, **COUNTS)
    lists = (out / "boxes.csv").read_text()
    (out / "boxes.csv").unlink()
    for path in sorted(out.glob("*/*/ILSVRC*")):
        number = int(path.stem[-2:])
        size = (60 + number, 41 + number // 3)
        objects = [(path.parent.name, "10 5 59 40"), (path.parent.name, "0 0 20 30")][: 2 if number % 3 == 0 else 1]
        layouts.voc_xml(tmp_path / "val" / f"{path.stem}.xml", objects, size)
    layouts.voc_xml(tmp_path / "val/ILSVRC2012_val_00050000.xml", [("n02000001", "1 1 2 2")])  # of another class
    archive = pack(tmp_path / "val", tmp_path / "ILSVRC2012_bbox_val_v3.tgz", "val/")
    assert "is complete" in converter("imagenette", archive, out=out, **COUNTS)
    assert (out / "boxes.csv").read_text() == lists
    (out / "boxes.csv").unlink()
    (tmp_path / "val/ILSVRC2012_val_00000000.xml").write_text("<annotation><size>")
    text = converter("imagenette", tmp_path / "val", out=out, **COUNTS)
    assert one_line(text) and "ILSVRC2012_val_00000000.xml' is not an annotation of ILSVRC" in text


def no_photographs(source):
    shutil.rmtree(source / "imagenette2")


def no_lists(source):
    shutil.rmtree(source / "metadata")
    (source / "metadata").mkdir()


def other_lists(source):
    for path in (source / "metadata/ILSVRC/test").iterdir():
        path.write_text(path.read_text().replace("val/ILSVRC2012_val_000000", "val/ILSVRC2012_val_000001"))


def change(name, old, new):
    def mistake(source):
        path = source / "metadata/ILSVRC/test" / f"{name}.txt"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return mistake


def photograph(size):
    def mistake(source):
        layouts.write_image(source / "imagenette2/val/n01440764/ILSVRC2012_val_00000000.JPEG", size)

    return mistake


def cut(source):
    path = source / "imagenette2/val/n01440764/ILSVRC2012_val_00000000.JPEG"
    path.write_bytes(path.read_bytes()[:9])


@pytest.mark.parametrize(
    ("mistake", "parts"),
    [
        (no_photographs, ["has no ILSVRC2012_val_*.JPEG in train/<wnid> or val/<wnid>: give the archive"]),
        (no_lists, ["none of the sources has boxes of the ILSVRC validation set: give the folder 'metadata'"]),
        (other_lists, ["lack class, size or box of 30 of 30 photographs, e.g. 'ILSVRC2012_val_00000000.JPEG'"]),
        (change("localization", "val/ILSVRC2012_val_00000001.JPEG,10,5,59,40\n", ""), ["of 1 of 30", "00001.JPEG'"]),
        (change("localization", "10,5,59,40", "10,5,59"), ["localization.txt', line 1: expected the path and 4 whole"]),
        (
            change("class_labels", "00.JPEG,0", "00.JPEG,7"),
            ["1 of 30", "'n01440764' (class 0) and is listed as class 7"],
        ),
        (change("image_sizes", "00.JPEG,60,41", "00.JPEG,41,60"), ["is 29x20, and the lists say 41x60 (W x H)"]),
        (photograph((20, 20)), ["1 of 30 photographs", "is 20x20, and the lists say 60x41", "squashed or turned"]),
        (photograph((33, 20)), ["is 33x20, and the lists say 60x41"]),
        (cut, ["1 of 30 photographs", "ILSVRC2012_val_00000000.JPEG"]),
    ],
)
def test_mistakes(converter, tmp_path, mistake, parts):
    source = layouts.imagenette(tmp_path / "src", 20)
    mistake(source)
    sources = [source / "metadata"] + ([source / "imagenette2"] if (source / "imagenette2").exists() else [])
    text = converter("imagenette", *sources, out=tmp_path / "out", **COUNTS)
    assert one_line(text) and all(part in text for part in parts), text
    assert not (tmp_path / "out/boxes.csv").exists()


def test_list_of_another_archive(converter, tmp_path):
    small, large = layouts.imagenette(tmp_path / "a", 20), layouts.imagenette(tmp_path / "b", 40)
    assert "is complete" in converter("imagenette", small / "metadata", out=small / "imagenette2", **COUNTS)
    shutil.copy(small / "imagenette2/boxes.csv", large / "imagenette2")
    text = converter("imagenette", large / "metadata", out=large / "imagenette2", **COUNTS)
    assert one_line(text) and "'boxes.csv' says (" in text and "that list is of another archive; move it away" in text


def test_part_of_the_archive(converter, tmp_path):
    """The real counts refuse a part, and folders of other classes are not taken."""
    source = layouts.imagenette(tmp_path / "src")
    layouts.write_image(source / "imagenette2/train/n02086240/n02086240_1.JPEG")
    text = converter("imagenette", source / "imagenette2", source / "metadata", out=tmp_path / "out")
    assert "train: images 20 instead of 12894" in text and "test: images 30 instead of 500" in text
    assert not (tmp_path / "out/train/n02086240").exists()


@requires_data("imagenette-wsol")
def test_squashed_copy_is_complete(converter):
    text = converter("imagenette", out=DATA_DIR / "imagenette-wsol")
    assert one_line(text) and "train: 12894 images" in text and "test: 500 images, 813 boxes" in text
