"""The data sets of the papers: what their layouts are read to, and what each mistake in them is answered with."""

from __future__ import annotations

import re

import layouts
import numpy as np
import pytest
from mmengine.structures import InstanceData
from test_dataset_errors import edit
from test_dataset_formats import boxes, items, labels

from mmwsol.datasets import (
    NEUDET,
    BrainTumor,
    CUBv2,
    FGVCAircraft,
    ImageNetV2,
    OpenImages30k,
    StanfordCars,
    StanfordDogs,
)
from mmwsol.evaluation.metrics import PxAP

MASKS = [dict(type="mmwsol.LoadImage"), dict(type="mmwsol.LoadMasks"), dict(type="mmwsol.PackLocInputs")]


def ids(dataset):
    return [item["img_id"] for item in items(dataset)]


# ---- wsolevaluation -------------------------------------------------------------------------------


def test_cubv2(tmp_path):
    root = layouts.cubv2(tmp_path)
    dataset = CUBv2(root, test_mode=True, check_images=True)
    assert labels(dataset) == [0, 0, 1] and boxes(dataset) == [[[1, 2, 11, 12]], [[3, 4, 20, 21]], [[0, 0, 39, 29]]]
    assert dataset.num_classes == 200 and dataset.get_data_info(0)["ori_size"] == layouts.SIZE
    assert dataset.get_data_info(2)["img_path"] == str(root / "images/002.Laysan_Albatross/7.jpg")
    (root / "metadata/CUB/val").rename(root / "metadata/CUB/train-fullsup")  # the paper's name
    assert len(CUBv2(root)) == 3
    elsewhere = CUBv2(tmp_path / "x", ann_file=str(root / "metadata/CUB/train-fullsup"), data_prefix=str(root / "i"))
    assert elsewhere.get_data_info(2)["img_path"] == str(root / "i/002.Laysan_Albatross/7.jpg")


def test_imagenetv2(tmp_path):
    root = layouts.imagenetv2(tmp_path)
    dataset = ImageNetV2(root, test_mode=True, check_images=True)
    assert labels(dataset) == [0, 10] and boxes(dataset)[1] == [[3, 4, 20, 21], [0, 0, 39, 29]]
    assert dataset.metainfo["classes"][10] == "brambling, Fringilla montifringilla"


def test_openimages(tmp_path):
    root = layouts.openimages(tmp_path)
    train, val = OpenImages30k(root), OpenImages30k(root, "val", test_mode=True, pipeline=MASKS)
    assert ids(train) == ["train/01226z/0a.jpg", "train/0138tl/1a.jpg"] and labels(val) == [0, 1]
    assert train.metainfo["classes"][:2] == ("Football", "Toy") and train.num_classes == 100
    assert len(set(train.metainfo["classes"])) == 100
    assert not any("mask_paths" in item for item in items(train))
    first = val.get_data_info(0)
    assert first["mask_paths"] == [str(root / f"val/01226z/0a_m{n}.png") for n in (0, 1)]
    assert first["ignore_path"] == str(root / "val/01226z/0a_ignore.png")
    sample = val[0]["data_samples"]
    assert sample.gt_masks.sum() == 15 * 10 and not sample.ignore_mask.any()


def test_openimages_pxap(tmp_path):
    """From the lists to the metric: maps that are the masks have PxAP 100, their negatives nearly none."""
    dataset = OpenImages30k(layouts.openimages(tmp_path), "test", test_mode=True, pipeline=MASKS)
    for negative in (False, True):
        metric = PxAP()
        for index in range(len(dataset)):
            sample = dataset[index]["data_samples"]
            maps = (sample.gt_masks.logical_not() if negative else sample.gt_masks).float()[None]
            sample.pred_maps = InstanceData(maps=maps, labels=sample.gt_label)
            metric.process(None, [sample.to_dict()])
        values = metric.evaluate(len(dataset))
        if negative:
            assert values["seg/pxap"] < 30
        else:
            assert values["seg/pxap"] == values["seg/piou"] == 100


@pytest.mark.parametrize("cls", [CUBv2, ImageNetV2, OpenImages30k])
def test_wsol_without_lists(tmp_path, cls):
    with pytest.raises(FileNotFoundError, match="has no lists, none of metadata/.*wsolevaluation"):
        cls(tmp_path)
    with pytest.raises(ValueError, match="split.*got 'other'"):
        cls(tmp_path, "other")


def test_wsol_test_sets_need_their_ground_truth(tmp_path):
    root = layouts.openimages(tmp_path)
    (root / "metadata/OpenImages/val/localization.txt").unlink()
    assert len(OpenImages30k(root, "val")) == 2
    with pytest.raises(FileNotFoundError, match="localization.txt"):
        OpenImages30k(root, "val", test_mode=True)


# ---- fine-grained sets ----------------------------------------------------------------------------


def test_dogs(tmp_path):
    root = layouts.dogs(tmp_path)
    train, test = (StanfordDogs(root, split, check_images=True) for split in ("train", "test"))
    assert labels(train) == [0, 1] and labels(test) == [0, 0, 1]
    assert boxes(test) == [[[1, 2, 11, 12], [3, 4, 20, 21]], [[1, 2, 11, 12]], [[1, 2, 11, 12]]]
    assert train.metainfo["classes"] == test.metainfo["classes"] == ("Chihuahua", "Japanese_spaniel")
    assert test.get_data_info(0)["img_path"] == str(root / "Images/n02085620-Chihuahua/n02085620_333.jpg")
    (root / "lists").mkdir()
    for split in ("train", "test"):
        (root / f"{split}_list.mat").rename(root / "lists" / f"{split}_list.mat")
    assert len(StanfordDogs(root, "test")) == 3


def test_dogs_of_sat(tmp_path):
    root = layouts.dogs_sat(tmp_path)
    train, test = (StanfordDogs(root, split, "sat", check_images=True) for split in ("train", "test"))
    assert labels(train) == labels(test) == [0, 1] and boxes(train) == [[], []]
    assert boxes(test) == [[[1, 2, 11, 12], [3, 4, 20, 21]], [[0, 0, 39, 29]]]
    assert test.get_data_info(0)["ori_size"] == layouts.SIZE  # listed as H W
    assert test.metainfo["classes"] == ("Chihuahua", "Japanese_spaniel")


@pytest.mark.parametrize("whole", [True, False])
def test_cars(tmp_path, whole):
    root = layouts.cars(tmp_path, whole)
    train, test = (StanfordCars(root, split, check_images=True) for split in ("train", "test"))
    assert labels(train) == [0, 1] and labels(test) == [1, 0] and train.num_classes == 196
    assert boxes(train) == [[[3, 7, 23, 17]], [[1, 1, 40, 30]]]
    assert boxes(test) == [[[5, 8, 35, 28]], [[2, 3, 41, 30]]]  # one pixel over the border: kept, as in the release
    assert ids(test)[0] == ("car_ims/000046.jpg" if whole else "cars_test/00001.jpg")


def sat_cars(root):
    classes = list(StanfordCars.METAINFO["classes"])
    classes[1] = "Ram C_V"  # SAT's spelling of a slash
    rows = [f"000001;{classes[0]};0;3.0 7.0 23.0 17.0 30 40", "000046;Ram C_V;1;2.0 3.0 41.0 30.0 30 40"]
    return layouts.sat_boxes(root, classes, rows)


def test_cars_of_sat(tmp_path):
    root = sat_cars(tmp_path)
    train, test = (StanfordCars(root, split, "sat", check_images=True) for split in ("train", "test"))
    assert (labels(train), labels(test)) == ([0], [1]) and boxes(test) == [[[2, 3, 41, 30]]]
    assert test.get_data_info(0)["img_path"] == str(root / "images/000046.jpg")
    assert test.get_data_info(0)["ori_size"] == layouts.SIZE


def test_aircraft(tmp_path):
    root = layouts.aircraft(tmp_path)
    by_split = {split: FGVCAircraft(root, split, check_images=True) for split in FGVCAircraft.splits}
    assert {split: ids(dataset) for split, dataset in by_split.items()} == {
        "train": ["1025794.jpg"],
        "val": ["0481847.jpg", "0481848.jpg"],
        "trainval": ["1025794.jpg", "0481847.jpg", "0481848.jpg"],
        "test": ["1514522.jpg"],
    }
    names = by_split["val"].metainfo["classes"]
    assert [names[label] for label in labels(by_split["val"])] == ["F-16A/B", "707-320"]
    assert boxes(by_split["trainval"]) == [[[n, 4, 39, 30]] for n in range(3)]


def test_aircraft_of_sat(tmp_path):
    names = [name.replace("/", " ") for name in FGVCAircraft.METAINFO["classes"]]
    rows = ["1;707-320;0;0 4 39 30 30 40", "2;F A-18;2;1 4 39 30 30 40", "3;F-16A B;1;2 4 39 30 30 40"]
    root = layouts.sat_boxes(tmp_path, names, rows)
    by_split = {split: ids(FGVCAircraft(root, split, "sat", check_images=True)) for split in FGVCAircraft.splits}
    assert by_split == {"train": ["1.jpg"], "val": ["2.jpg"], "trainval": ["1.jpg", "2.jpg"], "test": ["3.jpg"]}
    dataset = FGVCAircraft(root, "trainval", "sat")
    assert dataset.metainfo["classes"][labels(dataset)[1]] == "F/A-18"


def test_mat_of_matlab(tmp_path):
    """Column cells, columns of numbers and arrays of structs, as MATLAB writes them."""
    io = pytest.importorskip("scipy.io")
    root = layouts.dogs(tmp_path / "dogs")
    names = ids(StanfordDogs(root, "test"))
    cell = np.empty((3, 1), object)
    cell[:, 0] = names
    content = dict(file_list=cell, labels=np.array([[1], [1], [2]], np.uint8))
    io.savemat(root / "test_list.mat", content, do_compression=True)
    assert ids(StanfordDogs(root, "test")) == names and labels(StanfordDogs(root, "test")) == [0, 0, 1]

    root = layouts.cars(tmp_path / "cars")
    rows = [(np.uint16(300 * n + 1), 2, 900, 700, n + 1, n, f"car_ims/{n:06d}.jpg") for n in (0, 1)]
    fields = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "test", "relative_im_path")
    annotations = np.array([rows], [(name, object) for name in fields])
    io.savemat(root / "cars_annos.mat", dict(annotations=annotations), do_compression=True)
    test = StanfordCars(root, "test")
    assert boxes(test) == [[[301, 2, 900, 700]]] and labels(test) == [1] and ids(test) == ["car_ims/000001.jpg"]


# data set, its layout, file to change, new content (None: no file), error
FINE_GRAINED_ERRORS = [
    (StanfordDogs, layouts.dogs, "train_list.mat", None, r"train_list.mat' does not exist: .*lists.tar"),
    (StanfordDogs, layouts.dogs, "train_list.mat", b"MATLAB", r"train_list.mat' is not a whole MATLAB file"),
    (StanfordDogs, layouts.dogs, "Annotation/n02085620-Chihuahua/n02085620_1", None, "n02085620_1: not a PASCAL VOC"),
    (StanfordCars, layouts.cars, "cars_annos.mat", None, "cars_annos.mat, or devkit/cars_train_annos.mat"),
    (FGVCAircraft, layouts.aircraft, "images_variant_train.txt", None, "images_variant_train.txt' does not exist"),
    (FGVCAircraft, layouts.aircraft, "images_box.txt", b"1025794 1 2 3\n", r"images_box.txt:1: expected 'path x0 y0"),
    (FGVCAircraft, layouts.aircraft, "images_box.txt", b"9 1 2 3 4\n", "1025794 has no line in images_box.txt"),
    (FGVCAircraft, layouts.aircraft, "images_variant_train.txt", b"1025794 Kite\n", "txt:1: unknown class 'Kite'"),
]


@pytest.mark.parametrize(("cls", "layout", "name", "content", "message"), FINE_GRAINED_ERRORS)
def test_fine_grained_errors(tmp_path, cls, layout, name, content, message):
    path = layout(tmp_path) / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        cls(tmp_path)


def test_other_mat_files(tmp_path):
    root = layouts.cars(tmp_path)
    layouts.savemat(str(root / "cars_annos.mat"), dict(class_names=["a", "bc"]))
    with pytest.raises(ValueError, match="has no relative_im_path, class, bbox_x1.*'annotations'"):
        StanfordCars(root)
    layouts.dogs(root)
    layouts.savemat(str(root / "train_list.mat"), dict(file_list=["a", "bc"], labels=[1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="2 paths and 3 labels"):
        StanfordDogs(root)


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (2, "000046;Ram C_V;5;2 3 41 30 30 40", r"images_box.txt:2: the flag must be one of 0, 1, found '5'"),
        (1, "000001;Kite;0;2 3 41 30 30 40", r"images_box.txt:1: unknown class 'Kite'"),
        (1, "000001;Ram C_V;0;2 3 41 30", r"images_box.txt:1: expected 'x0 y0 x1 y1 \[...\] H W'"),
        (1, "000001;Ram C_V;0;2 3 41 x 30 40", r"images_box.txt:1: a box is four finite numbers"),
        (1, "000001;Ram C_V;0", r"images_box.txt:1: expected 4 fields"),
    ],
)
def test_sat_errors(tmp_path, line, text, message):
    root = sat_cars(tmp_path)
    edit(root / "images_box.txt", line, text)
    with pytest.raises(ValueError, match=message):
        StanfordCars(root, "train", "sat")


def test_sat_lists_that_do_not_match(tmp_path):
    root = layouts.dogs_sat(tmp_path)
    edit(root / "test_gt.txt", 2, None)
    with pytest.raises(ValueError, match="test_list.txt' has 2 lines and .*test_gt.txt' 1: they belong together"):
        StanfordDogs(root, "test", "sat")
    root = sat_cars(tmp_path / "cars")
    edit(root / "classes.txt", 5, None)
    with pytest.raises(ValueError, match="classes.txt' has 195 classes and metainfo.'classes'. 196"):
        StanfordCars(root, "test", "sat")
    with pytest.raises(FileNotFoundError, match="classes.txt.*SAT's repository"):
        FGVCAircraft(tmp_path / "nowhere", "test", "sat")


def test_fine_grained_options():
    with pytest.raises(ValueError, match="StanfordCars has the splits .*'train', 'test'.*got 'val'"):
        StanfordCars(split="val")
    with pytest.raises(ValueError, match="format must be 'official' or 'sat', got 'mat'"):
        FGVCAircraft(format="mat")


# ---- NEU-DET and brain tumours --------------------------------------------------------------------


def test_neu_det(tmp_path):
    root = layouts.neu_split(tmp_path)
    train, val = (NEUDET(root, split, check_images=True) for split in ("train", "val"))
    assert train.metainfo["classes"] == layouts.NEU and labels(train) == labels(val) == list(range(6))
    # crazing_240.xml lies on the wrong side: an image without xml is kept, without boxes
    assert boxes(train) == [[], *[[[1, 2, 11, 12], [3, 4, 20, 21]]] * 5] and boxes(val) == [[[1, 2, 11, 12]]] * 6
    assert ids(train)[3] == "pitted_surface/pitted_surface_240.jpg"
    with pytest.raises(ValueError, match="'train' and 'val', got 'test'"):
        NEUDET(root, "test")


def test_neu_det_xml_without_objects(tmp_path):
    root = layouts.neu_split(tmp_path)
    layouts.voc_xml(root / "train/annotations/patches_240.xml", [])
    assert boxes(NEUDET(root))[2] == []
    (root / "train/annotations/patches_240.xml").write_text("")
    with pytest.raises(ValueError, match="patches_240.xml: not a PASCAL VOC xml"):
        NEUDET(root)


def test_neu_det_wrong_folders(tmp_path):
    root = layouts.neu_split(tmp_path)
    images = root / "train/images"
    (images / "patches/patches_240.jpg").rename(images / "crazing/patches_240.jpg")
    with pytest.raises(ValueError, match="'crazing/patches_240.jpg' is named after class 'patches': move it"):
        NEUDET(root)
    assert len(NEUDET(root, on_error="skip")) == 5
    (images / "crazing").rename(images / "Crazing")
    with pytest.raises(ValueError, match=re.escape("1 folder(s) that are not in metainfo['classes'], e.g. 'Crazing'")):
        NEUDET(root)
    with pytest.raises(FileNotFoundError, match="train/train/images' does not exist"):
        NEUDET(root / "train")


def test_brain_tumor(tmp_path):
    root = layouts.brain(tmp_path)
    val = BrainTumor(root, "val", test_mode=True, check_images=True)
    assert labels(val) == [0, 0, 1, 1, 2, 2, 3, 3] and val.metainfo["classes"][2] == "No Tumor"
    assert np.allclose(boxes(val)[0], [[10, 12, 30, 18]]) and boxes(val)[4] == []
    assert ids(val)[4] == "No Tumor/images/gg (1).jpg"
    with pytest.raises(ValueError, match="'train' and 'val', got 'Train'"):
        BrainTumor(root, "Train")
