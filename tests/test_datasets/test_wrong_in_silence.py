"""Lists that were read with wrong boxes, labels or splits without a word."""

from __future__ import annotations

import re
import unicodedata

import layouts
import numpy as np
import pytest
from PIL import Image

from mmwsol.datasets import LocListDataset
from mmwsol.datasets.box_checks import box_problem
from mmwsol.datasets.coco_masks import segmentation_box
from mmwsol.datasets.transforms import decode_image, loading
from mmwsol.datasets.transforms.loading import load_mask
from mmwsol.structures import Frame

VOC = ("cat", "1 2 30 20")


def read(tmp_path, content, name="list.csv", **kwargs):
    """Write a table, read it, and return labels and boxes by image, and the classes."""
    (tmp_path / name).write_text(content)
    return items(LocListDataset(tmp_path, name, **kwargs))


def items(dataset):
    found = [dataset.get_data_info(i) for i in range(len(dataset))]
    content = {item["img_id"]: (item["gt_label"], item["gt_bboxes_ori"].tolist()) for item in found}
    return content, dataset.metainfo["classes"]


def folder(tmp_path, images, annotations):
    for name in images:
        layouts.write_image(tmp_path / "img" / name)
    for number, name in enumerate(annotations):
        path = tmp_path / "ann" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        layouts.voc_xml(path, [("cat", f"{number} 2 30 20")])
    return dict(data_root=tmp_path, ann_file="ann", data_prefix="img", test_mode=True)


# ---- annotation files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "annotations", "fits"),
    [
        (["cat/a.jpg", "dog/a.jpg"], ["a.xml"], 2),
        (["cat/s1/a.jpg", "cat/s2/a.jpg"], ["cat/s3/a.xml"], 2),
        (["a.jpg", "a.png", "b.jpg"], ["a.xml", "b.xml"], 2),
        (["cat/a.jpg", "dog/a.jpg", "owl/a.jpg"], ["a.jpg.xml"], 3),
    ],
)
def test_an_annotation_file_belongs_to_one_image(tmp_path, images, annotations, fits):
    options = folder(tmp_path, images, annotations)
    with pytest.raises(ValueError, match=rf"{fits} bad record(.|\n)*a(.jpg)?.xml: fits {fits} images, '.*a.jpg', '"):
        LocListDataset(**options)
    if len(images) > fits:
        assert list(items(LocListDataset(**options, on_error="skip"))[0]) == ["b.jpg"]


def test_the_same_path_comes_first(tmp_path):
    images = ["cat/s1/a.jpg", "cat/s2/a.jpg", "cat/s3/a.jpg", "dog/b.jpg"]
    options = folder(tmp_path, images, ["cat/s1/a.xml", "cat/s2/a.xml", "any/b.xml"])
    content, _ = items(LocListDataset(**options))
    assert [content[name][1] for name in images] == [[[0, 2, 30, 20]], [[1, 2, 30, 20]], [], [[2, 2, 30, 20]]]


def test_annotations_with_the_whole_name_of_the_image(tmp_path):
    content, _ = items(LocListDataset(**folder(tmp_path, ["a.jpg", "a.png"], ["a.jpg.xml", "a.png.xml"])))
    assert content == {"a.jpg": (0, [[0, 2, 30, 20]]), "a.png": (0, [[1, 2, 30, 20]])}


def test_letters_of_macos(tmp_path):
    name = "Bär"
    decomposed = unicodedata.normalize("NFD", name)
    options = folder(tmp_path, [f"{decomposed}/{decomposed}.jpg", "cat/a.jpg"], [f"{name}.xml"])
    dataset = LocListDataset(**options, metainfo=dict(classes=["cat", name]))
    assert list(items(dataset)[0].values()) == [(1, [[0, 2, 30, 20]]), (0, [])]
    assert read(tmp_path, f"a.jpg,,{decomposed}", metainfo=dict(classes=["cat", name]))[0]["a.jpg"][0] == 1


def test_erased_objects_are_no_boxes(tmp_path):
    options = folder(tmp_path, ["a.jpg"], ["a.xml"])
    layouts.voc_xml(tmp_path / "ann" / "a.xml", [("dog", "1 1 2 2"), VOC])
    text = (tmp_path / "ann" / "a.xml").read_text().replace("<name>dog</name>", "<name>dog</name><deleted>1</deleted>")
    (tmp_path / "ann" / "a.xml").write_text(text)
    assert items(LocListDataset(**options)) == ({"a.jpg": (0, [[1, 2, 30, 20]])}, ("cat",))


# ---- names of classes -----------------------------------------------------------------------------


def test_splits_are_no_classes(tmp_path):
    for name in ("train/cat/a.jpg", "val/dog/b.jpg"):
        layouts.write_image(tmp_path / name)
    with pytest.raises(ValueError, match="classes would be train, val, which are splits.*data_prefix"):
        LocListDataset(tmp_path)
    assert len(LocListDataset(tmp_path, metainfo=dict(classes=["train", "val"]))) == 2
    with pytest.raises(ValueError, match="classes would be train, val, .*path,split,label"):
        read(tmp_path, "a.jpg,cat,train\nb.jpg,dog,val")


@pytest.mark.parametrize(
    ("first", "second"),
    [("B\xe4r", "Ba\u0308r"), ("cat", "cat\u200b"), ("big dog", "big\xa0dog"), ("True", "TRUE"), ("Cat", "cat")]
    + [("001", "1")],
)
def test_names_written_in_two_ways(tmp_path, messages, first, second):
    _, classes = read(tmp_path, f"a.jpg,,{first}\nb.jpg,,{second}")
    assert len(classes) == 2
    assert any("1 class(es) written in several ways" in text and ascii(first) in text for text in messages)


@pytest.mark.parametrize("label", ["cat\u200b", "Cat", "c\uff41t"])
def test_names_unlike_the_class_are_spelled_out(tmp_path, label):
    with pytest.raises(ValueError, match="unknown class") as error:
        read(tmp_path, f"a.jpg,,{label}", metainfo=dict(classes=["cat"]))
    assert f"it is {ascii(label)}, and the class 'cat'" in str(error.value)


def test_a_name_with_a_comma_is_one_label(tmp_path, messages):
    table = 'path,label\na.jpg,Warbler\nb.jpg,"Warbler, Yellow"\n'
    content, classes = read(tmp_path, table)
    assert classes == ("Warbler", "Warbler, Yellow") and content["b.jpg"][0] == 1
    assert any("'Warbler, Yellow' is read as one class" in text for text in messages)
    with pytest.raises(ValueError, match="multi-label"):
        read(tmp_path, 'path,label\na.jpg,cat\nc.jpg,dog\nb.jpg,"cat, dog"\n')


# ---- YOLO -----------------------------------------------------------------------------------------


def test_numbers_of_yolo(tmp_path):
    layouts.write_image(tmp_path / "img" / "a.jpg")
    layouts.write_lines(tmp_path / "ann" / "a.txt", ["0 0.5 0.5 0.5 0.5", "0.0 0.25 0.25 0.25 0.25"])
    dataset = LocListDataset(tmp_path, "ann", data_prefix="img", on_error="skip")
    assert dataset.metainfo["classes"] == ("0",)


# ---- splits ---------------------------------------------------------------------------------------

HEADER = "path,split,label,x0,y0,x1,y1\n"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.jpg,,cat,50,2,90,40", "list.csv:3: no split, in a table that has splits"),
        ("a.jpg,nan,cat,50,2,90,40", "list.csv:3: no split"),
        ("b.jpg,,cat,50,2,90,40", "list.csv:3: no split"),
        ("b.jpg,Val,cat,1,2,30,40", "list.csv:3: split 'Val' beside 'val'"),
        ("a.jpg,train,dog,1,2,30,40", "list.csv:3: 'a.jpg' is 'dog' in split 'train' and 'cat' in 'val' .*list.csv:2"),
    ],
)
def test_rows_of_no_split_do_not_vanish(tmp_path, row, message):
    table = f"{HEADER}a.jpg,val,cat,1,2,30,40\n{row}\nc.jpg,val,dog\n"
    with pytest.raises(ValueError, match=message):
        read(tmp_path, table, split="val")
    assert list(read(tmp_path, table, split="val", on_error="skip")[0])[-1] == "c.jpg"


def test_images_in_two_splits_are_told(tmp_path, messages):
    content, _ = read(tmp_path, f"{HEADER}a.jpg,val,cat\na.jpg,train,cat\nb.jpg,train,cat\n", split="val")
    assert list(content) == ["a.jpg"]
    assert any("1 image(s) of split 'val' are in another split, too, such as 'a.jpg'" in text for text in messages)


# ---- metainfo -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "classes",
    [{"cat": 1, "dog": 0}, {0: "dog", 1: "cat"}, {"1": "cat", "0": "dog"}, ["dog", "cat"], ("dog", "cat")],
)
def test_order_of_classes(tmp_path, classes):
    content, names = read(tmp_path, "a.jpg,,cat\nb.jpg,,dog", metainfo=dict(classes=classes))
    assert names == ("dog", "cat") and [label for label, _ in content.values()] == [1, 0]


@pytest.mark.parametrize(
    "classes",
    [
        {"cat", "dog"},
        frozenset({"cat"}),
        {"cat": 1, "dog": 2},
        {"cat": 0, "dog": 0},
        {0: 1, 1: 0},
        2,
        [["cat"], ["dog"]],
    ],
)
def test_classes_without_an_order(tmp_path, classes):
    with pytest.raises(ValueError, match=r"metainfo\['classes'\] is a sequence of names in the order of the labels"):
        read(tmp_path, "a.jpg,,cat\nb.jpg,,dog", metainfo=dict(classes=classes))


# ---- numbers of images and boxes ------------------------------------------------------------------


def gray(path, values, dtype):
    Image.fromarray(np.tile(np.linspace(*values, 64), (32, 1)).astype(dtype)).save(path)
    return decode_image(path.read_bytes(), str(path))


@pytest.mark.parametrize(
    ("name", "values", "dtype", "said"),
    [
        ("a.png", (0, 4095), np.uint16, "from 0 to 4095.*0 to 15 of 255"),
        ("a.tif", (0, 255), np.int32, "from 0 to 255.*0 to 0 of 255"),
        ("a.png", (0, 255), np.uint16, "from 0 to 255"),
        ("a.tif", (0, 2**20), np.int32, "from 0 to 1048576.*0 to 255 of 255"),
        ("a.tif", (-1000, 60000), np.int32, "from -1000 to 60000"),
        ("a.png", (0, 65535), np.uint16, ""),
        ("a.png", (0, 0), np.uint16, ""),
    ],
)
def test_pixels_of_fewer_bits(tmp_path, messages, monkeypatch, name, values, dtype, said):
    monkeypatch.setattr(loading, "_WARNED", set())
    for _ in range(2):
        gray(tmp_path / name, values, dtype)
    found = [text for text in messages if "taken for 16 bit" in text]
    assert len(found) == bool(said) and all(re.search(f"{name}' has pixels {said}", text) for text in found)


@pytest.mark.parametrize(("dtype", "value"), [(np.uint16, 1), (np.uint16, 255), (np.uint16, 65535), (np.uint8, 1)])
def test_masks_of_16_bit(tmp_path, dtype, value):
    mask = np.zeros((30, 40), dtype)
    mask[10:20, 5:15] = value
    Image.fromarray(mask).save(tmp_path / "m.png")
    assert (load_mask(str(tmp_path / "m.png"), Frame.identity((30, 40))) == (mask > 0)).all()


@pytest.mark.parametrize("box", ["0.1,0.2,1.002,0.9", "0,0,1,1.04", "0.1,0.2,0.5,0.9"])
def test_fractions_with_a_rounded_end(tmp_path, box):
    table = f"b.jpg,val,cat,1,2,30,20\na.jpg,val,cat,{box}\n"
    with pytest.raises(ValueError, match="list.csv:2: .*has fractions of the image"):
        read(tmp_path, table)
    assert list(read(tmp_path, table, on_error="skip")[0]) == ["b.jpg"]
    assert "one corner pixel" in box_problem([float(value) for value in box.split(",")], "a.jpg")


def test_fractions_over_the_border(tmp_path, messages):
    for name in "abc":
        layouts.write_image(tmp_path / f"{name}.jpg")  # 40 x 30
    rows = "a.jpg,val,cat,0.24,0.5,0.52,1\nb.jpg,val,cat,0.5,0.5,1.01,1\nc.jpg,val,cat,0.22,0.5,0.52,1\n"
    content, _ = read(tmp_path, rows, box_format="cxcywh_norm", on_error="skip")
    assert content["a.jpg"][1] == [[0, 0, pytest.approx(20), 30]]  # from -0.8
    assert content["b.jpg"][1] == [[pytest.approx(-0.2), 0, pytest.approx(40.2), 30]]  # as it always was
    assert "c.jpg" not in content  # from -1.6
    assert any("1 boxes in fractions reach over the border" in text for text in messages)


SQUARE = [10, 4, 30, 4, 30, 20, 10, 20]


def runs(mask):
    """Return the uncompressed RLE of a mask."""
    flat = mask.T.reshape(-1).tolist()
    counts = [0]
    for before, value in zip([0, *flat], flat, strict=False):
        counts = [*counts, 1] if value != before else [*counts[:-1], counts[-1] + 1]
    return dict(size=list(mask.shape), counts=counts)


MASK = np.zeros((30, 40), int)
MASK[4:20, 10:30] = 1
FULL = np.zeros((30, 40), int)
FULL[:, 10:30] = 1


@pytest.mark.parametrize(
    ("value", "box"),
    [
        (SQUARE, [10, 4, 30, 20]),
        ([SQUARE, [2, 8, 3, 9, 2, 9]], [2, 4, 30, 20]),
        (runs(MASK), [10, 4, 30, 20]),
        (runs(FULL), [10, 0, 30, 30]),
        (dict(size=[30, 40], counts=r"`9`0>0000000000000000000000000000000000000X9"), [10, 4, 30, 20]),
    ],
)
def test_boxes_of_segmentations(tmp_path, messages, value, box):
    layouts.coco(tmp_path, lambda c: c["annotations"][0].update(bbox=[], segmentation=value))
    assert box in items(LocListDataset(tmp_path, "list.json"))[0]["a.jpg"][1]
    assert any("1 object(s) have no bbox" in text for text in messages)


def test_compressed_runs():
    pytest.importorskip("pycocotools")
    from pycocotools import mask as coco_mask

    for seed in range(20):
        rng = np.random.default_rng(seed)
        mask = np.zeros((rng.integers(1, 300), rng.integers(1, 300)), np.uint8, order="F")
        mask[rng.integers(0, mask.shape[0], 5), rng.integers(0, mask.shape[1], 5)] = 1
        encoded = coco_mask.encode(mask)
        value = dict(size=encoded["size"], counts=encoded["counts"].decode())
        rows, columns = np.nonzero(mask)
        x0, y0 = columns.min(), rows.min()
        assert segmentation_box(value) == (x0, y0, columns.max() - x0 + 1, rows.max() - y0 + 1)


@pytest.mark.parametrize(
    "value", [[1, 2, 3], ["x"], 3, [[1, 2, 3]], dict(size=[3, 3], counts=[1, 2]), dict(counts="x")]
)
def test_segmentations_that_are_none(tmp_path, value):
    layouts.coco(tmp_path, lambda c: c["annotations"][0].update(bbox=None, segmentation=value))
    with pytest.raises(ValueError, match="annotation id 1: (a segmentation|an RLE) is"):
        LocListDataset(tmp_path, "list.json")
