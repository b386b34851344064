"""Lists that can be read in several ways: the one that is meant, or an error."""

from __future__ import annotations

import layouts
import numpy as np
import pytest
from PIL import Image

from mmwsol.datasets import LocListDataset, image_sizes

LOAD = "mmwsol.LoadImage"


def items(dataset):
    found = [dataset.get_data_info(i) for i in range(len(dataset))]
    return {item["img_id"]: (item["gt_label"], item["gt_bboxes_ori"].tolist()) for item in found}


def read(tmp_path, content, **kwargs):
    """Write a table, read it, and return labels and boxes by image."""
    (tmp_path / "list.csv").write_text(content)
    return items(LocListDataset(tmp_path, "list.csv", **kwargs))


# ---- tables without a header ----------------------------------------------------------------------

BIRDS = dict(classes=[f"bird{number}" for number in range(200)])


@pytest.mark.parametrize("metainfo", [None, BIRDS])
@pytest.mark.parametrize(
    "row",
    [
        "a.jpg,bird7,10,20,50,60,99",  # a score
        "a.jpg,bird7,10.5,20,50,60,0.9",
        "a.jpg,100,80,10,20,50,60",  # a size
        "a.jpg,bird7,7,10,20,50,60",  # name and number
        "a.jpg,bird7,7",
        "a.jpg,1,7,10,20,50,60",
        "a.jpg,bird7,10,20,50,60,99,,,",
        "0,a.jpg,bird7,7,10,20,50,60",
    ],
)
def test_other_columns_than_path_split_label(tmp_path, row, metainfo):
    with pytest.raises(ValueError, match=r"list.csv:2: .* Write the names of the columns into the first line"):
        read(tmp_path, f"{'1,' if row[0] == '0' else ''}b.jpg,train,3,1,2,3,4\n{row}\n", metainfo=metainfo)


def test_a_class_for_a_split(tmp_path):
    with pytest.raises(ValueError, match=r"list.csv:1: .*is 'bird7' a split and 'Aves' a class"):
        read(tmp_path, "a.jpg,bird7,Aves,1,2,3,4\n", metainfo=BIRDS)


@pytest.mark.parametrize(
    "split", ["", "train", "Val", "val2017", "test-a", "fold_3", "trainval", "train-fullsup", "nan"]
)
def test_splits_with_numeric_labels(tmp_path, split):
    assert read(tmp_path, f"a.jpg,{split},7,1,2,30,40\n") == {"a.jpg": (7, [[1, 2, 30, 40]])}


def test_a_split_that_no_row_has(tmp_path):
    with pytest.raises(ValueError, match=r"list.csv:1: .*is 'cat' a split and '300' a class\? Write the names"):
        read(tmp_path, "a.jpg,cat,300\n", split="part1")
    assert read(tmp_path, "b.jpg,part2,1\na.jpg,part1,0\n", split="part1") == {"a.jpg": (0, [])}


def test_other_splits_that_are_clear(tmp_path):
    assert read(tmp_path, "a.jpg,mine,7,1,2,30,40\n", split="mine") == {"a.jpg": (7, [[1, 2, 30, 40]])}
    assert read(tmp_path, "a.jpg,mine,owl,1,2,30,40\n") == {"a.jpg": (0, [[1, 2, 30, 40]])}


@pytest.mark.parametrize("cells", ["0.9", "m.png,1"])
def test_numbers_are_no_masks(tmp_path, cells):
    with pytest.raises(ValueError, match="list.csv:1: masks are files, found the number '(0.9|1)'"):
        read(tmp_path, f"a.jpg,val,cat,1,2,30,40,{cells}\n")
    layouts.wsol(tmp_path / "w", ["a.jpg"], [0], [], [])
    layouts.write_lines(tmp_path / "w" / "localization.txt", [f"a.jpg,{cells}{',' if cells == '0.9' else ''}"])
    with pytest.raises(ValueError, match="localization.txt:1: masks are files"):
        LocListDataset(tmp_path, "w", test_mode=True)


# ---- numbers and names of classes -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "number", "label"),
    [(["1", "2", "3"], "1", 1), (["1", "2", "3"], "2.0", 2), (list("1234567890"), "0", 0), (["a", "b"], "1", 1)],
)
def test_yolo_and_wsol_count_classes(tmp_path, classes, number, label):
    layouts.write_image(tmp_path / "img" / "a.jpg")
    layouts.write_lines(tmp_path / "yolo" / "a.txt", [f"{number} 0.5 0.5 0.5 0.5"])
    layouts.wsol(tmp_path / "w", ["a.jpg"], [number], [], [])
    for ann_file in ("yolo", "w"):
        dataset = LocListDataset(tmp_path, ann_file, data_prefix="img", metainfo=dict(classes=classes))
        assert dataset.get_data_info(0)["gt_label"] == label
        mapped = LocListDataset(tmp_path, ann_file, data_prefix="img", label_map={int(float(number)): 5})
        assert mapped.get_data_info(0)["gt_label"] == 5


def test_yolo_numbers_beyond_the_names(tmp_path):
    layouts.write_image(tmp_path / "img" / "a.jpg")
    layouts.write_lines(tmp_path / "yolo" / "a.txt", ["3 0.5 0.5 0.5 0.5"])
    with pytest.raises(ValueError, match=r"label 3 of image 'a.jpg' is not in 0..2"):
        LocListDataset(tmp_path, "yolo", data_prefix="img", metainfo=dict(classes=["1", "2", "3"]))


def test_names_of_coco_and_voc_are_no_numbers(tmp_path):
    classes = dict(classes=["a", "b", "c"])
    layouts.coco(tmp_path, lambda c: c["categories"][0].update(name="2"))
    with pytest.raises(ValueError, match="unknown class '2' of image 'a.jpg': a number that is none of the names"):
        LocListDataset(tmp_path, "list.json", metainfo=dict(classes=["cat", "b", "c"]))
    dataset = LocListDataset(tmp_path, "list.json", metainfo=classes, label_map={"2": 2, "cat": 0})
    assert dataset.get_data_info(0)["gt_label"] == 2
    layouts.write_image(tmp_path / "img" / "a.jpg")
    layouts.voc_xml(tmp_path / "xml" / "a.xml", [("2", "1 2 3 4")])
    with pytest.raises(ValueError, match="unknown class '2' of image 'a.jpg'"):
        LocListDataset(tmp_path, "xml", data_prefix="img", metainfo=classes)


def said(messages, text):
    return [message for message in messages if text in message]


@pytest.mark.parametrize("classes", [None, ["c", "d", "e"]])
@pytest.mark.parametrize(("labels", "number"), [("12", 1), ("01", 0), ("11", 1)])
def test_labels_from_one(tmp_path, messages, classes, labels, number):
    metainfo = classes and dict(classes=classes)
    read(tmp_path, "".join(f"{n}.jpg,train,{label}\n" for n, label in enumerate(labels)), metainfo=metainfo)
    assert len(said(messages, "no image has label 0: if they count from 1")) == number


def test_names_that_are_numbers_count_from_nowhere(tmp_path, messages):
    assert read(tmp_path, "a.jpg,train,1\nb.jpg,train,2.0\n", metainfo=dict(classes=["1", "2", "3"]))["b.jpg"][0] == 1
    assert not said(messages, "no image has label 0")


# ---- files of names -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["cat\ndog\n", "\ufeffcat\ndog", "cat\r\ndog\r\n\r\n \n", "cat \ndog"])
def test_file_of_names(tmp_path, text):
    (tmp_path / "names.txt").write_bytes(text.encode())
    (tmp_path / "list.csv").write_text("a.jpg,train,dog\n")
    dataset = LocListDataset(tmp_path, "list.csv", metainfo=dict(classes=str(tmp_path / "names.txt")))
    assert dataset.metainfo["classes"] == ("cat", "dog") and dataset.get_data_info(0)["gt_label"] == 1


@pytest.mark.parametrize("names", ["cat\n\ndog\n", ["cat", "", "dog"], ["cat", " ", "dog"]])
def test_names_that_are_empty(tmp_path, names):
    if isinstance(names, str):
        (tmp_path / "names.txt").write_text(names)
        names = str(tmp_path / "names.txt")
    with pytest.raises(ValueError, match=r"name 1 of metainfo\['classes'\], from 0, is empty: remove the blank line"):
        read(tmp_path, "a.jpg,train,2\n", metainfo=dict(classes=names))


# ---- boxes of another picture ---------------------------------------------------------------------


@pytest.mark.parametrize(("turn", "fine"), [(90.0, False), ("45", False), (0.0, True), ("360", True), (180, True)])
def test_rotated_boxes(tmp_path, turn, fine):
    layouts.coco(tmp_path, lambda c: c["annotations"][0].update(attributes=dict(occluded=False, rotation=turn)))
    layouts.voc_xml(tmp_path / "xml" / "a.xml", [("cat", "1 2 3 4")])
    attribute = "<attribute><name>occluded</name><value>True</value></attribute>"
    attribute += f"<attribute><name>rotation</name><value>{turn}</value></attribute>"
    text = (tmp_path / "xml" / "a.xml").read_text()
    (tmp_path / "xml" / "a.xml").write_text(text.replace("</object>", f"<attributes>{attribute}</attributes></object>"))
    layouts.write_image(tmp_path / "img" / "a.jpg")
    for options in (dict(ann_file="list.json"), dict(ann_file="xml", data_prefix="img")):
        if fine:
            assert len(items(LocListDataset(tmp_path, **options))["a.jpg"][1])
            continue
        where = "annotation id 1" if "json" in options["ann_file"] else "a.xml: object 1"
        with pytest.raises(ValueError, match=f"{where}: the box is rotated by {float(turn):g} degrees: export upright"):
            LocListDataset(tmp_path, **options)


@pytest.mark.parametrize("size", [[20, 60], [40, 30]])
def test_runs_of_another_size(tmp_path, size):
    """Of an image of 40 x 30, W x H."""
    value = dict(size=size, counts=[600, 10, 590])
    layouts.coco(tmp_path, lambda c: c["annotations"][0].update(bbox=[], segmentation=value))
    with pytest.raises(ValueError, match=r"annotation id 1: the RLE has the size \(h, w\) .*and the image \[30, 40\]"):
        LocListDataset(tmp_path, "list.json")


def test_runs_say_the_size_of_the_image(tmp_path):
    value = dict(size=[20, 60], counts=[600, 10, 590])

    def change(content):
        content["annotations"][0].update(bbox=[], segmentation=value)
        del content["images"][0]["width"], content["images"][0]["height"]

    layouts.coco(tmp_path, change)
    with pytest.raises(ValueError, match=r"a.jpg' is 40x30 but the list says 60x20 \(W x H\), so its boxes do not fit"):
        LocListDataset(tmp_path, "list.json", pipeline=[dict(type=LOAD)])[0]


@pytest.mark.parametrize("crowd", [0, "0", "False", "no", False, None, 0.0])
def test_no_crowds(tmp_path, crowd):
    layouts.coco(tmp_path, lambda c: c["annotations"][0].update(iscrowd=crowd))
    assert len(items(LocListDataset(tmp_path, "list.json"))["a.jpg"][1]) == 2


def turned(path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", layouts.SIZE).save(path, exif=exif)


@pytest.mark.parametrize("orientation", range(9))
@pytest.mark.parametrize("color", [False, True])
def test_photographs_that_exif_turns(tmp_path, messages, orientation, color):
    turned(tmp_path / "a.jpg", orientation)
    turned(tmp_path / "b.jpg", 1)
    turned(tmp_path / "c.jpg", 3)
    for name, box in (("list.csv", "0.1,0.1,0.5,0.5"), ("pixels.csv", "2,2,20,20")):
        (tmp_path / name).write_text(f"a.jpg,val,cat,{box}\nb.jpg,val,cat,{box}\nc.jpg,val,cat\n")
    options = dict(pipeline=[dict(type=LOAD, color_type="color")] if color else [])
    for more in (
        dict(ann_file="list.csv", box_format="xyxy_norm"),
        dict(ann_file="list.csv", box_format="xyxy_norm", check_images=True),
        dict(ann_file="pixels.csv", check_images=True),
        dict(ann_file="pixels.csv", size_source="file"),
    ):
        messages.clear()
        LocListDataset(tmp_path, **options, **more)
        expected = orientation > 1 and not color
        assert len(said(messages, "1 photograph(s) with boxes are turned or mirrored")) == expected, more
    if not (color and orientation > 4):  # the size says which picture the boxes are of
        messages.clear()
        read(tmp_path, "path,width,height,label,x0,y0,x1,y1\na.jpg,40,30,cat,2,2,20,20\n", check_images=True, **options)
        assert len(said(messages, "turned or mirrored")) == (2 <= orientation <= 4 and not color)


def test_headers_are_read_once(tmp_path, messages, monkeypatch):
    """Photographs are opened by threads; one more pass over a million of them would take an hour."""
    opened = []
    for name in "ab":
        turned(tmp_path / f"{name}.jpg", 6)
    read_header = image_sizes.open_image
    monkeypatch.setattr(image_sizes, "open_image", lambda file, path: (opened.append(path), read_header(file, path))[1])
    read(tmp_path, "a.jpg,val,cat,2,2,20,20\nb.jpg,val,cat,2,2,20,20\n", check_images=True)
    assert said(messages, "2 photograph(s) with boxes are turned or mirrored") and len(opened) == 2


def test_turned_photographs_are_told_once(tmp_path, messages):
    """Fractions of a.jpg need its size; b.jpg has a listed one, and may be mirrored."""
    turned(tmp_path / "a.jpg", 6)
    turned(tmp_path / "b.jpg", 3)
    rows = "path,label,x0,y0,x1,y1,width,height\na.jpg,cat,0.1,0.1,0.5,0.5,,\nb.jpg,cat,0.1,0.1,0.5,0.5,40,30\n"
    read(tmp_path, rows, box_format="xyxy_norm", check_images=True)
    assert len(said(messages, "turned or mirrored")) == 1 and said(messages, "2 photograph(s) with boxes are turned")


# ---- folders and paths ----------------------------------------------------------------------------


def test_objects_of_another_class_than_the_folder(tmp_path, messages):
    for name, objects in (("cat/a", ["dog"]), ("cat/b", ["cat", "dog"]), ("dog/c", ["Dog"]), ("dog/d", ["tail"])):
        layouts.write_image(tmp_path / "img" / f"{name}.jpg")
        layouts.voc_xml(tmp_path / "ann" / f"{name}.xml", [(word, "1 2 30 20") for word in objects])
    found = items(LocListDataset(tmp_path, "ann", data_prefix="img"))
    assert [label for label, _ in found.values()] == [0, 0, 1, 1]
    assert len(said(messages, "1 image(s) lie in the folder of one class")) == 1
    assert said(messages, "such as 'cat/a.jpg' (dog): the label is the folder")


@pytest.mark.parametrize("other", ["sub/../a.jpg", "./sub/./../a.jpg", "sub/..\\a.jpg", "{}/a.jpg", "{}/sub/../a.jpg"])
def test_one_image_by_several_paths(tmp_path, other):
    rows = f"path,label,x0,y0,x1,y1\na.jpg,cat,1,2,30,20\n{other.format(tmp_path)},cat,1,2,20,20\n"
    if "{" in other:
        with pytest.raises(ValueError, match="list.csv:3: image '/.*/a.jpg' is listed twice .*list.csv:2"):
            read(tmp_path, rows)
    else:
        assert read(tmp_path, rows) == {"a.jpg": (0, [[1, 2, 30, 20], [1, 2, 20, 20]])}


def test_single_quotes(tmp_path):
    (tmp_path / "list.csv").write_text("'path','label','x0','y0','x1','y1'\n'a.jpg','cat','1','2','30','20'\n")
    dataset = LocListDataset(tmp_path, "list.csv")
    assert dataset.metainfo["classes"] == ("cat",) and items(dataset) == {"a.jpg": (0, [[1, 2, 30, 20]])}


def test_one_class_that_is_a_folder_of_data(tmp_path, messages):
    layouts.write_image(tmp_path / "Images" / "cat" / "a.jpg")
    LocListDataset(tmp_path)
    assert said(messages, "' is called 'Images', as folders of data are: point data_prefix at the class folders in it")


@pytest.mark.parametrize(
    ("box", "fine"),
    [
        ("1.000;1.200;2.000;3.000", False),
        ("900;1.200;1.500;2.000", False),
        ("12.345;0;20.5;30.125", True),
        ("1.5;2.000;20.000;30.000", True),
    ],
)
def test_points_of_thousands(tmp_path, box, fine):
    """'1.000' is a thousand beside whole numbers without a point, as '1,000' is."""
    rows = f"path;label;x0;y0;x1;y1\na.jpg;cat;{box}\nb.jpg;cat;800;20;900;40\n"
    if fine:
        assert len(read(tmp_path, rows)["a.jpg"][1]) == 1
        return
    message = "list.csv:2: '1.[02]00' may be a thousand, or not, beside whole numbers: write 1[02]00 or 1.[02]$"
    with pytest.raises(ValueError, match=message):
        read(tmp_path, rows)


def test_decimals_beside_whole_sizes(tmp_path):
    """As pandas writes floats and integers, ``to_csv(sep=';', float_format='%.3f')``."""
    rows = "path;label;x0;y0;x1;y1;width;height\na.jpg;cat;12.345;20.125;100.500;200.250;640;480\n"
    assert read(tmp_path, rows)["a.jpg"][1] == np.float32([[12.345, 20.125, 100.5, 200.25]]).tolist()


# ---- what is read, and what errors say ------------------------------------------------------------


def test_bars_between_fields(tmp_path):
    assert read(tmp_path, "path|label|x0|y0|x1|y1\na.jpg|cat|1|2|30|20\n") == {"a.jpg": (0, [[1, 2, 30, 20]])}
    assert read(tmp_path, "a.jpg|train|cat|1|2|30|20\n") == {"a.jpg": (0, [[1, 2, 30, 20]])}


def test_one_class_of_roboflow(tmp_path):
    """The parent that nothing is of has the name of the only class."""

    def change(content):
        parent, child = dict(id=0, name="cat", supercategory="none"), dict(id=1, name="cat", supercategory="cat")
        content.update(categories=[parent, child])
        del content["images"][2]
        for annotation in content["annotations"]:
            annotation["category_id"] = 1

    layouts.coco(tmp_path, change)
    dataset = LocListDataset(tmp_path, "list.json")
    assert dataset.metainfo["classes"] == ("cat",) and len(dataset) == 2


def test_names_of_images_without_ending(tmp_path):
    layouts.write_image(tmp_path / "a[1].jpg")
    (tmp_path / "list.csv").write_text("path,label\na[1],cat\n")
    with pytest.raises(ValueError, match="does not exist: there is '.*jpg': the list leaves out the ending"):
        LocListDataset(tmp_path, "list.csv", check_images=True)
    with pytest.raises(FileNotFoundError, match="there is '.*jpg': the list leaves out the ending"):
        LocListDataset(tmp_path, "list.csv", pipeline=[dict(type=LOAD)])[0]


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.1 0.1 0.9", "0 0.1 0.1 0.5 0.1 0.5 0.5"])
def test_yolo_lines_of_other_lengths(tmp_path, line):
    layouts.write_image(tmp_path / "img" / "a.jpg")
    layouts.write_lines(tmp_path / "ann" / "a.txt", [line])
    with pytest.raises(ValueError, match="a 6th number is a confidence, more are polygons"):
        LocListDataset(tmp_path, "ann", data_prefix="img")


def test_no_classes_are_not_counted(tmp_path, messages):
    with pytest.raises(ValueError):
        read(tmp_path, "path,label\na.jpg,\n")
    assert not said(messages, "0 classes")
