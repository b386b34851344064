"""What ``mmwsol new`` finds in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from own_data import BOX, CLASSES, coco, table, voc, write_images, write_split, yolo

from mmwsol.datasets import LocListDataset
from mmwsol.new_config import look_at
from mmwsol.new_config.folder import list_text

HEADER = "path,split,label,x0,y0,x1,y1\n"


def names(part):
    return sorted("/".join(Path(item["img_path"]).parts[-2:]) for item in part.items)


def read(found, part):
    """Read a split by its arguments, as a config does."""
    return LocListDataset(data_root=str(found.root), metainfo=dict(classes=found.classes), **part.options)


def in_root(root, paths):
    (root / "boxes.csv").write_text(HEADER + table(paths, "val"))


def in_split(root, paths):
    (root / "val" / "boxes.csv").write_text(table([path.removeprefix("val/") for path in paths], "val"))


def as_coco(root, paths):
    (root / "annotations").mkdir()
    (root / "annotations" / "val.json").write_text(coco([path.removeprefix("val/") for path in paths]))


def as_voc(root, paths):
    for path in paths:
        (root / path).with_suffix(".xml").write_text(voc().replace("cat", path.split("/")[1]))


def as_yolo(root, paths):
    for path in paths:
        file = (root / "labels" / path).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yolo())


@pytest.mark.parametrize(
    ("write", "where"),
    [
        (in_root, "boxes.csv"),
        (in_split, "val/boxes.csv"),
        (as_coco, "annotations/val.json"),
        (as_voc, "val"),
        (as_yolo, "labels/val"),
    ],
)
def test_every_form_of_boxes(tmp_path, write, where):
    write(tmp_path, write_split(tmp_path))
    found = look_at(tmp_path)
    assert found.classes == CLASSES
    assert (found.train.counts(CLASSES), found.val.counts(CLASSES)) == ([3, 3], [2, 2])
    assert (found.train.num_boxes, found.val.num_boxes, found.val.boxes_in) == (0, 4, where)
    assert found.test is None and not found.held_out
    assert found.smallest[0] == found.largest[0] == (120, 90)
    for item in read(found, found.val):
        np.testing.assert_allclose(item["gt_bboxes_ori"], [BOX], atol=0.01)


@pytest.mark.parametrize("name", ["valid", "Validation", "val"])
def test_no_boxes(tmp_path, name):
    write_split(tmp_path, name)
    found = look_at(tmp_path)
    assert found.val.options == dict(data_prefix=name)
    assert found.val.num_boxes == 0 and len(read(found, found.val)) == 4


def test_boxes_of_the_test_images_alone(tmp_path):
    write_split(tmp_path)
    tested = [f"test/{path}" for path in write_images(tmp_path / "test", 1, start=20)]
    (tmp_path / "boxes.csv").write_text(HEADER + table(tested, "test"))
    found = look_at(tmp_path)
    assert (found.val.num_boxes, found.test.num_boxes) == (0, 2)
    assert len(read(found, found.val)) == 4


def test_a_folder_without_splits_holds_images_out(tmp_path):
    write_images(tmp_path, 10)
    found = look_at(tmp_path)
    assert found.held_out
    assert (found.train.counts(CLASSES), found.val.counts(CLASSES)) == ([8, 8], [2, 2])
    assert not set(names(found.train)) & set(names(found.val))
    assert names(look_at(tmp_path).val) == names(found.val)  # the same ones each time
    (tmp_path / "list.csv").write_text(list_text(found))
    for part in (found.train, found.val):
        part.options["ann_file"] = "list.csv"
        assert sorted(item["img_path"] for item in read(found, part)) == sorted(i["img_path"] for i in part.items)


def test_images_with_boxes_are_those_held_out(tmp_path):
    paths = write_images(tmp_path / "images", 10)
    (tmp_path / "boxes.csv").write_text("path,label,x0,y0,x1,y1\n" + table(paths[2:5] + paths[10:]).replace(",,", ","))
    found = look_at(tmp_path)
    assert names(found.val)[:3] == ["cat/2.jpg", "cat/3.jpg", "cat/4.jpg"]
    assert found.val.counts(CLASSES) == [3, 5]  # all dogs have boxes: half of them stay for training
    assert found.val.num_boxes == 8
    (tmp_path / "list.csv").write_text(list_text(found))
    found.val.options["ann_file"] = "list.csv"
    assert all(item["gt_bboxes_ori"].tolist() == [list(BOX)] for item in read(found, found.val))


def test_train_and_test_alone(tmp_path):
    write_split(tmp_path, "test")
    found = look_at(tmp_path)
    assert found.held_out and found.val.counts(CLASSES) == [1, 1]
    assert found.test.options == dict(data_prefix="test")


def test_a_table_with_all_splits(tmp_path):
    paths = write_images(tmp_path / "photos", 4)
    paths = [f"photos/{path}" for path in paths]
    (tmp_path / "all.csv").write_text(HEADER + table(paths[:6], "train") + table(paths[6:], "val"))
    found = look_at(tmp_path)
    assert found.train.options == dict(ann_file="all.csv", split="train")
    assert (len(found.train.items), len(found.val.items), found.val.num_boxes) == (6, 2, 2)


def test_several_files_with_boxes(tmp_path):
    paths = write_split(tmp_path)
    in_root(tmp_path, paths)
    as_coco(tmp_path, paths)
    with pytest.raises(ValueError, match=r"annotations/val.json and in boxes.csv: say which by --boxes"):
        look_at(tmp_path)
    assert look_at(tmp_path, "boxes.csv").val.boxes_in == "boxes.csv"
    assert look_at(tmp_path, "none").val.num_boxes == 0


def test_a_list_of_training_images_is_not_taken_for_val(tmp_path):
    paths = write_split(tmp_path)
    (tmp_path / "boxes.csv").write_text(
        "path,label,x0,y0,x1,y1\n" + table([*paths, "train/cat/0.jpg"]).replace(",,", ",")
    )
    with pytest.raises(ValueError, match="lists images of train and of val: write a column"):
        look_at(tmp_path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("val/cat/10.jpg,val,cat,30,20,10,60\n", "boxes.csv"),
        ("val/cat/10.jpg,val,cow,30,20,80,60\n", "unknown class 'cow'"),
        (
            "val/cat/nine.jpg,val,cat,30,20,80,60\nval/cat/10.jpg,val,cat,30,20,80,60\n",
            "nine.jpg' is not among the images",
        ),
    ],
)
def test_wrong_boxes_are_errors(tmp_path, lines, message):
    write_split(tmp_path)
    (tmp_path / "boxes.csv").write_text(HEADER + lines)
    with pytest.raises(ValueError, match=message) as error:
        look_at(tmp_path)
    assert "--boxes none" in str(error.value)
    assert look_at(tmp_path, "none").val.num_boxes == 0


def test_wrong_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        look_at(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no folders of images"):
        look_at(tmp_path)
    write_images(tmp_path / "val", 1)
    with pytest.raises(ValueError, match="no 'train'"):
        look_at(tmp_path)
    write_images(tmp_path / "valid", 1)
    with pytest.raises(ValueError, match="several folders of one split, val, valid"):
        look_at(tmp_path)
    with pytest.raises(FileNotFoundError, match="--boxes 'x.csv'"):
        look_at(tmp_path, "x.csv")
    (tmp_path / "one").mkdir()
    write_images(tmp_path / "one", 1)
    with pytest.raises(ValueError, match="no class has two images"):
        look_at(tmp_path / "one")


def test_images_that_cannot_be_read(tmp_path):
    write_split(tmp_path)
    (tmp_path / "train/cat/broken.jpg").write_text("no image")
    found = look_at(tmp_path)
    assert len(found.unreadable) == 1 and "broken.jpg" in found.unreadable[0]
    assert any("fewer than 10" in note for note in found.notes)


@pytest.mark.parametrize("name", ["train", "test", "val", "dev"])
def test_classes_called_like_splits(tmp_path, name):
    """A folder is a split only if it holds folders of images."""
    write_images(tmp_path, 5)
    (tmp_path / "cat").rename(tmp_path / name)
    assert look_at(tmp_path).classes == tuple(sorted((name, "dog")))
    (tmp_path / "dog").rename(tmp_path / "valid")
    with pytest.raises(ValueError, match=f"If '({name}|valid)' is a class, put all classes into '.*/train'"):
        look_at(tmp_path)
    write_images(tmp_path / "testing", 2)
    with pytest.raises(
        ValueError, match="has no folders of images, .* If .* is a class, put all classes into '.*/train'"
    ):
        look_at(tmp_path)


def test_a_class_of_one_image_stays_for_training(tmp_path):
    write_images(tmp_path, 4)
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        (tmp_path / "cat" / "0.jpg").rename(tmp_path / name / "0.jpg")
        write_images(tmp_path, 1)
    found = look_at(tmp_path)
    assert found.train.counts(found.classes) == [1, 1, 3, 3] and found.val.counts(found.classes) == [0, 0, 1, 1]
    assert any("one image" in note and "ant, bee" in note for note in found.notes)


def test_boxes_of_the_list_are_those_that_were_read(tmp_path):
    write_images(tmp_path, 2)
    rows = "".join(f"{name}/0.jpg,{name},0.123456,1.1,100.33333,{80 + 1 / 3}\n" for name in CLASSES)
    (tmp_path / "boxes.csv").write_text("path,label,x0,y0,x1,y1\n" + rows)
    found = look_at(tmp_path)
    text = list_text(found)
    assert ",0.123456,1.1,100.33333," in text
    (tmp_path / "list.csv").write_text(text)
    found.val.options["ann_file"] = "list.csv"
    for item, other in zip(read(found, found.val), found.val.items, strict=True):
        np.testing.assert_array_equal(item["gt_bboxes_ori"], other["gt_bboxes_ori"])


def test_boxes_outside_the_image(tmp_path):
    """Said at once, not after an epoch of training."""
    first = write_split(tmp_path)[0]
    (tmp_path / "val.csv").write_text(f"{HEADER}{first},val,{Path(first).parts[1]},1,1,400,20\n")
    with pytest.raises(ValueError, match=r"'.*val.csv': box \(1, 1, 400, 20\) of image '.*' is outside its image of"):
        look_at(tmp_path)
