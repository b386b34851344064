"""Lists, folders and images as people have them: read if there is one meaning, else an error names the cause."""

from __future__ import annotations

import json
import os
import re

import layouts
import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from mmwsol.datasets import CUB, BaseLocDataset, LocListDataset, TinyImageNet
from mmwsol.datasets.readers import list_images
from mmwsol.datasets.transforms import LoadImage, UnreadableImageError, decode_image

LOAD = [dict(type="mmwsol.LoadImage"), dict(type="mmwsol.PackLocInputs")]


def read(tmp_path, content, name="list.csv", **kwargs):
    """Write a list, read it, and return labels, boxes and classes."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    dataset = LocListDataset(tmp_path, name, **kwargs)
    items = [dataset.get_data_info(i) for i in range(len(dataset))]
    boxes = [item["gt_bboxes_ori"].tolist() for item in items]
    return [item["gt_label"] for item in items], boxes, dataset.metainfo["classes"]


# ---- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (("001", "002"), ["001", "002"], [0, 1]),
        (("1_0", "2_0"), ["1_0", "2_0"], [0, 1]),
        (("10", "20"), ["10", "20"], [0, 1]),
        (("2", "1"), ["1", "2"], [1, 0]),
        (("1.0", "2.0"), ["1", "2"], [0, 1]),
        (("0.0", "1.0"), ["cat", "dog"], [0, 1]),
        (("1", "cat"), ["cat", "dog"], [1, 0]),
        (("002", "001"), None, [1, 0]),
        (("08", "10"), None, [0, 1]),
        (("0", "2"), None, [0, 2]),
        (("1.0", "0.0"), None, [1, 0]),
        (("1_0", "2_0"), None, [0, 1]),
    ],
)
def test_names_win_over_numbers(tmp_path, labels, classes, expected):
    rows = "\n".join(f"{n}.jpg,train,{label}" for n, label in enumerate(labels))
    found, _, names = read(tmp_path, rows, metainfo=classes and dict(classes=classes))
    assert found == expected
    if classes is None and "0" in "".join(names):
        assert len(names) == max(expected) + 1


@pytest.mark.parametrize("label", ["1", "2", "001 ", "3.0", "1_0"])
def test_numbers_that_may_be_names_are_refused(tmp_path, label):
    """'1' may be the class '001' or the second class."""
    if label.strip() == "001":
        assert read(tmp_path, f"a.jpg,train,{label}", metainfo=dict(classes=["001", "002"]))[0] == [0]
        return
    with pytest.raises(ValueError, match=r"list.csv:1: unknown class"):
        read(tmp_path, f"a.jpg,train,{label}", metainfo=dict(classes=["001", "002"]))


def test_numeric_names_in_every_format(tmp_path):
    classes = dict(classes=["001", "002", "010"])
    layouts.wsol(tmp_path / "w", ["a.jpg"], ["010"], [], [])
    assert LocListDataset(tmp_path, "w", metainfo=classes).get_data_info(0)["gt_label"] == 2
    layouts.write_image(tmp_path / "img" / "a.jpg")
    layouts.voc_xml(tmp_path / "xml" / "a.xml", [("002", "1 2 3 4")])
    voc = LocListDataset(tmp_path, "xml", data_prefix="img", metainfo=classes)
    assert voc.get_data_info(0)["gt_label"] == 1
    layouts.write_lines(tmp_path / "yolo" / "a.txt", ["010 0.5 0.5 0.5 0.5"])
    yolo = LocListDataset(tmp_path, "yolo", data_prefix="img", metainfo=classes)
    assert yolo.get_data_info(0)["gt_label"] == 2
    layouts.coco(tmp_path, lambda c: [entry.update(name=f"00{entry['id']}") for entry in c["categories"]])
    coco = LocListDataset(tmp_path, "list.json")
    assert coco.metainfo["classes"] == ("003", "007") and coco.get_data_info(0)["gt_label"] == 1


def test_no_label_and_several_labels(tmp_path):
    for label in ("", "nan", "NaN"):
        with pytest.raises(ValueError, match="list.csv:2: image 'b.jpg' has no label"):
            read(tmp_path, f"a.jpg,train,cat\nb.jpg,train,{label}")
    with pytest.raises(
        ValueError, match="list.csv:3: unknown class 'cat|dog'.*multi-label.*one label.*on_error='skip'"
    ):
        read(tmp_path, "a.jpg,train,cat\nc.jpg,train,dog\nb.jpg,train,cat|dog")
    found = read(tmp_path, "a.jpg,train,cat\nc.jpg,train,dog\nb.jpg,train,cat|dog", on_error="skip")
    assert found[0] == [0, 1] and found[2] == ("cat", "dog")
    with pytest.raises(ValueError, match="a second label 'dog'.*multi-label"):
        read(tmp_path, "a.jpg,train,cat,1,2,3,4\na.jpg,train,dog,5,6,7,8")


@pytest.mark.parametrize("label", ["1000000000000", "-1", "9" * 30])
def test_labels_beyond_memory(tmp_path, label):
    with pytest.raises(ValueError, match="list.csv:2: (label|unknown class)"):
        read(tmp_path, f"a.jpg,train,0\nb.jpg,train,{label}")
    with pytest.raises(ValueError, match="label_map gives class indices"):
        LocListDataset(label_map={"cat": 10**12})


def test_labels_from_one_are_told(tmp_path, caplog):
    logger = MMLogger.get_current_instance()
    messages = []
    logger.addFilter(lambda record: messages.append(record.getMessage()) or True)
    read(tmp_path, "a.jpg,train,1\nb.jpg,train,2")
    assert any("no image has label 0" in message for message in messages)


# ---- boxes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("0.1,0.2,0.8,0.9", "has fractions of the image"),
        ("0,0,1,1", "one corner pixel"),
        ("0,0,0,0", "is empty: an image without object has no box"),
        ("5,6,5,6", "is empty"),
        ("-1,-1,-1,-1", "is (empty|outside)"),
        ("10,2,5,6", "x1 < x0"),
        ("1e39,2,5,6", "four finite numbers"),
        ("1,2,1e39,6", "four finite numbers"),
        ("1,2,inf,6", "four finite numbers"),
        ("1,nan,5,6", "four finite numbers"),
        ("1_0,2,50,6", "four finite numbers"),
        ("1,2,99,6", "is outside its image of 40x30"),
        ("1,2,29,39", "turned to 30x40 by its EXIF tag.*color_type='color'"),
    ],
)
def test_impossible_boxes(tmp_path, box, message):
    for name in ("a.jpg", "b.jpg"):
        layouts.write_image(tmp_path / name)
    rows = f"a.jpg,train,cat,1,2,30,20\nb.jpg,train,cat,{box}"
    with pytest.raises(ValueError, match=f"list.csv:2: .*{message}"):
        read(tmp_path, rows, size_source="file")
    dataset = LocListDataset(tmp_path, "list.csv", size_source="file", on_error="skip")
    assert len(dataset) == 1 and dataset.problems.count == 1


@pytest.mark.parametrize(
    ("box_format", "box", "message"),
    [
        ("xywh", "1,2,0,5", "no width or height"),
        ("xywh", "1,2,-3,5", "no width or height"),
        ("xywh", "0.1,0.1,0.5,0.9", "fractions"),
        ("cxcywh_norm", "10,20,30,40", "not in fractions"),
        ("xyxy_norm", "0.1,0.2,0.5,1.2", "not in fractions"),
        ("cxcywh_norm", "0.9,0.5,0.5,0.5", "outside"),
    ],
)
def test_impossible_boxes_of_other_formats(tmp_path, box_format, box, message):
    layouts.write_image(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=f"list.csv:1: .*{message}"):
        read(tmp_path, f"a.jpg,train,cat,{box}", box_format=box_format)


def test_corners_in_fractions(tmp_path):
    layouts.write_image(tmp_path / "a.jpg")
    found = read(tmp_path, "a.jpg,train,cat,0.25,0.5,0.75,1", box_format="xyxy_norm")
    assert found[1] == [[[10, 15, 30, 30]]]


def test_boxes_are_judged_when_the_image_is_opened(tmp_path):
    layouts.write_image(tmp_path / "a.jpg")
    layouts.write_image(tmp_path / "b.jpg")
    (tmp_path / "list.csv").write_text("a.jpg,train,cat,1,2,41,20\nb.jpg,train,cat,1,2,40,30")
    with pytest.raises(UnreadableImageError, match="a.jpg' is 40x30 .*lies outside it in part"):
        LocListDataset(tmp_path, "list.csv", pipeline=LOAD)[0]
    skipping = LocListDataset(tmp_path, "list.csv", pipeline=LOAD, on_error="skip")
    assert skipping[0]["data_samples"].img_id == "b.jpg" and skipping.num_replaced


def test_boxes_of_own_items():
    class Mine(BaseLocDataset):
        METAINFO = dict(classes=("a",))
        item: dict = {}

        def load_data_list(self):
            return [dict(img_path="x.png", gt_label=0) | self.item]

    for boxes in ([[1, 2, 3]], [["a", 2, 3, 4]], [[1, 2], [3, 4]], {}, [[1, 2, 1e39, 4]], [[np.nan] * 4]):
        Mine.item = dict(gt_bboxes_ori=boxes)
        with pytest.raises(ValueError, match="image 'x.png'"):
            Mine()
    for item in (dict(gt_label=True), dict(gt_label="0"), dict(gt_label=10**12), dict(img_path=None)):
        Mine.item = item
        with pytest.raises(ValueError):
            Mine()


# ---- turned photographs -----------------------------------------------------------------------------


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(path, exif=exif)


def test_turned_photographs_name_the_option(tmp_path):
    turned(tmp_path / "a.jpg")
    rows = "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,30,40,cat,1,2,29,39"
    (tmp_path / "list.csv").write_text(rows)
    with pytest.raises(ValueError, match="is 40x30 but the list says 30x40.*color_type='color'"):
        LocListDataset(tmp_path, "list.csv", pipeline=LOAD)[0]
    with pytest.raises(ValueError, match="the file is 40x30, the list says 30x40.*color_type='color'"):
        LocListDataset(tmp_path, "list.csv", check_images=True)
    upright = [dict(LOAD[0], color_type="color"), LOAD[1]]
    for options in (dict(check_images=True), dict(size_source="file")):
        dataset = LocListDataset(tmp_path, "list.csv", pipeline=upright, **options)
        assert dataset[0]["data_samples"].ori_shape == (40, 30)
    (tmp_path / "list.csv").write_text("a.jpg,,cat,1,2,29,39")
    with pytest.raises(ValueError, match="outside it in part.*color_type='color'"):
        LocListDataset(tmp_path, "list.csv", pipeline=LOAD)[0]


# ---- folders --------------------------------------------------------------------------------------


def test_system_folders_are_no_classes(tmp_path):
    for name in (".ipynb_checkpoints", "@eaDir", "__MACOSX", "cat", "dog", "$RECYCLE.BIN", "cat/@eaDir"):
        layouts.write_image(tmp_path / name / "1.jpg")
    for name in ("Thumbs.db", ".DS_Store", "cat/._1.jpg", "cat/readme.md", "cat/x.heic"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    messages = []
    MMLogger.get_current_instance().addFilter(lambda record: messages.append(record.getMessage()) or True)
    dataset = LocListDataset(tmp_path)
    assert dataset.metainfo["classes"] == ("cat", "dog") and len(dataset) == 2
    (message,) = [text for text in messages if "left out" in text]
    assert "8 hidden or system" in message and ".heic 1" in message and "'empty'" in message


@pytest.mark.parametrize("ending", ["jfif", "gif", "avif", "jp2", "tif", "webp", "JPE", "bmp", "qoi", "tga"])
def test_every_readable_picture_counts(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.new("RGB", (40, 30), (200, 10, 10)).save(path, {"jfif": "JPEG", "JPE": "JPEG"}.get(ending))
    assert list_images(str(tmp_path)) == [path.name]
    assert LoadImage()(dict(img_path=str(path)))["img"].shape == (30, 40, 3)


def test_loops_of_links(tmp_path):
    layouts.write_image(tmp_path / "cat" / "1.jpg")
    layouts.write_image(tmp_path / "elsewhere" / "2.jpg")
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat")
    (tmp_path / "cat" / "self").symlink_to("self")
    root = tmp_path / "root"
    root.mkdir()
    (root / "cat").symlink_to(tmp_path / "cat")
    (root / "a_link").symlink_to(tmp_path / "elsewhere")
    (root / "z_link").symlink_to(tmp_path / "elsewhere")
    assert list_images(str(root)) == ["a_link/2.jpg", "cat/1.jpg"]
    os.mkfifo(root / "pipe.jpg")
    assert list_images(str(root)) == ["a_link/2.jpg", "cat/1.jpg"]  # opening it would never end


# ---- tables ---------------------------------------------------------------------------------------

BOX = [[[10, 4, 30, 20]]]
TABLES = {
    "raccoon": "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,40,30,cat,10,4,30,20\n",
    "BCCD": "filename,cell_type,xmin,xmax,ymin,ymax\na.jpg,cat,10,30,4,20\n",
    "DeepForest": "image_path,xmin,ymin,xmax,ymax,label\na.jpg,10,4,30,20,cat\n",
    "keras-retinanet": "a.jpg,10,4,30,20,cat\n",
    "keras-retinanet with header": "path,x1,y1,x2,y2,class\na.jpg,10,4,30,20,cat\n",
    "corner and size": "path,label,x,y,w,h\na.jpg,cat,10,4,20,16\n",
    "corner and width": "image,x,y,width,height,class\na.jpg,10,4,20,16,cat\n",
    "size of image and box": "filename,width,height,class,x,y,w,h\na.jpg,40,30,cat,10,4,20,16\n",
    "semicolon": "path;split;label;x0;y0;x1;y1\na.jpg;train;cat;10;4;30;20\n",
    "semicolon without header": "a.jpg;train;cat;10;4;30;20\n",
    "tab": "Path\tSplit\tLabel\tX0\tY0\tX1\tY1\na.jpg\ttrain\tcat\t10\t4\t30\t20\n",
    "index of pandas": ",path,split,label,x0,y0,x1,y1\n0,a.jpg,train,cat,10.0,4.0,30.0,20.0\n",
    "named index": "Unnamed: 0,path,split,label,x0,y0,x1,y1\n0,a.jpg,train,cat,10,4,30,20\n",
    "index without header": "0,a.jpg,train,cat,10,4,30,20\n",
    "columns that are not used": "id,path,label,confidence,xmin,ymin,xmax,ymax\n7,a.jpg,cat,0.5,10,4,30,20\n",
    "separator at the end": "path,label,xmin,ymin,xmax,ymax,\na.jpg,cat,10,4,30,20,\n",
    "backslashes": "path,split,label,x0,y0,x1,y1\n.\\a.jpg,train,cat,10,4,30,20\n",
    "quotes": '"path","split","label","x0","y0","x1","y1"\n"a.jpg","train","cat","10","4","30","20"\n',
    "old Mac": "path,split,label,x0,y0,x1,y1\ra.jpg,train,cat,10,4,30,20\r",
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_people(tmp_path, name, encoding):
    labels, boxes, classes = read(tmp_path, TABLES[name].encode(encoding))
    assert (labels, boxes, classes) == ([0], BOX, ("cat",))


def test_cells_of_pandas_without_a_box(tmp_path):
    rows = "path,split,label,x0,y0,x1,y1\na.jpg,train,0.0,nan,nan,nan,nan\nb.jpg,train,1.0,10.0,4.0,30.0,20.0\n"
    assert read(tmp_path, rows)[:2] == ([0, 1], [[], *BOX])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.csv' is empty"),
        ("path,split,label,x0,y0,x1,y1\n", "list.csv' has a header and no rows"),
        ("path,label,left,oben,xmax,ymax\na.jpg,cat,1,2,3,4\n", r"list.csv:1: unknown column\(s\) 'oben'"),
        ("path,split,label,bbox\na.jpg,train,cat,x\n", "unknown column.*'bbox'"),
        ("filename,cat,dog\na.jpg,0,1\n", "list.csv:2|unknown"),
        ("filename,height,cat,dog\na.jpg,30,0,1\n", r"unknown column.*one column a class"),
        ("datei,teil,klasse\na.jpg,train,cat\n", "header with unknown columns"),
        ("path,xmin,ymin,xmax,ymax\na.jpg,1,2,3,4\n", "no column for the label"),
        ("label,xmin,ymin,xmax,ymax\ncat,1,2,3,4\n", "no column for the path"),
        ("path,label,class,x,y,w,h\na.jpg,cat,cat,1,2,3,4\n", "both the label"),
        ("path,label,xmin,ymin\na.jpg,cat,1,2\n", "the columns of boxes, xmin, ymin, must be"),
        ("path,label,cx,cy,w,h\na.jpg,cat,1,2,3,4\n", "centers of boxes.*cxcywh_norm"),
        ("width,height,path,label,xmin,ymin\n9,9,a.jpg,cat,1,2\n", "the columns of boxes"),
        ("a.jpg,3,10,20,100,200\n", "6 columns and no header"),
        ("a.jpg cat 1 2 3 4\n", "list.csv:1: expected 'path,split,label"),
        ('a.jpg,train,cat\n"b.jpg,train,cat\nc.jpg,train,cat\n', "a quotation mark is not closed"),
        ("path,label,width,height\na.jpg,cat,40,x\n", "size of image 'a.jpg' must be"),
        ("path,split,label\n,train,cat\n", "no path of an image"),
        ("a.jpg\0,train,cat\n", "zero bytes"),
    ],
)
def test_tables_that_have_no_one_meaning(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_header_and_box_format_agree(tmp_path):
    with pytest.raises(ValueError, match="are xywh, box_format='xyxy' is not"):
        read(tmp_path, TABLES["corner and size"], box_format="xyxy")
    with pytest.raises(ValueError, match="are xyxy, box_format='xywh' is not"):
        read(tmp_path, TABLES["raccoon"], box_format="xywh")


def test_lines_in_another_encoding(tmp_path):
    rows = "a.jpg,train,cat\n\xe9.jpg,train,cat\n".encode("latin-1")
    with pytest.raises(ValueError, match="list.csv:2: the row is not UTF-8"):
        read(tmp_path, rows)
    assert read(tmp_path, rows, on_error="skip")[0] == [0]
    root = layouts.cub(tmp_path / "cub")
    (root / "images.txt").write_bytes((root / "images.txt").read_bytes() + b"9 \xe9.jpg\n")
    with pytest.raises(ValueError, match="images.txt:5: the line is not UTF-8"):
        CUB(root)
    assert len(CUB(root, on_error="skip")) == 2


def test_splits_are_never_ignored(tmp_path):
    layouts.coco(tmp_path)
    layouts.wsol(tmp_path / "lists", ["c.jpg"], [0], [], [])
    for kwargs in (dict(ann_file="list.json"), dict(ann_file="lists"), dict()):
        with pytest.raises(ValueError, match="'?val'?.*leave split out|Leave split out"):
            LocListDataset(tmp_path, split="val", **kwargs)
    with pytest.raises(ValueError, match="lists no splits, so none is 'val'"):
        read(tmp_path, TABLES["raccoon"], split="val")


# ---- COCO, VOC, YOLO --------------------------------------------------------------------------------


def test_coco_with_a_root_category(tmp_path):
    def change(content):
        for category in content["categories"]:
            category["supercategory"] = "pets"
        content["categories"].append(dict(id=0, name="pets", supercategory="none"))

    layouts.coco(tmp_path, change)
    dataset = LocListDataset(tmp_path, "list.json")
    assert dataset.metainfo["classes"] == ("cat", "dog") and dataset.get_data_info(0)["gt_label"] == 1


def test_coco_ids_as_text_crowds_and_null(tmp_path):
    def change(content):
        for image in content["images"]:
            image["id"] = str(image["id"])
        content["annotations"][0].update(iscrowd=1)
        content["annotations"][2].update(bbox=None)

    layouts.coco(tmp_path, change)
    dataset = LocListDataset(tmp_path, "list.json")
    boxes = [dataset.get_data_info(i)["gt_bboxes_ori"].tolist() for i in range(3)]
    assert boxes == [[[3, 4, 8, 10]], [], []] and dataset.get_data_info(1)["gt_label"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"][1].update(id=5), "image id 5: the id is that of 'a.jpg' and of 'b.jpg'"),
        (lambda c: c["images"][1].update(file_name="a.jpg"), "'a.jpg' is listed twice"),
        (lambda c: c["categories"][1].update(id=7), "category id 7 is that of 'dog' and of 'cat'"),
        (lambda c: c["categories"][1].update(name="dog"), "'dog' has the ids 3, 7|'dog' has the ids 7, 3"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), "annotation id 1: a box is four finite numbers"),
        (lambda c: c["annotations"][0].update(bbox={"x": 1}), "annotation id 1: a bbox is a list"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 0, 0]), "no width or height"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, float("nan"), 4]), "four finite numbers"),
        (lambda c: c["images"][0].update(width=None), "width and height must be"),
        (lambda c: c["images"][0].update(width="x"), "width and height must be"),
        (lambda c: c["images"][0].update(label=[]), "is neither id nor name"),
        (lambda c: c["images"][0].pop("file_name"), "needs an id and a file_name"),
        (lambda c: c.update(images=None), "no list 'images'"),
        (lambda c: c.update(annotations=[3]), "no list 'annotations'"),
    ],
)
def test_coco_faults(tmp_path, change, message):
    layouts.coco(tmp_path, change)
    with pytest.raises(ValueError, match=message):
        LocListDataset(tmp_path, "list.json")
    if "no list" not in message and "category id" not in message:
        assert 1 <= len(LocListDataset(tmp_path, "list.json", on_error="skip")) <= 3


def test_json_that_is_none(tmp_path):
    for text in ("[]", "3", "[" * 100000, '{"images": [], "categories": []'):
        (tmp_path / "list.json").write_text(text)
        with pytest.raises(ValueError, match="list.json' is not COCO json"):
            LocListDataset(tmp_path, "list.json")
    for content in ([], dict(metainfo={}), dict(metainfo={}, data_list=[3]), dict(metainfo=[], data_list=[])):
        (tmp_path / "mm.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match="mm.json' is no annotation file of OpenMMLab"):
            BaseLocDataset(tmp_path, "mm.json")


def test_voc_endings_encodings_and_sizes(tmp_path):
    text = (
        '<?xml version="1.0" encoding="{}"?><annotation>{}<object><name>猫</name><bndbox><xmin>10</xmin><ymin>4</ymin>'
    )
    text += "<xmax>30</xmax><ymax>20</ymax></bndbox></object></annotation>"
    zero = "<size><width>0</width><height>0</height></size>"
    contents = {
        "a.XML": text.format("gbk", "").encode("gbk"),
        "b.xml": text.format("utf-8", zero).encode(),
        "c.Xml": b"\n " + text.format("utf-8", "").encode(),
        "d.xml": text.format("utf-16", "").encode("utf-16"),
    }
    for name, content in contents.items():
        layouts.write_image(tmp_path / "img" / f"{name[0]}.jpg")
        (tmp_path / "xml").mkdir(exist_ok=True)
        (tmp_path / "xml" / name).write_bytes(content)
    dataset = LocListDataset(tmp_path, "xml", data_prefix="img")
    assert dataset.metainfo["classes"] == ("猫",) and len(dataset) == 4
    assert all(dataset.get_data_info(i)["gt_bboxes_ori"].tolist() == BOX[0] for i in range(4))


@pytest.mark.parametrize(
    "content",
    [b"", b"<html></html>", b"<annotation>", b'<?xml version="1.0" encoding="nope"?><annotation/>', b"\xff\xfe\x00"],
)
def test_voc_that_is_none(tmp_path, content):
    layouts.voc_folders(tmp_path)
    (tmp_path / "annotations" / "crazing_2.xml").write_bytes(content)
    with pytest.raises(ValueError, match="crazing_2.xml: not a PASCAL VOC xml"):
        LocListDataset(tmp_path, "annotations", data_prefix="images")
    assert len(LocListDataset(tmp_path, "annotations", data_prefix="images", on_error="skip")) == 3


def test_yolo_that_is_no_text(tmp_path):
    layouts.yolo_folders(tmp_path)
    (tmp_path / "Train" / "Glioma" / "labels" / "gg (1).txt").write_bytes(b"\xff\x00\x01")
    with pytest.raises(ValueError, match=r"gg \(1\).txt.*not UTF-8"):
        LocListDataset(tmp_path, "Train", data_prefix="Train")
    assert len(LocListDataset(tmp_path, "Train", data_prefix="Train", on_error="skip")) == 3


# ---- duplicates -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt"])
def test_cub_lines_twice(tmp_path, name):
    root = layouts.cub(tmp_path)
    lines = (root / name).read_text().splitlines()
    layouts.write_lines(root / name, [*lines, re.sub(" [^ ]+$", " 2", lines[0])])
    with pytest.raises(ValueError, match=f"{name}:5: image id 1 is listed twice"):
        CUB(root)
    assert len(CUB(root, on_error="skip")) == 1


def test_tiny_imagenet_lines_twice(tmp_path):
    root = layouts.tiny_folders(tmp_path / "f")
    line = (root / "val_boxes.txt").read_text().splitlines()[0]
    layouts.write_lines(root / "val_boxes.txt", [line, line])
    with pytest.raises(ValueError, match="val_boxes.txt:2: image .* is listed twice"):
        TinyImageNet(root, "val")
    root = layouts.tiny_public(tmp_path / "p")
    lines = (root / "val" / "val_annotations.txt").read_text().splitlines()
    layouts.write_lines(root / "val" / "val_annotations.txt", [*lines, lines[0].replace(*layouts.WNIDS[:2])])
    with pytest.raises(ValueError, match="val_annotations.txt:3: image .* is listed twice"):
        TinyImageNet(root, "val")
    layouts.write_lines(root / "wnids.txt", [layouts.WNIDS[0]] * 2)
    with pytest.raises(ValueError, match="wnids.txt:2: class .* is listed twice"):
        TinyImageNet(root, "train")


# ---- images ---------------------------------------------------------------------------------------


def bomb(path, width=20000, height=10000):
    """Write a black picture of 200 megapixels into 200 kB."""
    Image.new("1", (width, height)).save(path)


def test_large_images_name_the_option(tmp_path):
    bomb(tmp_path / "a.png")
    with pytest.raises(UnreadableImageError, match=r"20000x10000 .*200,000,000 pixels.*max_pixels=N"):
        LoadImage()(dict(img_path=str(tmp_path / "a.png")))
    (tmp_path / "list.csv").write_text("a.png,train,cat,1,2,3,4")
    with pytest.raises(ValueError, match="max_pixels=N"):
        LocListDataset(tmp_path, "list.csv", check_images=True)
    assert len(LocListDataset(tmp_path, "list.csv", size_source="file")) == 1  # the header only
    layouts.write_image(tmp_path / "b.png", (50, 40))
    content = (tmp_path / "b.png").read_bytes()
    assert decode_image(content, "b", max_pixels=2000).shape == (40, 50, 3)
    with pytest.raises(UnreadableImageError, match="more than 1,999"):
        decode_image(content, "b", max_pixels=1999)


def test_slivers_load(tmp_path):
    path = layouts.write_image(tmp_path / "a.png", (1, 30000))
    assert LoadImage()(dict(img_path=str(path)))["img"].shape == (30000, 1, 3)


def test_names_that_no_file_can_have(tmp_path):
    layouts.write_image(tmp_path / "b.jpg")
    (tmp_path / "list.csv").write_text(f"{'a' * 300}.jpg,train,cat\nb.jpg,train,cat\n")
    with pytest.raises(ValueError, match="a.jpg' cannot be read.*too long"):
        LocListDataset(tmp_path, "list.csv", check_images=True)
    with pytest.raises(UnreadableImageError, match="cannot be read"):
        LocListDataset(tmp_path, "list.csv", pipeline=LOAD)[0]
    skipping = LocListDataset(tmp_path, "list.csv", pipeline=LOAD, on_error="skip")
    assert skipping[0]["data_samples"].img_id == "b.jpg"
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("pipe.jpg", "/dev/zero"):
        (tmp_path / "list.csv").write_text(f"{name},train,cat\n")
        with pytest.raises(ValueError, match="is no file"):
            LocListDataset(tmp_path, "list.csv", check_images=True)
        with pytest.raises(FileNotFoundError, match="does not exist"):
            LocListDataset(tmp_path, "list.csv", pipeline=LOAD)[0]


def test_names_that_are_no_text(tmp_path):
    folder = os.fsencode(tmp_path / "cat")
    os.makedirs(folder)
    Image.new("RGB", (40, 30)).save(tmp_path / "x.png")
    os.rename(os.fsencode(tmp_path / "x.png"), folder + b"/caf\xe9.png")
    dataset = LocListDataset(tmp_path, pipeline=LOAD, check_images=True)
    assert dataset[0]["inputs"].shape == (3, 30, 40)
    with open(folder + b"/bad\xe9.png", "wb"):
        pass
    with pytest.raises(ValueError, match=r"bad\\udce9.png' is empty") as error:
        LocListDataset(tmp_path, check_images=True)
    str(error.value).encode()  # any file or console in UTF-8 takes it


def test_images_that_do_not_exist_are_named(tmp_path):
    (tmp_path / "list.csv").write_text("".join(f"{n}.jpg,train,cat\n" for n in range(9)))
    with pytest.raises(ValueError, match=r"9 bad record\(s\)(.|\n)*0.jpg' does not exist(.|\n)*and 4 more"):
        LocListDataset(tmp_path, "list.csv", check_images=True)
