"""Which split the boxes are of that ``mmwsol new`` finds."""

from __future__ import annotations

import json

import pytest
from own_data import coco, table, voc, write_images, write_split

from mmwsol.new_config import look_at
from mmwsol.new_config.boxes import named_split

HEADER = "path,label,x0,y0,x1,y1\n"


def rows(paths):
    return HEADER + table(paths).replace(",,", ",")


def boxes(found):
    """Return where the boxes of val and test are."""
    assert not found.train.num_boxes
    return found.val.boxes_in, found.test.boxes_in


@pytest.fixture
def root(tmp_path):
    """Write train, val and test with images of the same names, so that a path in a class folder fits all."""
    for split in ("train", "val", "test"):
        write_images(tmp_path / split, 2)
    return tmp_path


@pytest.fixture
def paths():
    return [f"{name}/{index}.jpg" for name in ("cat", "dog") for index in range(2)]


@pytest.mark.parametrize(
    ("place", "split"),
    [
        ("val.csv", "val"),
        ("train_boxes.csv", "train"),
        ("valid/boxes.csv", "val"),
        ("annotations/instances_test2017.json", "test"),
        ("labels/dev", "val"),
        ("val/test.csv", "test"),
        ("train_val.csv", ""),
        ("evaluation.csv", ""),
        ("/home/test/boxes.csv", ""),
    ],
)
def test_names(place, split):
    assert named_split(place) == split


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_file_of_one_split_is_not_taken_for_another(root, paths, split):
    (root / f"{split}.csv").write_text(rows(paths))
    expected = ("val.csv", "") if split == "val" else ("", "test.csv")
    assert boxes(look_at(root)) == boxes(look_at(root, f"{split}.csv")) == expected


def test_a_file_each(root, paths):
    """Paths are relative to the folder of the split, or to the root."""
    (root / "val.csv").write_text(rows(paths))
    (root / "test.csv").write_text(rows([f"test/{path}" for path in paths]))
    assert boxes(look_at(root)) == ("val.csv", "test.csv")
    assert boxes(look_at(root, "val.csv")) == ("val.csv", "")


def test_boxes_of_training_images_are_not_read(root, paths):
    (root / "train_boxes.csv").write_text(rows(paths))
    found = look_at(root)
    assert boxes(found) == ("", "") and not any("train_boxes" in note for note in found.notes)
    with pytest.raises(ValueError, match="it is of training images"):
        look_at(root, "train_boxes.csv")


@pytest.mark.parametrize("given", [None, "boxes.csv"])
def test_a_file_that_fits_several_splits_is_refused(root, paths, given):
    (root / "boxes.csv").write_text(rows(paths))
    with pytest.raises(ValueError, match="fit images of train and of val and of test: write val.csv and test.csv"):
        look_at(root, given)


def test_paths_say_the_split(root, paths):
    (root / "boxes.csv").write_text(rows([f"test/{path}" for path in paths]))
    assert boxes(look_at(root)) == ("", "boxes.csv")


def test_a_column_says_the_split(root, paths):
    lines = (
        "path,split,label,x0,y0,x1,y1\n" + table(paths[:2], "Valid") + table([f"test/{path}" for path in paths], "test")
    )
    (root / "train_boxes.csv").write_text(lines)  # the column, not the name
    found = look_at(root)
    assert boxes(found) == ("train_boxes.csv", "train_boxes.csv")
    assert (found.val.num_boxes, found.test.num_boxes) == (2, 4)


def test_folders_of_labels(root, paths):
    for split in ("train", "test"):
        for path in paths[:2]:
            file = (root / "labels" / split / path).with_suffix(".xml")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(voc())
    assert boxes(look_at(root)) == boxes(look_at(root, "labels")) == ("", "labels/test")
    (root / "labels" / "test").rename(root / "xml")
    with pytest.raises(ValueError, match="named like images of train and of val and of test"):
        look_at(root)


@pytest.mark.parametrize("name", ["csv", "json", "xml"])
def test_labels_that_contradict_the_folders(root, paths, name):
    if name == "csv":
        (root / "val.csv").write_text(rows(paths).replace(",cat,", ",dog,"))
    elif name == "json":
        (root / "val.json").write_text(
            coco(paths).replace('"cat"', '"x"').replace('"dog"', '"cat"').replace('"x"', '"dog"')
        )
    else:
        for path in paths:
            (root / "val" / path).with_suffix(".xml").write_text(voc().replace("cat", "dog"))
    with pytest.raises(ValueError, match="val.*cat.0.jpg' is of 'dog' and lies in the folder of 'cat'"):
        look_at(root)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.json", coco(["cat/nine.jpg"]), "none of its paths is an image of .* such as 'cat/nine.jpg'"),
        (
            "list.csv",
            "path,split,label,x0,y0,x1,y1\n" + table(["cat/0.jpg"], "evaluation"),
            "column split has evaluation",
        ),
        ("val_list.csv", "path,label\ncat/0.jpg,cat\n", "it has no boxes of val and test"),
        ("val_list.csv", rows(["/elsewhere/cat/0.jpg"]), "none of its paths is an image"),
        ("notes.json", "[1]", "cannot be read: .* not COCO json"),
    ],
)
def test_what_cannot_be_used(root, name, text, message):
    """A reason where ``--boxes`` named it, else a note."""
    (root / name).write_text(text)
    with pytest.raises(ValueError, match=f"--boxes.*{name}' is not used: .*{message}"):
        look_at(root, name)
    found = look_at(root)
    assert boxes(found) == ("", "")
    assert sum(name in note and "is not used" in note for note in found.notes) == 1


def test_an_empty_folder_is_not_boxes(root):
    (root / "labels").mkdir()
    with pytest.raises(ValueError, match="--boxes .*labels' has no list of boxes"):
        look_at(root, "labels")


def test_a_class_named_like_a_split(tmp_path):
    """A folder of label files in val is not that of the test images."""
    for split in ("train", "val", "test"):
        write_images(tmp_path / split, 2)
        (tmp_path / split / "dog").rename(tmp_path / split / "test")
    for index in range(2):
        (tmp_path / "val" / "test" / f"{index}.xml").write_text(voc().replace("cat", "test"))
    assert boxes(look_at(tmp_path)) == ("val", "")


def test_the_list_of_an_earlier_run_is_not_boxes(tmp_path):
    paths = write_split(tmp_path)
    (tmp_path / "mine_images.csv").write_text("path,split,label,x0,y0,x1,y1\n" + table(paths, "val"))
    assert look_at(tmp_path).val.boxes_in == "mine_images.csv"
    (tmp_path / "mine.py").write_text("")
    assert look_at(tmp_path).val.boxes_in == ""


def test_train_alone(tmp_path):
    """Boxes of training images are those of the images that are held out."""
    paths = [f"train/{path}" for path in write_images(tmp_path / "train", 4)]
    (tmp_path / "boxes.csv").write_text(rows(paths[:2]))
    found = look_at(tmp_path)
    assert found.held_out and (found.val.boxes_in, found.val.num_boxes) == ("boxes.csv", 2)


def test_images_without_a_label(root, paths):
    """COCO json has no label of an image without objects: the config could not read it."""
    content = json.loads(coco(paths))
    content["annotations"].pop()
    (root / "val.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="'dog/1.jpg' has no label"):
        look_at(root)
