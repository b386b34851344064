"""Damaged files: every reader loads them, or says in words which file is wrong; nothing else, and never other values.

The damage is drawn from a fixed seed. What is loaded in spite of it has the labels and boxes of the whole file, for
the images that are left, unless the damage changed digits: then only the kind of outcome is checked.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
from pathlib import Path

import layouts
import numpy as np
import pytest
from map_case import make_set
from mat4py import savemat

from mmwsol.datasets import CUB, ILSVRC, FGVCAircraft, LocListDataset, StanfordCars, StanfordDogs, TinyImageNet
from mmwsol.evaluation.ground_truth import read_ground_truth
from mmwsol.evaluation.map_files import MapFiles
from mmwsol.evaluation.results_file import choose_protocol, load_results, outcomes, save_results
from mmwsol.evaluation.score_files import read_scores

ABC = dict(classes=["a", "b", "c"])


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


ROUNDS = 11  # damages of each kind of file


def results(root: Path) -> None:
    record = dict(bbox=[1, 2, 3, 4], frame_bbox=[1, 2, 3, 4], iou=0.5, rank=0, error="none")
    entry = dict(img_id="a", img_path=None, gt_label=0, gt_bboxes=[[1, 2, 3, 4]], ori_shape=[9, 9])
    entry["evaluated"] = {"LocAccuracy": record}
    content = dict(version=2, metrics={"x": 1.0}, protocol={"LocAccuracy": dict(name="tscam")}, curves={})
    for name in ("r.json", "r.pkl"):
        save_results({**content, "predictions": [entry, dict(entry, img_id="b")]}, root / name)


def read_results(path: Path):
    content = load_results(path)
    return {o.img_id: (o.gt_label, o.gt_bboxes.tolist()) for o in outcomes(content, choose_protocol(content))}


def items(dataset):
    data = [dataset.get_data_info(i) for i in range(len(dataset))]
    return {item["img_id"]: (item["gt_label"], item["gt_bboxes_ori"].tolist()) for item in data}


def read_maps(path: Path, ids: list[str]):
    maps = MapFiles(path, ["x", "y", "z"], "zero")
    maps.match(ids, allow_extra=True)
    return {img_id: maps.load(img_id)[0].shape for img_id in ids}


def score_shapes(path: Path):
    return {name: scores.shape for name, scores in read_scores(path, IDS).items()}


def map_set(root: Path) -> None:
    stored = make_set(root)
    np.savez(root / "stack.npz", ids=np.array(list(stored)), maps=np.stack(list(stored.values())))
    np.savez(root / "one.npz", **{name.replace("/", "_"): scoremap for name, scoremap in stored.items()})
    rows = "".join(f"{name},0.5,0.25,0.25\n" for name in stored)
    (root / "scores.csv").write_text("id,a,b,c\n" + rows)


IDS = [f"class {i % 3}/{i}.jpg" for i in range(6)]
# name: writer, the file that is damaged, reader
CASES = {
    "csv": (layouts.csv_list, "list.csv", lambda r: items(LocListDataset(r, "list.csv", "train"))),
    "csv skip": (layouts.csv_list, "list.csv", lambda r: items(LocListDataset(r, "list.csv", on_error="skip"))),
    "coco": (layouts.coco, "list.json", lambda r: items(LocListDataset(r, "list.json"))),
    "coco skip": (layouts.coco, "list.json", lambda r: items(LocListDataset(r, "list.json", on_error="skip"))),
    "voc": (
        layouts.voc_folders,
        "annotations/crazing_1.xml",
        lambda r: items(LocListDataset(r, "annotations", data_prefix="images")),
    ),
    "yolo": (
        layouts.yolo_folders,
        "Train/Glioma/labels/gg (1).txt",
        lambda r: items(LocListDataset(r, "Train", data_prefix="Train")),
    ),
    "ilsvrc": (
        layouts.ilsvrc,
        "val_folder_new.txt",
        lambda r: items(ILSVRC(r, "val", "val_folder_new.txt", metainfo=ABC)),
    ),
    "tiny": (layouts.tiny_folders, "val_boxes.txt", lambda r: items(TinyImageNet(r, "val"))),
    "tiny classes": (layouts.tiny_folders, "classes.txt", lambda r: items(TinyImageNet(r, "val"))),
    "tiny public": (layouts.tiny_public, "val/val_annotations.txt", lambda r: items(TinyImageNet(r, "val"))),
    "dogs": (layouts.dogs, "test_list.mat", lambda r: items(StanfordDogs(r, "test"))),
    "dogs sat": (layouts.dogs_sat, "test_gt.txt", lambda r: items(StanfordDogs(r, "test", "sat"))),
    "cars": (layouts.cars, "cars_annos.mat", lambda r: items(StanfordCars(r, "test"))),
    "aircraft": (layouts.aircraft, "images_box.txt", lambda r: items(FGVCAircraft(r, "val"))),
    "maps": (map_set, "maps/class 0/0.npy", lambda r: read_maps(r / "maps", IDS)),
    "map stack": (map_set, "stack.npz", lambda r: read_maps(r / "stack.npz", IDS)),
    "map archive": (map_set, "one.npz", lambda r: read_maps(r / "one.npz", [name.replace("/", "_") for name in IDS])),
    "scores npz": (
        map_set,
        "scores.npz",
        lambda r: {k: v.shape for k, v in read_scores(r / "scores.npz", IDS).items()},
    ),
    "scores csv": (
        map_set,
        "scores.csv",
        lambda r: {k: v.shape for k, v in read_scores(r / "scores.csv", IDS).items()},
    ),
    "results json": (results, "r.json", lambda r: read_results(r / "r.json")),
    "results pkl": (results, "r.pkl", lambda r: read_results(r / "r.pkl")),
    **{
        f"cub {name}": (layouts.cub, f"{name}.txt", lambda r: items(CUB(r)))
        for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes")
    },
    **{
        f"wsol {name}": (layouts.ilsvrc, f"metadata/{name}.txt", lambda r: items(LocListDataset(r, "metadata")))
        for name in ("image_ids", "class_labels", "image_sizes", "localization")
    },
    "ground truth": (
        map_set,
        "meta/localization.txt",
        lambda r: {i["img_id"]: (i["gt_label"], i["gt_bboxes_ori"].tolist()) for i in read_ground_truth(r / "meta")[0]},
    ),
}
HUGE = ("1e39", "-1", "nan", "inf", "1" * 400, "10000000000000", "1_0", "0x10", "")


def swap(text: str, rng: random.Random) -> str:
    """Exchange two fields of a line."""
    lines = text.split("\n")
    index = rng.randrange(len(lines))
    separator = next((mark for mark in ",; \t" if mark in lines[index]), " ")
    fields = lines[index].split(separator)
    first, second = rng.randrange(len(fields)), rng.randrange(len(fields))
    fields[first], fields[second] = fields[second], fields[first]
    lines[index] = separator.join(fields)
    return "\n".join(lines)


def replace_number(text: str, rng: random.Random) -> str:
    """Replace a number by one that no image has."""
    places = [i for i, letter in enumerate(text) if letter.isdigit() and (i == 0 or not text[i - 1].isalnum())]
    if not places:
        return text
    start = rng.choice(places)
    end = start
    while end < len(text) and text[end].isdigit():
        end += 1
    return text[:start] + rng.choice(HUGE) + text[end:]


def damage(content: bytes, kind: str, rng: random.Random) -> tuple[bytes, bool]:
    """Return the damaged content and whether the values must still be those of the whole file."""
    if kind == "cut":
        return content[: rng.randrange(len(content))], False
    if kind == "flip":
        changed = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return bytes(changed), False
    if kind == "junk":
        return rng.randbytes(rng.randrange(1, 200)), False
    if kind == "insert":
        place = rng.randrange(len(content))
        return content[:place] + rng.choice([b"\0", b"\xff", b"\xe9", b'"', b"\xed\xa0\x80", b"\n"]) + content[
            place:
        ], False
    text = content.decode("latin-1")
    if kind == "swap":
        return swap(text, rng).encode("latin-1"), False
    if kind == "number":
        return replace_number(text, rng).encode("latin-1"), False
    if kind == "encoding":  # another encoding that says what it is
        return b"\xef\xbb\xbf" + content if rng.random() < 0.5 else content.decode().encode("utf-16"), True
    return content.replace(b"\n", b"\r\n"), True  # "newline"


KINDS = ("cut", "flip", "junk", "insert", "swap", "number", "encoding", "newline")
BINARY = (".mat", ".npy", ".npz", ".pkl")


def outcome(read, root: Path):
    """Return what is read, or None for an error in words; any other error fails the test."""
    try:
        return read(root)
    except (ValueError, FileNotFoundError, OSError) as error:
        assert type(error) in (ValueError, FileNotFoundError, OSError), repr(error)
        text = str(error)
        assert len(text) > 20 and "Traceback" not in text, text
        text.encode()
        return None


@pytest.mark.parametrize("name", CASES)
def test_damaged_files(tmp_path, name):
    write, file, read = CASES[name]
    rng = random.Random(name)
    write(tmp_path)
    path = tmp_path / file
    content = path.read_bytes()
    whole = read(tmp_path)
    kinds = [kind for kind in KINDS if path.suffix not in BINARY or kind in ("cut", "flip", "junk", "insert")]
    for number in range(ROUNDS):
        kind = kinds[number % len(kinds)]
        changed, same = damage(content, kind, rng)
        path.write_bytes(changed)
        found = outcome(read, tmp_path)
        if same and path.suffix not in (".json", ".pkl") and found is not None:
            assert found == whole, (kind, changed)
        if kind == "newline":
            assert found == whole, (kind, changed)
        if found is not None and kind == "cut":  # a shorter list has fewer images or boxes, no new ones
            assert set(found) <= set(whole) or changed[-1:] not in b"\n", (kind, changed)


def test_there_are_enough():
    assert len(CASES) * ROUNDS >= 300


def test_wrong_types_in_json(tmp_path):
    """Every value of a COCO json and of a results file becomes one of another type."""
    layouts.coco(tmp_path)
    results(tmp_path)
    wrong = (None, True, -1, 1e400, "x", [], {}, [[]], 10**400)
    count = 0
    for file, read in (("list.json", CASES["coco"][2]), ("r.json", CASES["results json"][2])):
        content = json.loads((tmp_path / file).read_text())
        paths: list[tuple] = []
        collect(content, (), paths)
        for index, path in enumerate(paths):
            for value in wrong[index % 3 :: 3]:
                changed = json.loads(json.dumps(content))
                inner = changed
                for key in path[:-1]:
                    inner = inner[key]
                inner[path[-1]] = value
                (tmp_path / file).write_text(json.dumps(changed))
                outcome(read, tmp_path)
                count += 1
    assert count > 150


def collect(value, path, paths):
    """List the places of a nested value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        paths.append((*path, key))
        collect(child, (*path, key), paths)


@pytest.mark.parametrize(
    "arrays",
    [
        dict(ids=np.array(["a"]), maps=np.zeros((2, 3, 3))),
        dict(ids=np.array("a"), maps=np.zeros((1, 3, 3))),
        dict(ids=np.array(["a"]), maps=np.zeros((1, 3))),
        dict(ids=np.array(["a"]), maps=np.zeros((1, 3, 3), complex)),
        dict(ids=np.array(["a"]), maps=np.array([[["x"]]])),
        dict(ids=np.array(["a"]), maps=np.ones((1, 3, 3)), labels=np.array([np.nan])),
        dict(a=np.array(["x"])),
        dict(a=np.zeros((0, 3))),
        dict(),
    ],
)
def test_wrong_arrays(tmp_path, arrays):
    np.savez(tmp_path / "m.npz", **arrays)
    with pytest.raises(ValueError, match=r"m.npz"):
        read_maps(tmp_path / "m.npz", ["a"])
    for name, value in arrays.items():
        np.savez(tmp_path / "s.npz", **{"scores" if name == "maps" else name: value})
        with pytest.raises(ValueError, match=r"s.npz"):
            read_scores(tmp_path / "s.npz", ["a.jpg", "b.jpg"])


def test_keys_of_maps(tmp_path):
    """An index that is another class's name, two keys of one class, and numbers that no class has."""
    for keys, message in (
        (("1",), "index of one class and the name of class 0"),
        (("x", "3"), "has two maps|different|neither|two maps"),
        (("9" * 30,), "neither 'map' alone nor"),
        (("-1",), "neither 'map' alone nor"),
    ):
        shutil.rmtree(tmp_path / "m", ignore_errors=True)
        (tmp_path / "m").mkdir()
        np.savez(tmp_path / "m" / "a.npz", **{key: np.eye(3) for key in keys})
        maps = MapFiles(tmp_path / "m", ["1", "2"] if keys != ("x", "3") else ["u", "v", "w", "x"])
        maps.match(["a.jpg"])
        with pytest.raises(ValueError, match=message):
            maps.load("a.jpg")


def test_bytes_as_ids(tmp_path):
    np.savez(tmp_path / "m.npz", ids=np.array([b"a.jpg"]), maps=np.eye(3)[None])
    assert read_maps(tmp_path / "m.npz", ["a.jpg"]) == {"a.jpg": (1, 3, 3)}


def test_empty_and_broken_pictures_of_maps(tmp_path):
    for content in (b"", b"\x89PNG\r\n\x1a\n", b"x"):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ValueError, match="a.png.*cannot be decoded"):
            read_maps(tmp_path, ["a.jpg"])


def test_columns_of_different_lengths(tmp_path):
    layouts.cars(tmp_path)
    names = ("relative_im_path", "class", "test", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
    savemat(str(tmp_path / "cars_annos.mat"), dict(annotations={name: [1, 2][: len(name) % 3] for name in names}))
    with pytest.raises(ValueError, match="cars_annos.mat"):
        StanfordCars(tmp_path, "test")


def test_boxes_outside_the_stated_size(tmp_path):
    (tmp_path / "l.csv").write_text("a.jpg,,cat,1,2,30,40\n")
    assert read_ground_truth(tmp_path / "l.csv", image_size=(30, 40))[0][0]["ori_shape"] == (40, 30)
    with pytest.raises(ValueError, match=r"l.csv': box \(1, 2, 30, 40\) of image 'a.jpg' is outside its size 40x30"):
        read_ground_truth(tmp_path / "l.csv", image_size=(40, 30))
    with pytest.raises(ValueError, match="--image-size"):
        read_ground_truth(tmp_path / "l.csv", image_size=(0, 30))


def test_pickles_that_run_code_stay_refused(tmp_path):
    (tmp_path / "r.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ValueError, match="r.pkl' is no results file"):
        load_results(tmp_path / "r.pkl")
