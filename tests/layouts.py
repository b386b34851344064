"""Writers of tiny copies of every on-disk layout that mmwsol reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from mat4py import savemat
from PIL import Image

SIZE = (40, 30)  # W, H of every picture
WNIDS = ("n01440764", "n01443537", "n02000001")
IMAGENETTE = dict(
    n01440764=0, n02102040=217, n02979186=482, n03000684=491, n03028079=497, n03394916=566, n03417042=569,
    n03425413=571, n03445777=574, n03888257=701,
)  # fmt: skip


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


CUB_FOLDERS = ("001.Black_footed_Albatross", "002.Laysan_Albatross")


def cubv2(root: Path) -> Path:
    """CUBv2: two images of the first class, one of the second."""
    ids = [f"{CUB_FOLDERS[0]}/30107316117.jpg", f"{CUB_FOLDERS[0]}/33844942958.jpg", f"{CUB_FOLDERS[1]}/7.jpg"]
    for number, name in enumerate(ids):
        write_image(root / "images" / name, seed=number)
    wsol(root / "metadata/CUB/val", ids, [0, 0, 1], ["1 2 11 12", "3 4 20 21", "0 0 39 29"], [0, 1, 2])
    return root


def imagenetv2(root: Path) -> Path:
    """ImageNetV2: images 0 and 1 of classes 0 and 10; the image of class 10 has two boxes."""
    ids = ["val2/0/0.jpeg", "val2/10/1.jpeg"]
    for number, name in enumerate(ids):
        write_image(root / name, seed=number)
    wsol(root / "metadata/ILSVRC/val", ids, [0, 10], ["1 2 11 12", "3 4 20 21", "0 0 39 29"], [0, 1, 1])
    return root


def openimages(root: Path) -> Path:
    """OpenImages30k: one image of two classes each in every split; the first has two masks in val and test."""
    mids = ("01226z", "0138tl")
    for split in ("train", "val", "test"):
        ids, rows = [f"{split}/{mid}/{label}a.jpg" for label, mid in enumerate(mids)], []
        for label, name in enumerate(ids):
            write_image(root / name, seed=label)
            masks = [name.replace(".jpg", f"_m{n}.png") for n in range(2 - label)] if split != "train" else []
            for number, mask in enumerate(masks):
                ignore = name.replace(".jpg", "_ignore.png")
                rows.append(f"{name},{mask},{ignore if number == 0 else ''}")
                for path in (mask, ignore):
                    pixels = np.zeros(SIZE[::-1], bool)
                    pixels[5:20, 5 + 10 * number : 15] = path == mask
                    Image.fromarray(pixels).save(root / path)
        folder = root / "metadata/OpenImages" / split
        wsol(folder, ids, [0, 1], [], [])
        write_lines(folder / "image_sizes.txt", [], end=False)
        write_lines(folder / "localization.txt", rows, end=False)
    return root


DOGS = ("n02085620-Chihuahua", "n02085782-Japanese_spaniel")


def dogs(root: Path) -> Path:
    """Stanford Dogs, the release: one training image a breed, two test images of the first and one of the second."""
    names = {"train": [], "test": []}
    for split, numbers in (("train", ((1,), (22,))), ("test", ((333, 4444), (55555,)))):
        for dog, group in zip(DOGS, numbers, strict=True):
            names[split] += [f"{dog}/{dog.split('-')[0]}_{number}.jpg" for number in group]
        for name in names[split]:
            write_image(root / "Images" / name)
            objects = [("x", "1 2 11 12")] + ([("x", "3 4 20 21")] if name.endswith("_333.jpg") else [])
            voc_xml((root / "Annotation" / name).with_suffix(""), objects, size=(1, 1))  # the size is not used
        labels = [float(1 + DOGS.index(name.split("/")[0])) for name in names[split]]
        savemat(str(root / f"{split}_list.mat"), dict(file_list=names[split], labels=labels))
    return root


def dogs_sat(root: Path) -> Path:
    """The same in SAT's lists."""
    for split, numbers in (("train", (1, 22)), ("test", (333, 55555))):
        names = [f"{dog}/{dog.split('-')[0]}_{number}.jpg" for dog, number in zip(DOGS, numbers, strict=True)]
        for name in names:
            write_image(root / split / name)
        write_lines(root / f"{split}_list.txt", [f"{name};{label}" for label, name in enumerate(names)])
    write_lines(root / "test_gt.txt", ["1.0 2.0 11.0 12.0 3.0 4.0 20.0 21.0 30 40", "0.0 0.0 39.0 29.0 30 40"])
    return root


def cars(root: Path, whole: bool = True) -> Path:
    """Stanford Cars, the release in one of its two forms: two training images, two test images."""
    boxes = [(3, 7, 23, 17), (1, 1, 40, 30), (5, 8, 35, 28), (2, 3, 41, 30)]
    columns = {f"bbox_{key}": [box[i] for box in boxes] for i, key in enumerate(("x1", "y1", "x2", "y2"))}
    classes = [1, 2, 2, 1]
    if whole:
        names = [f"car_ims/{number:06d}.jpg" for number in (1, 2, 46, 47)]
        root.mkdir(parents=True, exist_ok=True)
        rows = {"relative_im_path": names, **columns, "class": classes, "test": [0, 0, 1, 1]}
        savemat(str(root / "cars_annos.mat"), dict(annotations=rows))
    else:
        names = []
        (root / "devkit").mkdir(parents=True)
        for split, at in (("train", slice(0, 2)), ("test", slice(2, 4))):
            part = {key: values[at] for key, values in columns.items()}
            part = {**part, "class": classes[at], "fname": ["00001.jpg", "00002.jpg"]}
            name = "cars_train_annos.mat" if split == "train" else "cars_test_annos_withlabels.mat"
            savemat(str(root / "devkit" / name), dict(annotations=part))
            names += [f"cars_{split}/{name}" for name in part["fname"]]
    for name in names:
        write_image(root / name)
    return root


def sat_boxes(root: Path, classes: list[str], rows: list[str]) -> Path:
    """SAT's classes.txt and images_box.txt, with the images."""
    write_lines(root / "classes.txt", classes)
    write_lines(root / "images_box.txt", rows, end=False)
    for row in rows:
        write_image(root / "images" / f"{row.split(';')[0]}.jpg")
    return root


def aircraft(root: Path) -> Path:
    """The folder 'data' of FGVC-Aircraft: one training, two val and one test image."""
    lists = {"train": ["1025794 707-320"], "val": ["0481847 F-16A/B", "0481848 707-320"], "test": ["1514522 F/A-18"]}
    lists["trainval"] = lists["train"] + lists["val"]
    for split, rows in lists.items():
        write_lines(root / f"images_variant_{split}.txt", rows)
    names = [row.split()[0] for row in lists["trainval"] + lists["test"]]
    for name in names:
        write_image(root / "images" / f"{name}.jpg")
    write_lines(root / "images_box.txt", [f"{name} {number} 4 39 30" for number, name in enumerate(names)])
    return root


NEU = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")


def neu_flat(root: Path) -> Path:
    """NEU-DET as IMAGES and ANNOTATIONS: of each class images 240 (two objects of different classes) and 241."""
    for cls in NEU:
        for number in (240, 241):
            write_image(root / "IMAGES" / f"{cls}_{number}.jpg")
            objects = [(cls, "1 2 11 12"), ("patches", "3 4 20 21")][: 242 - number]
            voc_xml(root / "ANNOTATIONS" / f"{cls}_{number}.xml", objects)
    return root


def neu_split(root: Path) -> Path:
    """The same in train and validation, with one xml on the wrong side as in the Kaggle copy."""
    for cls in NEU:
        for number, split in ((240, "train"), (241, "validation")):
            write_image(root / split / "images" / cls / f"{cls}_{number}.jpg")
            objects = [(cls, "1 2 11 12"), ("patches", "3 4 20 21")][: 242 - number]
            side = "validation" if (cls, number) == ("crazing", 240) else split
            voc_xml(root / side / "annotations" / f"{cls}_{number}.xml", objects)
    return root


def brain(root: Path) -> Path:
    """Brain tumours: the same two file names in every class and both splits; 'No Tumor' has no boxes."""
    for split in ("Train", "Val"):
        for cls in ("Glioma", "Meningioma", "No Tumor", "Pituitary"):
            for number in (1, 2):
                write_image(root / split / cls / "images" / f"gg ({number}).jpg")
                rows = [] if cls == "No Tumor" else ["0 0.5 0.5 0.5 0.2"]
                write_lines(root / split / cls / "labels" / f"gg ({number}).txt", rows, end=False)
    return root


def imagenette(root: Path, short: int | None = None) -> Path:
    """Imagenette in fastai's form, short sides resized: two training and three validation photographs of each class.

    Both folders have both kinds. The lists of ILSVRC, in original pixels, are in ``metadata`` beside the archive; the
    first photograph of a class has two boxes.
    """
    rows: dict[str, list[str]] = {"class_labels": [], "image_sizes": [], "localization": []}
    for label, (wnid, place) in enumerate(IMAGENETTE.items()):
        for number, part in enumerate(("train", "val")):
            write_image(root / "imagenette2" / part / wnid / f"{wnid}_{number}.JPEG")
        for number, part in enumerate(("val", "train", "train"), 3 * label):
            name = f"ILSVRC2012_val_{number:08d}.JPEG"
            width, height = 60 + number, 41 + label
            scale = 1 if short is None else short / min(width, height)
            write_image(root / "imagenette2" / part / wnid / name, (int(width * scale), int(height * scale)), number)
            rows["class_labels"].append(f"val/{name},{place}")
            rows["image_sizes"].append(f"val/{name},{width},{height}")
            boxes = ["10,5,59,40", "0,0,20,30"][: 2 if number == 3 * label else 1]
            rows["localization"] += [f"val/{name},{box}" for box in boxes]
    for name, lines in rows.items():
        write_lines(root / "metadata/ILSVRC/test" / f"{name}.txt", lines)
    write_lines(root / "imagenette2/noisy_imagenette.csv", ["path,noisy_labels_0"])
    return root
