"""Writers of tiny copies of every on-disk layout that mmwsol reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (40, 30)  # W, H of every picture
WNIDS = ("n01440764", "n01443537", "n02000001")


def write_image(path: Path, size: tuple[int, int] = SIZE, seed: int = 0) -> Path:
    """Write a random picture of ``size`` (W, H)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_lines(path: Path, lines: list[str], newline: str = "\n", end: bool = True) -> Path:
    """Write a list file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((newline.join(lines) + (newline if end else "")).encode())
    return path


def cub(root: Path, masks: bool = False, classes: bool = True) -> Path:
    """CUB-200-2011: images 1-4 of two classes, 1 and 3 for training."""
    ids = [f"{c:03d}.Bird_{c}/Bird_{c}_{n}.jpg" for c in (1, 2) for n in (1, 2)]
    for number, name in enumerate(ids):
        write_image(root / "images" / name, seed=number)
        if masks:
            mask = np.zeros(SIZE[::-1], np.uint8)
            mask[5:20, 10:30] = 128
            path = (root / "segmentations" / name).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
    write_lines(root / "images.txt", [f"{n} {name}" for n, name in enumerate(ids, 1)])
    write_lines(root / "image_class_labels.txt", ["1 1", "2 1", "3 2", "4 2"])
    write_lines(root / "train_test_split.txt", ["1 1", "2 0", "3 1", "4 0"])
    boxes = [f"{n} {n}.0 2.0 10.0 {n + 3}.0" for n in range(1, 5)]
    write_lines(root / "bounding_boxes.txt", boxes)
    if classes:
        write_lines(root / "classes.txt", ["1 001.Bird_1", "2 002.Bird_2"])
    return root


def ilsvrc(root: Path, flat: bool = False) -> Path:
    """ILSVRC: three classes, two training and one validation image each, and both kinds of lists."""
    for label, wnid in enumerate(WNIDS):
        for number in range(2):
            write_image(root / "train" / wnid / f"{wnid}_{number}.JPEG", seed=number)
        val = root / "val" if flat else root / "val" / wnid
        write_image(val / f"ILSVRC2012_val_0000000{label + 1}.JPEG", seed=label)
    train = [f"{w}/{w}_{n}.JPEG {i}" for i, w in enumerate(WNIDS) for n in range(2)]
    write_lines(root / "train.txt", train)
    boxes = ["1 2 11 12", "3 4 20 21 5 6 30 29", "0 0 39 29"]
    val = [f"{w}/ILSVRC2012_val_0000000{i + 1}.JPEG {i} {boxes[i]}" for i, w in enumerate(WNIDS)]
    write_lines(root / "val_folder_new.txt", val)
    ids = [f"val/ILSVRC2012_val_0000000{i + 1}.JPEG" for i in range(3)]
    wsol(root / "metadata", ids, [0, 1, 2], [boxes[0], "3 4 20 21", "5 6 30 29", boxes[2]], [0, 1, 1, 2])
    return root


def wsol(folder: Path, ids: list[str], labels: list[int], boxes: list[str], owner: list[int]) -> Path:
    """wsolevaluation's four files; ``boxes[i]`` belongs to ``ids[owner[i]]``."""
    write_lines(folder / "image_ids.txt", ids)
    write_lines(folder / "class_labels.txt", [f"{n},{c}" for n, c in zip(ids, labels, strict=True)])
    write_lines(folder / "image_sizes.txt", [f"{n},{SIZE[0]},{SIZE[1]}" for n in ids])
    rows = [f"{ids[o]},{b.replace(' ', ',')}" for b, o in zip(boxes, owner, strict=True)]
    write_lines(folder / "localization.txt", rows)
    return folder


def wsol_masks(root: Path) -> Path:
    """wsolevaluation's OpenImages form: mask lists, the ignore file only on the first line of an image."""
    ids = ["val/a/1.jpg", "val/b/2.jpg"]
    folder = root / "metadata"
    wsol(folder, ids, [0, 1], [], [])
    write_lines(folder / "image_sizes.txt", [], end=False)
    rows = [
        "val/a/1.jpg,val/a/1_m0.png,val/a/1_ignore.png",
        "val/a/1.jpg,val/a/1_m1.png,",
        "val/b/2.jpg,val/b/2_m0.png,val/b/2_ignore.png",
    ]
    write_lines(folder / "localization.txt", rows)
    return root


def tiny_folders(root: Path) -> Path:
    """Tiny-ImageNet in class folders: two classes, two training and one validation image each."""
    write_lines(root / "classes.txt", [f"{WNIDS[0]} tench fish", f"{WNIDS[1]} goldfish"])
    for split, count in (("train", 2), ("val", 1)):
        rows = []
        for wnid in WNIDS[:2]:
            for number in range(count):
                name = f"{split}/{wnid}/{wnid}_{number}.JPEG"
                write_image(root / name, seed=number)
                rows.append(f"{name} {number} 2 {number + 20} 25")
        write_lines(root / f"{split}_boxes.txt", rows)
    return root


def tiny_public(root: Path) -> Path:
    """The public Tiny-ImageNet-200 layout, with two classes, listed out of order."""
    write_lines(root / "wnids.txt", [WNIDS[1], WNIDS[0]])
    words = [f"{WNIDS[0]}\ttench, Tinca tinca", f"{WNIDS[1]}\tgoldfish", f"{WNIDS[2]}\tother"]
    write_lines(root / "words.txt", words)
    val = []
    for index, wnid in enumerate(WNIDS[:2]):
        rows = []
        for number in range(2):
            write_image(root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG")
            rows.append(f"{wnid}_{number}.JPEG\t{number}\t2\t20\t25")
        write_lines(root / "train" / wnid / f"{wnid}_boxes.txt", rows)
        write_image(root / "val" / "images" / f"val_{index}.JPEG")
        val.append(f"val_{index}.JPEG\t{wnid}\t4\t5\t30\t{20 + index}")
    write_lines(root / "val" / "val_annotations.txt", val)
    return root


def csv_list(root: Path, header: bool = True) -> Path:
    """One CSV with two splits: 'a b.jpg' has two boxes, 'c.jpg' none, 'd.jpg' a mask."""
    for name in ("a b.jpg", "c.jpg", "d.jpg", "e.jpg"):
        write_image(root / "img" / name)
    rows = [
        "a b.jpg,train,cat,1,2,11,12",
        "c.jpg,train,dog,,,,",
        "a b.jpg,train,cat,3,4,20,21",
        "d.jpg,val,dog,0,0,39,29,d_m.png,d_i.png",
        "e.jpg,val,ant",
    ]
    columns = ["path,split,label,x0,y0,x1,y1,mask,ignore"] if header else []
    return write_lines(root / "list.csv", columns + rows)


def coco(root: Path, change=None) -> Path:
    """COCO json, category ids 3 and 7; image 5 has two boxes, 6 one, 9 none but a label."""
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        write_image(root / name)
    width, height = SIZE
    images = [(5, "a.jpg"), (6, "b.jpg"), (9, "c.jpg")]
    content = dict(
        images=[dict(id=i, file_name=name, width=width, height=height) for i, name in images],
        categories=[dict(id=7, name="dog"), dict(id=3, name="cat")],
        annotations=[
            dict(id=1, image_id=5, category_id=7, bbox=[1.5, 2, 10, 11]),
            dict(id=2, image_id=5, category_id=7, bbox=[3, 4, 5, 6]),
            dict(id=3, image_id=6, category_id=3, bbox=[0, 0, 40, 30]),
        ],
    )
    content["images"][2]["label"] = 7
    if change is not None:
        change(content)
    path = root / "list.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def voc_xml(path: Path, objects: list[tuple[str, str]], size: tuple[int, int] = SIZE) -> Path:
    """One VOC xml; objects are (name, 'x0 y0 x1 y1')."""
    items = ""
    for name, box in objects:
        keys = zip(("xmin", "ymin", "xmax", "ymax"), box.split(), strict=True)
        corners = "".join(f"<{key}>{value}</{key}>" for key, value in keys)
        items += f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"
    w, h = size
    text = f"<annotation><size><width>{w}</width><height>{h}</height></size>{items}</annotation>"
    return write_lines(path, [text])


def voc_folders(root: Path) -> Path:
    """Class folders with flat VOC xml beside them (NEU-DET's layout); one image has no xml."""
    for cls in ("crazing", "rolled-in_scale"):
        for number in (1, 2):
            write_image(root / "images" / cls / f"{cls}_{number}.jpg")
    voc_xml(root / "annotations" / "crazing_1.xml", [("crazing", "1 2 11 12"), ("patches", "3 4 40 30")])
    voc_xml(root / "annotations" / "crazing_2.xml", [("crazing", "5 6 7 8")])
    voc_xml(root / "annotations" / "rolled-in_scale_1.xml", [("rolled-in scale", "1 1 2 2")])
    return root


def yolo_folders(root: Path) -> Path:
    """Class folders with images/ and labels/ inside, same names in both classes (Brain Tumor's layout)."""
    for cls in ("Glioma", "No Tumor"):
        for number in (1, 2):
            write_image(root / "Train" / cls / "images" / f"gg ({number}).jpg")
    write_lines(root / "Train" / "Glioma" / "labels" / "gg (1).txt", ["0 0.5 0.5 0.5 0.2", "0 0.1 0.1 0.2 0.2"])
    write_lines(root / "Train" / "Glioma" / "labels" / "gg (2).txt", ["0 0.5 0.5 1.0 1.0"])
    write_lines(root / "Train" / "No Tumor" / "labels" / "gg (1).txt", [], end=False)
    return root
