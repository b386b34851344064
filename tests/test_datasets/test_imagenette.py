"""Imagenette: splits by the names of photographs, halves of the test set, and what mistakes are answered with."""

from __future__ import annotations

import shutil

import layouts
import numpy as np
import pytest
from data_dir import DATA_DIR, requires_data
from test_dataset_formats import boxes, items, labels

from mmwsol.datasets import Imagenette
from mmwsol.evaluation.metrics import LocBaselines

WNIDS = list(layouts.IMAGENETTE)
HALVES = ("calibration", "report")


def edit(path, old, new):
    """Replace text in a list."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def ids(dataset):
    return [item["img_id"] for item in items(dataset)]


@pytest.fixture
def root(tmp_path):
    """Write the archive and a list of boxes: of each class 3 photographs, of which 'train' has 2, 'val' 1."""
    root = layouts.imagenette(tmp_path) / "imagenette2"
    rows = ["path,split,label,x0,y0,x1,y1"]
    for path in sorted(root.glob("*/*/ILSVRC2012_val_*.JPEG")):
        rows.append(f"{path.relative_to(root).as_posix()},val,{path.parent.name},1,2,30,{int(path.stem[-2:]) + 3}")
    layouts.write_lines(root / "boxes.csv", rows)
    return root


def test_name_decides_the_split(root):
    train, test = Imagenette(root, check_images=True), Imagenette(root, "test", test_mode=True, check_images=True)
    assert labels(train) == sorted([*range(10)] * 2) and boxes(train) == [[]] * 20
    assert ids(train)[:1] == ["n01440764/n01440764_0.JPEG"]
    assert {item["img_path"].split("/")[-3] for item in items(train)} == {"train", "val"}
    names = [name.split("/")[1] for name in ids(test)]
    assert sorted(names) == [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(30)]
    assert {item["img_path"].split("/")[-3] for item in items(test)} == {"train", "val"}
    for item in items(test):
        number = int(item["img_id"][-7:-5])
        assert item["gt_label"] == number // 3 and item["gt_bboxes_ori"].tolist() == [[1, 2, 30, number + 3]]
        assert item["img_id"].split("/")[0] == WNIDS[number // 3]
    assert train.metainfo["classes"][:2] == ("tench", "English springer") and train.num_classes == 10


def test_halves_are_of_the_names_whatever_the_folders(root):
    halves = {split: ids(Imagenette(root, split)) for split in HALVES}
    assert sorted(halves["calibration"]) == [
        f"{wnid}/ILSVRC2012_val_{number:08d}.JPEG"
        for label, wnid in enumerate(WNIDS)
        for number in (3 * label, 3 * label + 2)
    ]
    assert sorted(sum(halves.values(), [])) == sorted(ids(Imagenette(root, "test")))
    for path in root.glob("train/*/ILSVRC*"):  # sorted by the user; the list still has the archive's folders
        path.rename(root / "val" / path.parent.name / path.name)
    lines = (root / "boxes.csv").read_text().splitlines()
    layouts.write_lines(root / "boxes.csv", [lines[0], *reversed(lines[1:])])
    assert {split: ids(Imagenette(root, split)) for split in HALVES} == halves


def test_a_bad_record_moves_no_image_to_the_other_half(root):
    before = {split: set(ids(Imagenette(root, split))) for split in HALVES}
    (root / "val" / WNIDS[1] / "ILSVRC2012_val_00000003.JPEG").unlink()
    edit(
        root / "boxes.csv",
        "ILSVRC2012_val_00000007.JPEG,val,n02979186,1,",
        "ILSVRC2012_val_00000007.JPEG,val,n02979186,x,",
    )
    with pytest.raises(
        ValueError, match=r"2 bad record(.|\n)*four finite numbers(.|\n)*00003.JPEG' is not in 'train' or"
    ):
        Imagenette(root, "report")
    bad = {f"{WNIDS[1]}/ILSVRC2012_val_00000003.JPEG", f"{WNIDS[2]}/ILSVRC2012_val_00000007.JPEG"}
    for split in HALVES:
        assert set(ids(Imagenette(root, split, on_error="skip"))) == before[split] - bad


def test_squashed_form(root):
    """Sizes in the list are those of the files, wherever the boxes come from."""
    for path in root.glob("*/*/*.JPEG"):
        layouts.write_image(path, (32, 32))
    edit(root / "boxes.csv", "00029.JPEG,val,n03888257,1,2,30,32", "00029.JPEG,val,n03888257,1,2,30,33")
    with pytest.raises(ValueError, match=r"ILSVRC2012_val_00000029.JPEG(.|\n)*outside its image of 32x32"):
        Imagenette(root, "test", check_images=True)
    layouts.write_lines(root / "classes.txt", ["n01440764 tench"])  # of no use here
    assert len(Imagenette(root, "test", check_images=True, on_error="skip")) == 29


# ---- mistakes -------------------------------------------------------------------------------------


def move(root, name, folder):
    """Move a photograph to another class folder of 'train'."""
    [path] = root.glob(f"*/*/{name}")
    path.rename(root / "train" / folder / name)


def wrong_sizes(root):
    """Add sizes of 9x9 to the list."""
    header, *rows = (root / "boxes.csv").read_text().splitlines()
    layouts.write_lines(root / "boxes.csv", [f"{header},width,height", *(f"{row},9,9" for row in rows)])


MISTAKES = {
    "no image": lambda root: shutil.rmtree(root / "val"),
    "no list": lambda root: (root / "boxes.csv").unlink(),
    "another archive": lambda root: layouts.write_image(root / "val/n02086240/n02086240_1.JPEG"),
    "no class": lambda root: [path.unlink() for path in root.glob("*/n03888257/ILSVRC*")],
    "unknown name": lambda root: layouts.write_image(root / "val/n01440764/tench.JPEG"),
    "wrong folder": lambda root: move(root, "n01440764_0.JPEG", "n02102040"),
    "wrong label": lambda root: move(root, "ILSVRC2012_val_00000000.JPEG", "n02102040"),
    "twice": lambda root: layouts.write_image(root / "train/n01440764/ILSVRC2012_val_00000000.JPEG"),
    "not there": lambda root: (root / "val/n01440764/ILSVRC2012_val_00000000.JPEG").unlink(),
    "not listed": lambda root: edit(
        root / "boxes.csv", "val/n01440764/ILSVRC2012_val_00000000.JPEG,val,n01440764,1,2,30,3\n", ""
    ),
    "two paths": lambda root: edit(
        root / "boxes.csv", "train/n01440764/ILSVRC2012_val_00000001", "x/ILSVRC2012_val_00000000"
    ),
    "training box": lambda root: edit(root / "boxes.csv", "ILSVRC2012_val_00000000", "n01440764_0"),
    "no box": lambda root: edit(root / "boxes.csv", "0000.JPEG,val,n01440764,1,2,30,3", "0000.JPEG,val,n01440764,,,,"),
    "width": lambda root: edit(root / "boxes.csv", "x0,y0,x1,y1", "x,y,w,h"),
    "size": wrong_sizes,
}
ANSWERS = {
    "no image": "val' does not exist: data_root is the folder that fastai's archive unpacks to",
    "no list": "boxes.csv' does not exist: tools/dataset_converters/imagenette.py makes it",
    "another archive": r"val/n02086240' is no class folder of Imagenette, (.|\n)*is it another archive",
    "no class": r"no photograph of ILSVRC's validation set of the class\(es\) n03888257 \(parachute\): unpack",
    "unknown name": "'tench.JPEG' is named neither like(.|\n)*: remove it",
    "wrong folder": "a photograph of class 'n01440764' is in the folder of 'n02102040': move it",
    "wrong label": "is listed as class 'n01440764' and lies in the folder of 'n02102040': correct",
    "twice": "the photograph is there twice, also as 'train/n01440764/ILSVRC2012_val_00000000.JPEG': unpack one",
    "not there": "'val/n01440764/ILSVRC2012_val_00000000.JPEG' is not in 'train' or 'val': unpack the whole archive",
    "not listed": "'val/n01440764/ILSVRC2012_val_00000000.JPEG' is not listed: move the list away and make it again",
    "two paths": "'val/n01440764/ILSVRC2012_val_00000000.JPEG' is listed under two paths or splits: remove one",
    "training box": "'val/n01440764/n01440764_0.JPEG' is no photograph of ILSVRC's validation set",
    "no box": "'val/n01440764/ILSVRC2012_val_00000000.JPEG' has no box: move the list away",
    "width": "has boxes as xywh: name the columns x0,y0,x1,y1",
    "size": "is outside its image of 9x9",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(root, name):
    MISTAKES[name](root)
    with pytest.raises((ValueError, FileNotFoundError), match=ANSWERS[name]):
        Imagenette(root, "test")


def test_training_needs_no_list(root):
    (root / "boxes.csv").unlink()
    assert len(Imagenette(root)) == 20 and len(Imagenette(root, k_shot=1)) == 10
    shutil.rmtree(root / "train" / WNIDS[0])
    (root / "val" / WNIDS[0] / f"{WNIDS[0]}_1.JPEG").unlink()
    with pytest.raises(ValueError, match=r"of ImageNet's training set of the class\(es\) n01440764 \(tench\)"):
        Imagenette(root)
    with pytest.raises(ValueError, match="has the splits .* got 'val'; the archives' folder 'val' is none"):
        Imagenette(root, "val")


# ---- the real photographs -------------------------------------------------------------------------


@requires_data("imagenette-wsol")
def test_real_counts():
    train, test, *halves = (Imagenette(DATA_DIR / "imagenette-wsol", split) for split in Imagenette.splits)
    assert len(train) == 12894 and np.bincount(labels(train)).tolist() == [1300, 1300, 1300, 1194] + [1300] * 6
    assert len(test) == 500 and sum(map(len, boxes(test))) == 813
    for half in halves:
        assert len(half) == 250 and np.bincount(labels(half)).tolist() == [25] * 10
    assert sorted(ids(halves[0]) + ids(halves[1])) == sorted(ids(test))
    assert ids(halves[0])[0] == "n01440764/ILSVRC2012_val_00000293.JPEG"
    assert ids(halves[1])[0] == "n01440764/ILSVRC2012_val_00002138.JPEG"


@requires_data("imagenette-wsol")
def test_real_baselines():
    metric = LocBaselines()
    for item in items(Imagenette(DATA_DIR / "imagenette-wsol", "test", test_mode=True)):
        metric.process(None, [dict(item, ori_shape=(224, 224), img_shape=(224, 224))])
    assert {name: round(value, 1) for name, value in metric.evaluate(500).items()} == {
        "baseline/whole_frame_gt_known": 36.0,
        "baseline/whole_frame_box_acc_v2": 38.4,
        "baseline/center_box_gt_known": 17.2,
        "baseline/center_box_box_acc_v2": 26.3,
    }
