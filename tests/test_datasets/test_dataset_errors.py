"""Every mistake in the data gets one error that names the file, the line and the fix."""

from __future__ import annotations

import logging
import re

import layouts
import numpy as np
import pytest
from mmengine.logging import MMLogger

from mmwsol.datasets import CUB, ILSVRC, BaseLocDataset, LocListDataset, TinyImageNet
from mmwsol.datasets.transforms import UnreadableImageError

ABC = dict(classes=["a", "b", "c"])
PIPELINE = [dict(type="mmwsol.LoadImage"), dict(type="mmwsol.PackLocInputs")]


@pytest.fixture
def log_lines():
    """Messages that the current logger got."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def edit(path, line, text):
    """Replace one line (from 1) of a list."""
    lines = path.read_text().splitlines()
    lines[line - 1 : line] = [text] if text is not None else []
    path.write_text("\n".join(lines) + "\n")


CUB_ERRORS = [
    ("bounding_boxes.txt", 3, "3 1.0 2.0 3.0", r"bounding_boxes.txt:3: expected 5 fields .*'3 1.0 2.0 3.0'"),
    ("bounding_boxes.txt", 3, "3 1.0 two 3.0 4.0", r"bounding_boxes.txt:3: a box is four finite numbers.*two"),
    ("bounding_boxes.txt", 3, "3 1 2 nan 4", r"bounding_boxes.txt:3: a box is four finite numbers"),
    ("bounding_boxes.txt", 3, "3 10 2 -5 4", r"bounding_boxes.txt:3: box \(10, 2, 5, 6\).*x1 < x0"),
    ("bounding_boxes.txt", 3, "3 -9 2 20 4", r"bounding_boxes.txt:3: box .* is outside its image"),
    ("bounding_boxes.txt", 3, "99 1 2 3 4", r"bounding_boxes.txt:3: image id 99 is not in images.txt"),
    ("bounding_boxes.txt", 3, None, r"images.txt:3: image id 3 has no line in bounding_boxes.txt"),
    ("image_class_labels.txt", 3, "3 3", r"image_class_labels.txt:3: label 3 .* is not in 1..2"),
    ("image_class_labels.txt", 3, "3 0", r"image_class_labels.txt:3: label 0 .* is not in 1..2"),
    ("image_class_labels.txt", 3, "3 x", r"image_class_labels.txt:3: label x"),
    ("train_test_split.txt", 3, "3 2", r"train_test_split.txt:3: .*found '2'"),
    ("images.txt", 3, "3 001.Bird_1/Bird_1_1.jpg", r"images.txt:3: .*listed twice.*images.txt:1"),
    ("images.txt", 3, "1 002.Bird_2/Bird_2_1.jpg", r"images.txt:3: id 1 is listed twice"),
]


@pytest.mark.parametrize(("name", "line", "text", "message"), CUB_ERRORS)
def test_cub_errors(tmp_path, name, line, text, message):
    root = layouts.cub(tmp_path)
    edit(root / name, line, text)
    with pytest.raises(ValueError, match=message):
        CUB(root)
    skipped = CUB(root, on_error="skip")  # image 3 is left out as a whole, image 1 stays
    ids = [skipped.get_data_info(i)["img_id"] for i in range(len(skipped))]
    assert ids == ["001.Bird_1/Bird_1_1.jpg"] and skipped.problems.count >= 1


@pytest.mark.parametrize("name", ["images.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt"])
def test_cub_missing_list(tmp_path, name):
    root = layouts.cub(tmp_path)
    (root / name).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(root / name))):
        CUB(root, on_error="skip")


def test_unknown_split():
    with pytest.raises(ValueError, match="'train' and 'test', got 'val'"):
        CUB(split="val")
    with pytest.raises(ValueError, match="got 'test'"):
        ILSVRC(split="test")
    with pytest.raises(ValueError, match="got 'test'"):
        TinyImageNet(split="test")


def test_all_problems_are_reported_at_once(tmp_path):
    root = layouts.cub(tmp_path)
    layouts.write_lines(root / "bounding_boxes.txt", ["1 x", "2 x", "3 x", "4 x"])
    with pytest.raises(ValueError) as error:
        CUB(root)
    text = str(error.value)
    assert "8 bad record(s)" in text and "... and 3 more" in text  # four lines, four images without a box
    assert "on_error='skip'" in text


def test_skip_logs_one_line_with_the_count(tmp_path, log_lines):
    root = layouts.cub(tmp_path)
    edit(root / "bounding_boxes.txt", 3, "3 10 2 -5 4")
    assert len(CUB(root, on_error="skip")) == 1
    (message,) = log_lines
    assert "skipped 1 bad record(s)" in message and "bounding_boxes.txt:3" in message and "\n" not in message


def test_nothing_left(tmp_path):
    root = layouts.cub(tmp_path)
    layouts.write_lines(root / "bounding_boxes.txt", ["1 x"])
    with pytest.raises(ValueError, match="no image in data_root"):
        CUB(root, on_error="skip")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n01443537/x.JPEG", r"val_folder_new.txt:2: expected 'path label x0 y0 x1 y1 ...'"),
        ("n01443537/x.JPEG 1 5 6 7", r"val_folder_new.txt:2: expected"),
        ("n01443537/x.JPEG 3 5 6 7 8", r"val_folder_new.txt:2: label 3 .* is not in 0..2.*labels count from 0"),
        ("n01443537/x.JPEG -1 5 6 7 8", r"val_folder_new.txt:2: label -1"),
        ("n01443537/x.JPEG dog 5 6 7 8", r"val_folder_new.txt:2: unknown class 'dog'"),
        ("n01440764/ILSVRC2012_val_00000001.JPEG 0", r"val_folder_new.txt:2: .*listed twice.*new.txt:1"),
    ],
)
def test_ilsvrc_errors(tmp_path, text, message):
    root = layouts.ilsvrc(tmp_path)
    edit(root / "val_folder_new.txt", 2, text)
    with pytest.raises(ValueError, match=message):
        ILSVRC(root, "val", "val_folder_new.txt", metainfo=ABC)
    assert len(ILSVRC(root, "val", "val_folder_new.txt", metainfo=ABC, on_error="skip")) == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("localization.txt", "val/ILSVRC2012_val_00000002.JPEG,3,4,20,300", r"localization.txt:2: box .*40x30"),
        ("localization.txt", "val/ILSVRC2012_val_00000002.JPEG,3,4,20", r"localization.txt:2: expected"),
        ("localization.txt", "val/other.JPEG,3,4,20,21", r"localization.txt:2: image 'val/other.JPEG' is not in"),
        ("class_labels.txt", "val/ILSVRC2012_val_00000002.JPEG,7", r"class_labels.txt:2: label 7"),
        ("class_labels.txt", "val/ILSVRC2012_val_00000002.JPEG", r"class_labels.txt:2: expected 2 fields"),
        ("class_labels.txt", "val/ILSVRC2012_val_00000001.JPEG,1", r"class_labels.txt:2: a second label"),
        ("image_sizes.txt", "val/ILSVRC2012_val_00000002.JPEG,40,x", r"image_sizes.txt:2: W and H"),
        ("image_ids.txt", "val/ILSVRC2012_val_00000001.JPEG", r"image_ids.txt:2: .*listed twice"),
    ],
)
def test_wsol_errors(tmp_path, name, text, message):
    root = layouts.ilsvrc(tmp_path)
    edit(root / "metadata" / name, 2, text)
    with pytest.raises(ValueError, match=message):
        ILSVRC(root, "val", "metadata", metainfo=ABC)
    assert len(ILSVRC(root, "val", "metadata", metainfo=ABC, on_error="skip")) < 3 or "other" in text


@pytest.mark.parametrize("name", ["image_ids.txt", "class_labels.txt", "localization.txt"])
def test_wsol_missing_list(tmp_path, name):
    root = layouts.ilsvrc(tmp_path)
    (root / "metadata" / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        ILSVRC(root, "val", "metadata", metainfo=ABC, test_mode=True)


def test_wsol_lists_of_another_split(tmp_path):
    layouts.wsol(tmp_path / "m", ["val2/0/0.jpeg"], [0], [], [])
    with pytest.raises(ValueError, match="image_ids|class_labels.*another split or data set"):
        ILSVRC(tmp_path, "val", "m", metainfo=ABC)


def test_missing_image_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "train"))):
        ILSVRC(tmp_path)
    root = layouts.cub(tmp_path / "cub")
    (root / "images").rename(root / "pictures")
    with pytest.raises(FileNotFoundError, match="images' does not exist: check data_root"):
        CUB(root, check_images=True)
    dataset = CUB(root, pipeline=PIPELINE, on_error="skip")  # never a thousand silent retries
    with pytest.raises(FileNotFoundError, match="folder .*images' does not exist"):
        dataset[0]


def test_tiny_imagenet_errors(tmp_path):
    root = layouts.tiny_folders(tmp_path)
    layouts.write_image(root / "val" / layouts.WNIDS[2] / "x.JPEG")
    with pytest.raises(ValueError, match=f"unknown class '{layouts.WNIDS[2]}'"):
        TinyImageNet(root, split="val")
    edit(root / "val_boxes.txt", 1, "val/n01440764/none.JPEG 1 2 3 4")
    with pytest.raises(ValueError, match="val_boxes.txt:1: image 'val/n01440764/none.JPEG' is not in"):
        TinyImageNet(root, split="val")
    with pytest.raises(ValueError, match="2 classes and metainfo.'classes'. 3"):
        TinyImageNet(root, split="train", metainfo=ABC)
    with pytest.raises(FileNotFoundError, match="classes.txt.*wnids.txt"):
        TinyImageNet(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a b.jpg,train,dog,1,2,3,4", r"list.csv:7: a second label 'dog'.*multi-label"),
        ("x.jpg,train,cat,1,2,3", r"list.csv:7: expected 'path,split,label"),
        ("x.jpg,train,cat,1,2,,4", r"list.csv:7: a box is four finite numbers"),
        ("x.jpg,train,", r"list.csv:7: image 'x.jpg' has no label"),
        ("x.jpg,train,cow,1,2,3,4", r"list.csv:7: unknown class 'cow'"),
        ("x.jpg,train,9,1,2,3,4", r"list.csv:7: label 9"),
    ],
)
def test_csv_errors(tmp_path, row, message):
    path = layouts.csv_list(tmp_path)
    path.write_text(path.read_text() + row + "\n")
    classes = dict(classes=["ant", "cat", "dog"])
    with pytest.raises(ValueError, match=message):
        LocListDataset(tmp_path, "list.csv", "train", metainfo=classes)


def test_csv_unknown_split_and_mixed_labels(tmp_path):
    layouts.csv_list(tmp_path)
    with pytest.raises(ValueError, match=r"no split 'test'; it has \['train', 'val'\]"):
        LocListDataset(tmp_path, "list.csv", "test")
    layouts.write_lines(tmp_path / "m.csv", ["a.jpg,train,0", "b.jpg,train,1O"])
    with pytest.raises(ValueError, match="m.csv:2: unknown class '1O'"):  # never sorted in among the numbers
        LocListDataset(tmp_path, "m.csv")
    with pytest.raises(ValueError, match="list.csv:3: unknown class 'dog'.*label_map"):
        LocListDataset(tmp_path, "list.csv", "train", label_map=dict(cat=0, ant=1))


def test_coco_errors(tmp_path):
    def second_class(content):
        content["annotations"][1]["category_id"] = 3

    layouts.coco(tmp_path, second_class)
    with pytest.raises(ValueError, match="list.json: annotation id 2: category 'cat'.*multi-label"):
        LocListDataset(tmp_path, "list.json")
    assert len(LocListDataset(tmp_path, "list.json", on_error="skip")) == 2
    layouts.coco(tmp_path, lambda c: c["annotations"][0].update(category_id=8))
    with pytest.raises(ValueError, match="annotation id 1: category 8 is not in"):
        LocListDataset(tmp_path, "list.json")
    layouts.coco(tmp_path, lambda c: c["annotations"][0].update(image_id=8))
    with pytest.raises(ValueError, match="annotation id 1: image id 8 is not in"):
        LocListDataset(tmp_path, "list.json")
    layouts.coco(tmp_path, lambda c: c["annotations"][0].update(bbox=[1, 2, 100, 4]))
    with pytest.raises(ValueError, match=r"annotation id 1: box \(1, 2, 101, 6\)"):
        LocListDataset(tmp_path, "list.json")
    layouts.coco(tmp_path, lambda c: c["images"][2].pop("label"))
    with pytest.raises(ValueError, match="image id 9: image 'c.jpg' has no label"):
        LocListDataset(tmp_path, "list.json")
    layouts.coco(tmp_path, lambda c: c.pop("categories"))
    with pytest.raises(ValueError, match="list.json' is not COCO json.*categories"):
        LocListDataset(tmp_path, "list.json")
    (tmp_path / "list.json").write_text("{")
    with pytest.raises(ValueError, match="list.json' is not COCO json"):
        LocListDataset(tmp_path, "list.json")


def test_folder_errors(tmp_path):
    layouts.voc_folders(tmp_path)
    (tmp_path / "annotations" / "crazing_2.xml").write_text("<annotation><obj")
    with pytest.raises(ValueError, match="crazing_2.xml: not a PASCAL VOC xml"):
        LocListDataset(tmp_path, "annotations", data_prefix="images")
    layouts.voc_xml(tmp_path / "annotations" / "crazing_2.xml", [("crazing", "1 2 3 400")])
    with pytest.raises(ValueError, match="crazing_2.xml: object 1: box"):
        LocListDataset(tmp_path, "annotations", data_prefix="images")
    with pytest.raises(ValueError, match="1 folder.s. that are not in metainfo.'classes'., e.g. 'rolled-in_scale'"):
        LocListDataset(tmp_path, data_prefix="images", metainfo=dict(classes=["crazing", "x"]))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        LocListDataset(tmp_path, "nowhere", data_prefix="images")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is named like an image"):
        LocListDataset(tmp_path, "empty", data_prefix="images")
    layouts.write_image(tmp_path / "images" / "stray.jpg")
    with pytest.raises(ValueError, match="stray.jpg"):
        LocListDataset(tmp_path, data_prefix="images")


def test_flat_folder_rejects_several_classes(tmp_path):
    layouts.write_image(tmp_path / "images" / "1.jpg")
    layouts.voc_xml(tmp_path / "xml" / "1.xml", [("a", "1 2 3 4"), ("b", "1 2 3 4")])
    with pytest.raises(ValueError, match=r"1.xml: objects of several classes \(a, b\).*multi-label"):
        LocListDataset(tmp_path, "xml", data_prefix="images")


def test_yolo_errors(tmp_path):
    layouts.yolo_folders(tmp_path)
    label = tmp_path / "Train" / "Glioma" / "labels" / "gg (1).txt"
    label.write_text("0 0.5 0.5 0.5\n")
    with pytest.raises(ValueError, match=r"gg \(1\).txt:1: expected 'class cx cy w h'"):
        LocListDataset(tmp_path, "Train", data_prefix="Train")
    label.write_text("0 0.9 0.5 0.5 0.5\n")
    with pytest.raises(ValueError, match=r"gg \(1\).txt:1: box .* outside its image of 40x30"):
        LocListDataset(tmp_path, "Train", data_prefix="Train")


@pytest.mark.parametrize(
    "kwargs",
    [dict(format="xml"), dict(box_format="cxcywh"), dict(size_source="disk"), dict(on_error="ignore")],
)
def test_unknown_options(kwargs):
    ((name, value),) = kwargs.items()
    with pytest.raises(ValueError, match=f"{name} must be .*'{value}'"):
        LocListDataset(**kwargs)


def test_classes_that_are_no_list():
    with pytest.raises(FileNotFoundError, match="there is no file 'cat,dog'"):
        BaseLocDataset(metainfo=dict(classes="cat,dog"), lazy_init=True)


def test_check_images(tmp_path):
    root = layouts.cub(tmp_path)
    first, second = (root / "images" / f"00{n}.Bird_{n}" / f"Bird_{n}_1.jpg" for n in (1, 2))
    assert len(CUB(root, check_images=True)) == 2
    content = second.read_bytes()
    for broken, message in (
        (b"", r"Bird_2_1.jpg' is empty \(0 bytes\)"),
        (b"no image", "Bird_2_1.jpg' cannot be decoded"),
        (content[: len(content) // 2], "Bird_2_1.jpg' cannot be decoded"),
        (None, "Bird_2_1.jpg' does not exist"),
    ):
        if broken is None:
            second.unlink()
        else:
            second.write_bytes(broken)
        with pytest.raises(ValueError, match=message):
            CUB(root, check_images=True)
        assert len(CUB(root, check_images=True, on_error="skip")) == 1
        assert len(CUB(root)) == 2  # not looked at unless asked for


def test_check_images_finds_wrong_sizes_and_boxes(tmp_path):
    root = layouts.ilsvrc(tmp_path)
    name = root / "val" / layouts.WNIDS[1] / "ILSVRC2012_val_00000002.JPEG"
    layouts.write_image(name, (20, 20))
    with pytest.raises(ValueError, match="the file is 20x20, the list says 40x30"):
        ILSVRC(root, "val", "metadata", metainfo=ABC, check_images=True)
    with pytest.raises(ValueError, match=r"box \(3, 4, 20, 21\).*outside its image of 20x20"):
        ILSVRC(root, "val", "val_folder_new.txt", metainfo=ABC, check_images=True)


def test_unreadable_image_while_loading(tmp_path):
    root = layouts.cub(tmp_path)
    broken = root / "images" / "001.Bird_1" / "Bird_1_1.jpg"
    broken.write_bytes(b"")
    with pytest.raises(UnreadableImageError, match=re.escape(f"'{broken}' is empty")):
        CUB(root, pipeline=PIPELINE)[0]
    skipping = CUB(root, pipeline=PIPELINE, on_error="skip")
    for _ in range(3):
        assert skipping[0]["data_samples"].img_id == "002.Bird_2/Bird_2_1.jpg"
    assert skipping.num_replaced >= 3
    tested = CUB(root, pipeline=PIPELINE, on_error="skip", test_mode=True)
    with pytest.raises(UnreadableImageError):  # a test image is never replaced
        tested[0]
    broken.unlink()
    with pytest.raises(FileNotFoundError, match="does not exist: check data_root and data_prefix"):
        CUB(root, pipeline=PIPELINE)[0]
    assert skipping[0]["data_samples"].img_id == "002.Bird_2/Bird_2_1.jpg"


def test_other_errors_are_never_skipped(tmp_path):
    pipeline = [dict(type="mmwsol.LoadImage"), dict(type="mmwsol.CenterCrop", crop_size=224)]
    dataset = CUB(layouts.cub(tmp_path), pipeline=pipeline, on_error="skip")
    with pytest.raises(ValueError, match="224x224 does not fit an image of 40x30"):
        dataset[0]


def test_box_outside_the_image_found_while_loading(tmp_path):
    """CUB's lists have no sizes: a box beyond the image shows when the image is opened."""
    root = layouts.cub(tmp_path)
    edit(root / "bounding_boxes.txt", 1, "1 500 2 10 10")
    with pytest.raises(ValueError, match=r"Bird_1_1.jpg' is 40x30 .*\(500, 2, 510, 12\) lies outside it"):
        CUB(root, pipeline=PIPELINE)[0]


def test_test_mode_without_ground_truth_warns(tmp_path, log_lines):
    ILSVRC(layouts.ilsvrc(tmp_path), metainfo=ABC, test_mode=True)
    assert any("neither boxes nor masks" in message for message in log_lines)


def test_own_data_set_with_wrong_items():
    class Mine(BaseLocDataset):
        METAINFO = dict(classes=("a", "b"))

        def __init__(self, **item):
            self.item = dict(img_path="x.png", gt_label=0, **item)
            super().__init__()

        def load_data_list(self):
            return [dict(self.item)]

    assert Mine().get_data_info(0)["gt_bboxes_ori"].shape == (0, 4)
    with pytest.raises(ValueError, match="image 'x.png': box .1, 2, 30, 4. of image 'x.png' is outside"):
        Mine(gt_bboxes_ori=np.array([[1, 2, 30, 4]]), ori_size=(20, 20))
