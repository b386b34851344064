"""Tables that have one meaning, which the reader finds, and the messages for those that have none."""

from __future__ import annotations

import layouts
import pytest

from mmwsol.datasets import LocListDataset
from mmwsol.datasets.records import clean_path, parse_box, parse_number


def read(tmp_path, content, name="list.csv", **kwargs):
    (tmp_path / name).write_text(content)
    dataset = LocListDataset(tmp_path, name, **kwargs)
    found = [dataset.get_data_info(i) for i in range(len(dataset))]
    return {
        item["img_id"]: (dataset.metainfo["classes"][item["gt_label"]], item["gt_bboxes_ori"].tolist())
        for item in found
    }


ROW = "a.jpg,train,cat,10,4,30,20\n"
TABLES = {
    "line of Excel": "sep=;\npath;split;label;x0;y0;x1;y1\na.jpg;train;cat;10;4;30;20\n",
    "quoted line of Excel": '"sep=,"\n' + ROW,
    "units": "path,label,xmin (px),ymin (px),xmax(pixels),ymax [px]\na.jpg,cat,10,4,30,20\n",
    "units without blank": "path,label,x0[px],y0[px],x1[px],y1[px]\na.jpg,cat,10,4,30,20\n",
    "decimal commas": "a.jpg;train;cat;10,0;4,0;30,0;20,0\n",
    "quoted decimal commas": 'a.jpg,train,cat,"10,0","4,0","30,0","20,0"\n',
    "number of the image": "filename,image_id,class,xmin,ymin,xmax,ymax\na.jpg,7,cat,10,4,30,20\n",
    "number of the class": "image_id,filename,class_id,class_name,xmin,ymin,xmax,ymax\n7,a.jpg,1,cat,10,4,30,20\n",
    "index of a filtered table": "3,a.jpg,train,cat,10,4,30,20\n7,b.jpg,train,cat,10,4,30,20\n",
    "tabs at the end": "path\tlabel\tx0\ty0\tx1\ty1\na.jpg\tcat\t10\t4\t30\t20\t\t\n",
    "commas at the end": "a.jpg,train,cat,10,4,30,20,,,,\n",
    "commas up to six": "a.jpg,train,cat,,,\nb.jpg,train,cat,,,\n",
    "header twice": f"path,split,label,x0,y0,x1,y1\n{ROW}path,split,label,x0,y0,x1,y1\nb.jpg,train,cat\n",
    "dots": ".//a.jpg,train,cat,10,4,30,20\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_with_one_meaning(tmp_path, name):
    boxes = [] if name == "commas up to six" else [[10, 4, 30, 20]]
    assert read(tmp_path, TABLES[name])["a.jpg"] == ("cat", boxes)


@pytest.mark.parametrize("separator", ["\t", ";"])
@pytest.mark.parametrize("box", ["", "10 4 30 20"])
def test_labels_with_commas_in_other_separators(tmp_path, separator, box):
    label = "brambling, Fringilla, F. montifringilla, finch, bird, small, bird"
    fields = ["a.jpg", "train", label, *box.split()]
    boxes = [[10, 4, 30, 20]] if box else []
    assert read(tmp_path, separator.join(fields)) == {"a.jpg": (label, boxes)}


def test_corner_and_size_in_fractions(tmp_path):
    layouts.write_image(tmp_path / "a.jpg")
    table = "path,label,left,top,width,height\na.jpg,cat,0.25,0.5,0.5,0.5\n"
    assert read(tmp_path, table, box_format="xywh_norm")["a.jpg"][1] == [[10, 15, 30, 30]]
    with pytest.raises(ValueError, match="list.csv:2: .*fractions of the image.*'xywh_norm'"):
        read(tmp_path, table)


def test_numbers():
    assert [parse_number(text) for text in ("1,5", "0,125", "-,5", "1.5", "1,2345")] == [1.5, 0.125, -0.5, 1.5, 1.2345]
    assert [parse_number(text) for text in ("1,500", "12,125", "1_0", "1,5,0", "", "x", "1.5,0")] == [None] * 7
    assert parse_box(["1,5", "2", "3", "4"]) == (1.5, 2, 3, 4) and parse_box(["1,5", "x", "2", "3", "4"]) is None


def test_paths():
    for text in (".//a.jpg", "././a.jpg", ".\\a.jpg", "./a.jpg", "a.jpg"):
        assert clean_path(text) == "a.jpg"
    assert clean_path("b//a.jpg") == "b/a.jpg" and clean_path("/b/a.jpg") == "/b/a.jpg"
    assert clean_path("s3://b//a.jpg") == "s3://b//a.jpg" and clean_path("\\\\nas\\a.jpg") == "//nas/a.jpg"


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('path,split,label\n"a.jpg,train,cat\n', "list.csv:2: a quotation mark is not closed"),
        ('"a.jpg,train,cat\nb.jpg,train,cat\n', "list.csv:2: a quotation mark is not closed"),
        ("a.jpg~train~cat\nb.jpg~train~cat\n", "list.csv:1: expected .*comma, semicolon, tab or '|'"),
        ("path split label\na.jpg train cat\n", "list.csv:1: expected .*nothing separates the fields of 'path split"),
        ("My list\npath,split,label\na.jpg,train,cat\n", "list.csv:2: the header is not in the first line.*'My list'"),
        ("# of 2026, v2\n\npath,split,label\na.jpg,train,cat\n", "list.csv:3: the header is not in the first line"),
        (
            "path,split,label\na.jpg,train,cat\npath,label,split\nb.jpg,cat,train\n",
            "list.csv:3: a header among the rows",
        ),
        (f"{ROW * 9}path,split,label\nb.jpg,train,cat\n", "list.csv:10: a header among the rows"),
        (LFS, "list.csv' is a pointer of git-lfs.*git lfs pull"),
        ("a.jpg,train,cat\nb.jpg,train,\n", "list.csv:2: image 'b.jpg' has no label"),
        ("path,class,label\na.jpg,cat,dog\n", "columns 'class' and 'label' are both the label"),
        ("filename,image_id,class\na.jpg,b.jpg,dog\n", "columns 'filename' and 'image_id' are both the path"),
        ("a.jpg;train;cat;1,500;2;1,900;4\n", "four finite numbers"),
    ],
)
def test_messages(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, text)
    assert len(str(error.value).splitlines()) <= 3  # one message, however many rows


def test_pointers_of_git_lfs(tmp_path):
    (tmp_path / "list.json").write_text(LFS)
    with pytest.raises(ValueError, match="git lfs pull"):
        LocListDataset(tmp_path, "list.json")
