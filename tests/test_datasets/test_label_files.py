"""Label files: boxes of any image are read back equal, by pycocotools and by the readers of this package."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmwsol.datasets import LocListDataset
from mmwsol.datasets.label_files import FORMATS, LabelList, annotation_names, label_names, unlistable

CLASSES = ("cat", "dog, hound", "Mädchen & <Junge>", "7")
SIZES = ((1, 2), (3, 7), (80, 50), (333, 500), (4000, 3001), (12000, 9))  # W, H


def random_boxes(rng, size, number):
    """Boxes of two pixels or more anywhere in an image, many of them at its borders."""
    boxes = []
    while len(boxes) < number:
        ends = rng.choice([0, 1, *rng.random(3)], (2, 2)) * size
        x0, y0, x1, y1 = [*ends.min(axis=0), *ends.max(axis=0)]
        if x1 - x0 >= 1 and y1 - y0 >= 1 and (x1 - x0) * (y1 - y0) >= 2:
            boxes.append([float(value) for value in (x0, y0, x1, y1)])
    return boxes


def random_list(rng, names, root):
    labels, expected = LabelList(str(root), CLASSES, {}), {}
    for number, name in enumerate(names):
        size = SIZES[number % len(SIZES)]
        boxes = random_boxes(rng, size, number % 4)
        label = number % len(CLASSES)
        labels.add(str(root / name), size, [dict(label=label, box=box, score=0.5) for box in boxes], label)
        expected[name] = (label, [[round(value, 2) for value in box] for box in boxes])
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "image.png"), np.zeros((size[1], size[0]), np.uint8))
        os.replace(root / "image.png", root / name)
    return labels, expected


def read_back(root, ann_file, with_labels=True, **options):
    if with_labels:
        options["metainfo"] = dict(classes=CLASSES)
    data = LocListDataset(data_root=str(root), ann_file=str(ann_file), **options)
    data.full_init()
    items = [data.get_data_info(index) for index in range(len(data))]
    return {
        item["img_id"]: (
            item["gt_label"] if with_labels else None,
            [[round(float(value), 2) for value in box] for box in item["gt_bboxes_ori"]],
        )
        for item in items
    }


@pytest.mark.parametrize("seed", range(5))
def test_boxes_are_read_back_equal(tmp_path, seed):
    root, out = tmp_path / "images", tmp_path / "out"
    root.mkdir()
    names = [f"{'café' if number % 2 else 'plain'}/{number} x.{'jpg' if number % 3 else 'png'}" for number in range(24)]
    labels, expected = random_list(np.random.default_rng(seed), names, root)
    for format in FORMATS:
        labels.write(format, out / format, "boxes")
    assert read_back(root, out / "coco/boxes.json") == expected
    assert read_back(root, out / "csv/boxes.csv") == expected
    boxes = {name: (None, boxes) for name, (_, boxes) in expected.items()}  # class folders are the labels
    for size_source in ("meta", "file"):
        assert read_back(root, out / "yolo/labels", with_labels=False, size_source=size_source) == boxes
        assert read_back(root, out / "voc", with_labels=False, size_source=size_source) == boxes
    content = json.loads((out / "coco/boxes.json").read_text())
    assert (out / "coco/boxes.classes.txt").read_text(encoding="utf-8").splitlines() == list(CLASSES)
    COCO = pytest.importorskip("pycocotools.coco").COCO
    coco = COCO(str(out / "coco/boxes.json"))
    found = {}
    for image in coco.loadImgs(coco.getImgIds()):
        corners = [
            [round(value, 2) for value in (x, y, x + w, y + h)]
            for x, y, w, h in (a["bbox"] for a in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])))
        ]
        found[image["file_name"]] = (image["label"] - 1, corners)
    assert found == expected and len(content["annotations"]) == sum(len(b) for _, b in expected.values())


def test_flat_images_have_the_classes_of_their_objects(tmp_path):
    root, out = tmp_path / "images", tmp_path / "out"
    root.mkdir()
    names = [f"{number}.jpg" for number in range(12)]
    labels, expected = random_list(np.random.default_rng(0), names, root)
    for format in ("yolo", "voc"):
        labels.write(format, out / format)
    with_boxes = {name: value for name, value in expected.items() if value[1]}
    assert read_back(root, out / "voc", on_error="skip") == with_boxes
    metainfo = dict(classes=[f"class {name}" for name in CLASSES])  # names that are numbers win over labels
    data = LocListDataset(data_root=str(root), ann_file=str(out / "yolo/labels"), metainfo=metainfo, on_error="skip")
    data.full_init()
    items = [data.get_data_info(index) for index in range(len(data))]
    assert {item["img_id"]: item["gt_label"] for item in items} == {k: label for k, (label, _) in with_boxes.items()}
    assert (out / "yolo/classes.txt").read_text(encoding="utf-8").splitlines() == list(CLASSES)
    assert (out / "yolo/labels/0.txt").read_text() == ""  # an image without boxes


def test_what_the_files_say(tmp_path):
    labels = LabelList(str(tmp_path), ("cat", "dog"), dict(description="test"))
    labels.add(str(tmp_path / "a/b.jpg"), (200, 100), [dict(label=1, box=(10, 20, 110.126, 100), score=0.25)], 1)
    files = {format: dict(labels.contents(format, "x")) for format in FORMATS}
    assert files["yolo"] == {
        "classes.txt": "cat\ndog\n",
        "labels/a/b.txt": "1 0.3003250000 0.6000000000 0.5006500000 0.8000000000\n",
    }
    assert files["csv"] == {
        "x.csv": "path,label,x0,y0,x1,y1,image_width,image_height,confidence\n"
        "a/b.jpg,dog,10.0,20.0,110.13,100.0,200,100,0.25\n"
    }
    root = ElementTree.fromstring(files["voc"]["a/b.xml"])
    assert [root.findtext(f"object/bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")] == [
        "10",
        "20",
        "110.13",
        "100",
    ]
    assert (root.findtext("folder"), root.findtext("filename")) == ("a", "b.jpg")
    assert [root.findtext(f"size/{key}") for key in ("width", "height", "depth")] == ["200", "100", "3"]
    assert root.findtext("object/name") == "dog" and root.findtext("object/confidence") == "0.25"
    content = json.loads(files["coco"]["x.json"])
    assert content["images"] == [dict(id=1, file_name="a/b.jpg", width=200, height=100, label=2)]
    assert content["annotations"][0]["bbox"] == [10, 20, 100.13, 80] and content["annotations"][0]["score"] == 0.25
    with pytest.raises(ValueError, match="format of labels must be one of .*'coco', 'yolo', 'voc', 'csv'.*'xml'"):
        dict(labels.contents("xml"))


HOSTILE = [
    "d/a.jpg",
    "d/a.png",
    "d/a.jpg.png",
    "d/b.tar.jpg",
    "d/classes.jpg",
    "d/ü ñ 猫.jpg",
    "d/x,y;z.jpg",
    'd/it\'s "quoted".jpg',
    "d/-rf.jpg",
    "d/[1] (2) {3}.jpg",
    "d/%s%d$HOME&<b>.jpg",
    "e/a.jpg",
    "e/deep/er/a.jpg",
    "e/deep.jpg",
    "e/tab\there.jpg",
]


def test_hostile_names_and_equal_stems(tmp_path):
    root, out = tmp_path / "images", tmp_path / "out"
    root.mkdir()
    labels, expected = random_list(np.random.default_rng(1), HOSTILE, root)
    for format in FORMATS:
        labels.write(format, out / format, "boxes")
        assert not [name for name in HOSTILE if unlistable(name, format)]
    assert read_back(root, out / "coco/boxes.json") == expected
    assert read_back(root, out / "csv/boxes.csv") == expected
    boxes = {name: (None, boxes) for name, (_, boxes) in expected.items()}
    assert read_back(root, out / "yolo/labels", with_labels=False) == boxes
    assert read_back(root, out / "voc", with_labels=False) == boxes
    names = annotation_names(HOSTILE, "voc")
    assert names[:4] == ["d/a.jpg.xml", "d/a.png.xml", "d/a.jpg.png.xml", "d/b.tar.xml"] and names[-2] == "e/deep.xml"


def test_an_image_beside_the_listed_ones_gets_no_boxes(tmp_path):
    """A broken file is not listed; the file of 'a.png' must not be read as its own."""
    root = tmp_path / "images"
    (root / "d").mkdir(parents=True)
    labels, expected = random_list(np.random.default_rng(2), ["d/x.png", "d/a.png"], root)
    (root / "d/a.jpg").write_bytes(b"broken")
    labels.others = ["d/a.jpg"]
    labels.write("voc", tmp_path / "voc")
    assert {path.name for path in (tmp_path / "voc/d").iterdir()} == {"x.xml", "a.png.xml"}
    found = read_back(root, tmp_path / "voc", with_labels=False)
    assert found == {"d/a.jpg": (None, []), **{name: (None, boxes) for name, (_, boxes) in expected.items()}}


def test_names_that_a_format_cannot_hold():
    assert "line break" in unlistable("a/b\nc.jpg", "csv") and unlistable("a/b\nc.jpg", "yolo") is None
    assert "blanks at its ends" in unlistable(" a.jpg", "csv")
    assert "bytes that are no text" in unlistable(os.fsdecode(b"caf\xe9.jpg"), "csv")
    assert unlistable(os.fsdecode(b"caf\xe9.jpg"), "voc") is None
    assert "backslash" in unlistable("a\\b.jpg", "coco") and "backslash" in unlistable("a\\b.jpg", "csv")
    assert "too long for another ending" in unlistable("x" * 254, "yolo") and unlistable("x" * 250, "yolo") is None


def test_names_of_classes():
    assert label_names(["crane", "cat", "crane", "two\nlines", " "]) == (
        "crane (0)",
        "cat",
        "crane (2)",
        "two lines",
        "4",
    )


def test_characters_that_xml_excludes(tmp_path):
    labels = LabelList(str(tmp_path), ("a\x01b & <c>",), {})
    name = os.fsdecode(b"caf\xe9\x02.jpg")
    labels.add(str(tmp_path / name), (9, 9), [dict(label=0, box=(0, 1, 5, 6))], 0)
    labels.write("voc", tmp_path / "out")
    [path] = (tmp_path / "out").iterdir()
    root = ElementTree.fromstring(path.read_bytes())
    assert root.findtext("filename") == "caf??.jpg" and root.findtext("object/name") == "a?b & <c>"


def test_nothing_is_written_outside_of_the_folder(tmp_path):
    labels = LabelList(str(tmp_path / "root"), ("a",), {})
    labels.add(str(tmp_path / "elsewhere/x.jpg"), (9, 9), [], 0)
    for format in ("yolo", "voc"):
        with pytest.raises(ValueError, match="x.jpg' is outside the folder of images"):
            labels.write(format, tmp_path / "out")
    inside = LabelList(str(tmp_path / "root"), ("a",), {})
    inside.add(str(tmp_path / "root/d/x.jpg"), (9, 9), [], 0)
    (tmp_path / "out").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "out/d").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="a link leads out"):
        inside.write("voc", tmp_path / "out")
    assert not list(Path(tmp_path / "target").iterdir())
