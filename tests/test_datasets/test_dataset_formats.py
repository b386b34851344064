"""Every layout is read to the same kind of item."""

from __future__ import annotations

import layouts
import numpy as np
import pytest

from mmwsol.datasets import CUB, ILSVRC, BaseLocDataset, LocListDataset, TinyImageNet
from mmwsol.registry import DATASETS


def items(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def boxes(dataset):
    return [item["gt_bboxes_ori"].tolist() for item in items(dataset)]


def labels(dataset):
    return [item["gt_label"] for item in items(dataset)]


def test_cub(tmp_path):
    root = layouts.cub(tmp_path)
    train, test = (CUB(root, split=split) for split in ("train", "test"))
    assert [i["img_id"] for i in items(train)] == ["001.Bird_1/Bird_1_1.jpg", "002.Bird_2/Bird_2_1.jpg"]
    assert train.get_data_info(0)["img_path"] == str(root / "images" / "001.Bird_1/Bird_1_1.jpg")
    assert labels(train) == [0, 1] and len(test) == 2
    assert boxes(train) == [[[1, 2, 11, 6]], [[3, 2, 13, 8]]]  # x, y, x + w, y + h
    assert train.get_data_info(0)["gt_bboxes_ori"].dtype == np.float32
    assert train.metainfo["classes"] == ("Bird_1", "Bird_2")
    assert "mask_paths" not in train.get_data_info(0)


def test_cub_masks_and_class_names(tmp_path):
    root = layouts.cub(tmp_path, masks=True, classes=False)
    test = CUB(root, split="test")
    expected = str(root / "segmentations" / "001.Bird_1/Bird_1_2.png")
    assert test.get_data_info(0)["mask_paths"] == [expected]
    assert len(test.metainfo["classes"]) == 200
    assert CUB(root, metainfo=dict(classes=["x", "y"])).metainfo["classes"] == ("x", "y")


def test_cub_lists_apart_from_images(tmp_path):
    layouts.cub(tmp_path / "lists")
    layouts.cub(tmp_path / "data")
    dataset = CUB(tmp_path / "data", ann_file=str(tmp_path / "lists"))
    assert dataset.get_data_info(0)["img_path"].startswith(str(tmp_path / "data"))


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("ann_file", ["val_folder_new.txt", "metadata"])
def test_ilsvrc_val_lists_and_layouts(tmp_path, flat, ann_file):
    root = layouts.ilsvrc(tmp_path, flat=flat)
    classes = dict(classes=["a", "b", "c"])
    dataset = ILSVRC(root, "val", ann_file, metainfo=classes, test_mode=True, check_images=True)
    assert labels(dataset) == [0, 1, 2]
    assert boxes(dataset) == [[[1, 2, 11, 12]], [[3, 4, 20, 21], [5, 6, 30, 29]], [[0, 0, 39, 29]]]
    assert ("ori_size" in dataset.get_data_info(0)) == (ann_file == "metadata")


def test_ilsvrc_val_finds_its_list(tmp_path):
    root = layouts.ilsvrc(tmp_path)
    classes = dict(classes=["a", "b", "c"])
    assert len(boxes(ILSVRC(root, "val", metainfo=classes))[1]) == 2
    assert boxes(ILSVRC(root, "val", "", metainfo=classes)) == [[], [], []]  # class folders only
    (root / "ILSVRC2012_list").mkdir()
    (root / "val_folder_new.txt").rename(root / "ILSVRC2012_list" / "val_folder_new.txt")
    assert len(boxes(ILSVRC(root, "val", metainfo=classes))[1]) == 2
    (root / "ILSVRC2012_list" / "val_folder_new.txt").unlink()
    lazy = ILSVRC(root, "val", metainfo=classes, lazy_init=True)  # metadata/ILSVRC/test is not there either
    with pytest.raises(FileNotFoundError, match="no list of the validation boxes.*val_folder_new.txt"):
        lazy.full_init()


@pytest.mark.parametrize("ann_file", ["", None, "train.txt"])
def test_ilsvrc_train(tmp_path, ann_file):
    root = layouts.ilsvrc(tmp_path)
    dataset = ILSVRC(root, ann_file=ann_file, metainfo=dict(classes=["a", "b", "c"]), check_images=True)
    assert labels(dataset) == [0, 0, 1, 1, 2, 2]
    assert all(item["gt_bboxes_ori"].shape == (0, 4) for item in items(dataset))
    assert dataset.get_data_info(2)["img_id"] == "n01443537/n01443537_0.JPEG"


def test_ilsvrc_images_need_not_be_there(tmp_path):
    root = layouts.ilsvrc(tmp_path / "full")
    dataset = ILSVRC(tmp_path, "val", str(root / "val_folder_new.txt"), metainfo=dict(classes=["a", "b", "c"]))
    assert len(dataset) == 3
    assert dataset.get_data_info(0)["img_path"].endswith("val/n01440764/ILSVRC2012_val_00000001.JPEG")


def test_ilsvrc_part_of_the_classes(tmp_path):
    root = layouts.ilsvrc(tmp_path)
    order = [layouts.WNIDS[2], layouts.WNIDS[0], layouts.WNIDS[1]]
    assert labels(ILSVRC(root, metainfo=dict(wnids=order))) == [1, 1, 2, 2, 0, 0]
    with pytest.raises(ValueError, match="3 class folders and metainfo.'classes'. 1000"):
        ILSVRC(root)


def test_tiny_imagenet_folders(tmp_path):
    root = layouts.tiny_folders(tmp_path)
    train, val = (TinyImageNet(root, split=split, check_images=True) for split in ("train", "val"))
    assert len(train) == 4 and labels(val) == [0, 1]
    assert boxes(train)[:2] == [[[0, 2, 20, 25]], [[1, 2, 21, 25]]]
    assert train.metainfo["classes"] == ("tench fish", "goldfish")
    assert train.get_data_info(0)["img_id"] == "train/n01440764/n01440764_0.JPEG"


def test_tiny_imagenet_public(tmp_path):
    root = layouts.tiny_public(tmp_path)
    train, val = (TinyImageNet(root, split=split, check_images=True) for split in ("train", "val"))
    assert train.metainfo["classes"] == val.metainfo["classes"] == ("tench", "goldfish")
    assert labels(train) == [0, 0, 1, 1] and labels(val) == [0, 1]
    assert boxes(train)[1] == [[1, 2, 20, 25]] and boxes(val)[1] == [[4, 5, 30, 21]]


def test_wsol_masks(tmp_path):
    root = layouts.wsol_masks(tmp_path)
    first, second = items(LocListDataset(root, "metadata", data_prefix=dict(img_path="i", mask_path="m")))
    assert first["mask_paths"] == [str(root / "m" / f"val/a/1_m{n}.png") for n in (0, 1)]
    assert first["ignore_path"] == str(root / "m/val/a/1_ignore.png")
    assert first["img_path"] == str(root / "i/val/a/1.jpg") and first["gt_bboxes_ori"].shape == (0, 4)
    assert len(second["mask_paths"]) == 1


@pytest.mark.parametrize("header", [True, False])
def test_csv(tmp_path, header):
    layouts.csv_list(tmp_path, header)
    train, val = (LocListDataset(tmp_path, "list.csv", split, data_prefix="img") for split in ("train", "val"))
    assert train.metainfo["classes"] == val.metainfo["classes"] == ("ant", "cat", "dog")  # of both splits
    assert [i["img_id"] for i in items(train)] == ["a b.jpg", "c.jpg"] and labels(train) == [1, 2]
    assert boxes(train) == [[[1, 2, 11, 12], [3, 4, 20, 21]], []]
    assert labels(val) == [2, 0]
    item = val.get_data_info(0)
    assert item["mask_paths"] == [str(tmp_path / "img/d_m.png")]
    assert item["ignore_path"] == str(tmp_path / "img/d_i.png")
    assert len(LocListDataset(tmp_path, "list.csv", data_prefix="img")) == 4


def test_csv_numbers_names_and_label_map(tmp_path):
    rows = ["a.jpg,train,2,1,2,11,12", "b.jpg,train,0"]
    layouts.write_lines(tmp_path / "list.csv", rows)
    plain = LocListDataset(tmp_path, "list.csv")
    assert labels(plain) == [2, 0] and plain.metainfo["classes"] == ("0", "1", "2")
    mapped = LocListDataset(tmp_path, "list.csv", label_map={0: 1, 2: 0})
    assert labels(mapped) == [0, 1] and mapped.metainfo["classes"] == ("2", "0")
    named = LocListDataset(tmp_path, "list.csv", metainfo=dict(classes=["x", "y", "z"]))
    assert labels(named) == [2, 0]
    layouts.csv_list(tmp_path / "n")
    kwargs = dict(split="train", metainfo=dict(classes=["dog", "cat", "ant"]))
    assert labels(LocListDataset(tmp_path / "n", "list.csv", **kwargs)) == [1, 0]


@pytest.mark.parametrize(
    ("box_format", "one_based", "expected"),
    [("xyxy", False, [4, 5, 10, 12]), ("xywh", False, [4, 5, 14, 17]), ("xyxy", True, [3, 4, 9, 11])],
)
def test_box_formats(tmp_path, box_format, one_based, expected):
    layouts.write_lines(tmp_path / "list.csv", ["a.jpg,train,0,4,5,10,12"])
    dataset = LocListDataset(tmp_path, "list.csv", box_format=box_format, one_based=one_based)
    assert boxes(dataset) == [[expected]]


def test_fractions_take_the_size_from_the_file(tmp_path):
    layouts.write_image(tmp_path / "a.jpg")
    layouts.write_lines(tmp_path / "list.csv", ["a.jpg,train,0,0.5,0.5,0.5,0.2"])
    dataset = LocListDataset(tmp_path, "list.csv", box_format="cxcywh_norm")
    assert boxes(dataset) == [[[10, 12, 30, 18]]] and dataset.get_data_info(0)["ori_size"] == layouts.SIZE


def test_size_source_file_checks_boxes(tmp_path):
    layouts.write_image(tmp_path / "a.jpg")
    layouts.write_lines(tmp_path / "list.csv", ["a.jpg,train,0,4,5,100,12"])
    assert len(LocListDataset(tmp_path, "list.csv")) == 1
    with pytest.raises(ValueError, match=r"list.csv:1.*\(4, 5, 100, 12\).*outside its image of 40x30"):
        LocListDataset(tmp_path, "list.csv", size_source="file")


def test_coco(tmp_path):
    layouts.coco(tmp_path)
    dataset = LocListDataset(tmp_path, "list.json")
    assert dataset.metainfo["classes"] == ("cat", "dog") and labels(dataset) == [1, 0, 1]
    assert boxes(dataset) == [[[1.5, 2, 11.5, 13], [3, 4, 8, 10]], [[0, 0, 40, 30]], []]
    assert dataset.get_data_info(0)["ori_size"] == layouts.SIZE


def test_voc_in_class_folders(tmp_path):
    layouts.voc_folders(tmp_path)
    dataset = LocListDataset(tmp_path, "annotations", data_prefix="images")
    assert dataset.metainfo["classes"] == ("crazing", "rolled-in_scale")
    assert labels(dataset) == [0, 0, 1, 1]  # by folder, whatever the xml's names
    assert boxes(dataset) == [[[1, 2, 11, 12], [3, 4, 40, 30]], [[5, 6, 7, 8]], [[1, 1, 2, 2]], []]


def test_voc_flat_takes_the_label_from_the_objects(tmp_path):
    for number, name in enumerate(("b", "a", "a")):
        layouts.write_image(tmp_path / "images" / f"{number}.jpg")
        layouts.voc_xml(tmp_path / "xml" / f"{number}.xml", [(name, "1 2 3 4")] * 2)
    dataset = LocListDataset(tmp_path, "xml", data_prefix="images")
    assert labels(dataset) == [1, 0, 0] and dataset.metainfo["classes"] == ("a", "b")


def test_yolo_in_class_folders(tmp_path):
    layouts.yolo_folders(tmp_path)
    dataset = LocListDataset(tmp_path, "Train", data_prefix="Train")
    assert dataset.metainfo["classes"] == ("Glioma", "No Tumor") and labels(dataset) == [0, 0, 1, 1]
    expected = [[[10, 12, 30, 18], [0, 0, 8, 6]], [[0, 0, 40, 30]], [], []]
    assert [np.round(b, 4).tolist() for b in boxes(dataset)] == expected
    assert [i["img_id"] for i in items(dataset)][2] == "No Tumor/images/gg (1).jpg"


def test_image_folder_without_boxes_sorts_numbers_as_numbers(tmp_path):
    for name in ("10", "9", "100"):
        layouts.write_image(tmp_path / name / "0.png")
    dataset = LocListDataset(tmp_path)
    assert dataset.metainfo["classes"] == ("9", "10", "100")
    assert [i["img_id"] for i in items(dataset)] == ["10/0.png", "100/0.png", "9/0.png"]
    assert labels(dataset) == [1, 2, 0]


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_line_ends_blank_lines_and_byte_order_mark(tmp_path, newline, bom):
    """Every text list of every layout still reads the same after being mangled."""
    layouts.cub(tmp_path / "cub")
    layouts.ilsvrc(tmp_path / "ilsvrc")
    layouts.tiny_folders(tmp_path / "tiny")
    layouts.tiny_public(tmp_path / "public")
    layouts.csv_list(tmp_path / "csv")
    layouts.yolo_folders(tmp_path / "yolo")
    classes = dict(classes=["a", "b", "c"])

    def read():
        return [
            boxes(dataset)
            for dataset in (
                CUB(tmp_path / "cub"),
                ILSVRC(tmp_path / "ilsvrc", "val", "metadata", metainfo=classes),
                ILSVRC(tmp_path / "ilsvrc", "val", "val_folder_new.txt", metainfo=classes),
                TinyImageNet(tmp_path / "tiny", split="val"),
                TinyImageNet(tmp_path / "public", split="train"),
                LocListDataset(tmp_path / "csv", "list.csv", "train", data_prefix="img"),
                LocListDataset(tmp_path / "yolo", "Train", data_prefix="Train"),
            )
        ]

    before = read()
    for path in [*tmp_path.rglob("*.txt"), *tmp_path.rglob("*.csv")]:
        lines = path.read_text().split("\n")
        path.write_bytes(bom + (newline * 2).join(lines).rstrip().encode())  # blank lines, no last newline
    assert read() == before


def test_openmmlab_annotation_file(tmp_path):
    """The base class itself reads OpenMMLab 2.0 json."""
    import json

    record = dict(img_path="a.jpg", gt_label=1, gt_bboxes_ori=[[1, 2, 3, 4]])
    content = dict(metainfo=dict(classes=["x", "y"]), data_list=[record])
    (tmp_path / "ann.json").write_text(json.dumps(content))
    dataset = BaseLocDataset(tmp_path, "ann.json", data_prefix="images")
    item = dataset.get_data_info(0)
    assert item["img_id"] == "a.jpg" and item["img_path"] == str(tmp_path / "images/a.jpg")
    assert item["gt_bboxes_ori"].tolist() == [[1, 2, 3, 4]] and item["gt_label"] == 1
    assert dataset.get_cat_ids(0) == [1]


def test_data_set_of_your_own(tmp_path):
    """What the README promises: one method, no registration trick."""

    class Mine(BaseLocDataset):
        METAINFO = dict(classes=("a", "b"))

        def load_data_list(self):
            return [dict(img_path=str(tmp_path / f"{i}.png"), gt_label=i, gt_bboxes_ori=[[0, 0, 5, 5]]) for i in (0, 1)]

    assert labels(Mine()) == [0, 1]


def test_items_are_copies(tmp_path):
    for serialize in (True, False):
        dataset = CUB(layouts.cub(tmp_path), serialize_data=serialize)
        item = dataset.get_data_info(0)
        item["gt_bboxes_ori"][:] = -1
        item["img_id"] = "changed"
        assert boxes(dataset)[0] == [[1, 2, 11, 6]]
        assert dataset.get_data_info(0)["img_id"] != "changed"


def test_registry(tmp_path):
    layouts.cub(tmp_path)
    dataset = DATASETS.build(dict(type="mmwsol.CUB", data_root=str(tmp_path), split="test", indices=1))
    assert len(dataset) == 1
