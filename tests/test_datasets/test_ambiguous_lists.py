"""Lists that can be read in several ways: the one that is meant, or an error."""

from __future__ import annotations

import layouts
import pytest

from mmwsol.datasets import LocListDataset


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
