"""A few pictures in the layout of every data set that a config reads, under the paths that the configs have.

Pictures are those of :class:`mmwsol.datasets.Shapes`, so that boxes and masks are of something. Lists are whole where a
data set takes its classes from them or a config draws images of every class; most of their images are one file.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import torch
from layouts import IMAGENETTE, voc_xml, write_lines, wsol
from mat4py import savemat

from mmwsol.datasets import CUB, ILSVRC, NEUDET, BrainTumor, FGVCAircraft, OpenImages30k
from mmwsol.datasets.shapes import render

NUMBER = 8  # images that a test reads of a split
SIZE = 64
MARGIN = 8  # left and right of a picture: images are wider than high
IMAGE = (SIZE + 2 * MARGIN, SIZE)  # W, H
TEXTS = {
    "cub": CUB.METAINFO["classes"],
    "ilsvrc": ILSVRC.METAINFO["classes"],
    "brain-tumor": BrainTumor.METAINFO["classes"],
    "neu-det": NEUDET.METAINFO["classes"],
    "openimages": OpenImages30k.METAINFO["classes"],
}
TEXT_DIM = 16


class Pictures:
    """Writes pictures; those with one number are one file."""

    def __init__(self) -> None:
        self.drawn = [render(index, "life", SIZE)[:2] for index in range(NUMBER)]
        self.written: dict[tuple, Path] = {}

    def box(self, index: int, margin: int = MARGIN) -> list[int]:
        """Return x0, y0, x1, y1 of picture ``index``."""
        ys, xs = np.nonzero(self.drawn[index % NUMBER][1])
        return [int(xs.min()) + margin, int(ys.min()), int(xs.max()) + margin, int(ys.max())]

    def image(self, path: Path, index: int, margin: int = MARGIN) -> None:
        """Write picture ``index``."""
        picture = cv2.copyMakeBorder(self.drawn[index % NUMBER][0], 0, 0, margin, margin, cv2.BORDER_REFLECT)
        self._write(path, picture, ("image", index % NUMBER, margin, path.suffix))

    def mask(self, path: Path, index: int) -> None:
        """Write the mask of picture ``index``."""
        mask = np.pad(self.drawn[index % NUMBER][1], ((0, 0), (MARGIN, MARGIN)))
        self._write(path, 255 * mask.astype(np.uint8), ("mask", index % NUMBER))

    def _write(self, path: Path, pixels: np.ndarray, key: tuple) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if key in self.written:
            os.link(self.written[key], path)
            return
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
        self.written[key] = path


def text(box: list[int], sep: str = " ") -> str:
    """Join the numbers of a box."""
    return sep.join(map(str, box))


def cub(root: Path, pictures: Pictures) -> None:
    """An image of every class for training, of the first eight for test; masks too."""
    lists: dict[str, list[str]] = {"images": [], "image_class_labels": [], "train_test_split": [], "bounding_boxes": []}
    labels = [*range(200), *range(NUMBER)]
    for number, label in enumerate(labels, 1):
        name = f"{label + 1:03d}.{CUB.METAINFO['classes'][label]}/{number}.jpg"
        pictures.image(root / "images" / name, number)
        pictures.mask((root / "segmentations" / name).with_suffix(".png"), number)
        x0, y0, x1, y1 = pictures.box(number)
        lists["images"].append(f"{number} {name}")
        lists["image_class_labels"].append(f"{number} {label + 1}")
        lists["train_test_split"].append(f"{number} {int(number <= 200)}")
        lists["bounding_boxes"].append(f"{number} {x0}.0 {y0}.0 {x1 - x0}.0 {y1 - y0}.0")
    for name, lines in lists.items():
        write_lines(root / f"{name}.txt", lines)


def cubv2(root: Path, pictures: Pictures) -> None:
    """An image of each of the first eight classes."""
    held_out(root, pictures, "images", "metadata/CUB/val", [f"{label}/{label}.jpg" for label in range(NUMBER)])


def imagenetv2(root: Path, pictures: Pictures) -> None:
    """An image of each of the first eight classes."""
    held_out(root, pictures, "", "metadata/ILSVRC/val", [f"val2/{label}/0.jpeg" for label in range(NUMBER)])


def held_out(root: Path, pictures: Pictures, images: str, lists: str, ids: list[str]) -> None:
    """Write images and wsolevaluation's files."""
    for index, name in enumerate(ids):
        pictures.image(root / images / name, index)
    everything = list(range(len(ids)))
    wsol(root / lists, ids, everything, [text(pictures.box(index)) for index in everything], everything)
    write_lines(root / lists / "image_sizes.txt", [f"{name},{text(list(IMAGE), ',')}" for name in ids])


def ilsvrc(root: Path, pictures: Pictures) -> None:
    """An image of every class for training, flat ones of the first eight for validation, one with two boxes."""
    for label in range(1000):
        wnid = f"n{label + 1:08d}"
        pictures.image(root / "train" / wnid / f"{wnid}_0.JPEG", label)
    lines = []
    for label in range(NUMBER):
        name = f"ILSVRC2012_val_{label + 1:08d}.JPEG"
        pictures.image(root / "val" / name, label)
        boxes = text(pictures.box(label)) + (" 1 2 30 40" if label == 1 else "")
        lines.append(f"n{label + 1:08d}/{name} {label} {boxes}")
    write_lines(root / "val_folder_new.txt", lines)


def openimages(root: Path, pictures: Pictures) -> None:
    """Eight images of every split; those of val and test have a mask each."""
    for split in ("train", "val", "test"):
        ids, rows = [f"{split}/c{label}/{label}.jpg" for label in range(NUMBER)], []
        for label, name in enumerate(ids):
            pictures.image(root / name, label)
            if split != "train":
                mask, ignore = name.replace(".jpg", "_m.png"), name.replace(".jpg", "_ignore.png")
                pictures.mask(root / mask, label)
                cv2.imwrite(str(root / ignore), np.zeros(IMAGE[::-1], np.uint8))
                rows.append(f"{name},{mask},{ignore}")
        folder = root / "metadata/OpenImages" / split
        wsol(folder, ids, list(range(NUMBER)), [], [])
        write_lines(folder / "image_sizes.txt", [], end=False)
        write_lines(folder / "localization.txt", rows, end=False)


def dogs(root: Path, pictures: Pictures) -> None:
    """The release: an image of every breed in both splits, the breeds are counted in the lists."""
    for split, start in (("train", 0), ("test", 1000)):
        names = [f"n{breed:08d}-Breed{breed}/n{breed:08d}_{start + breed}.jpg" for breed in range(120)]
        for breed, name in enumerate(names):
            pictures.image(root / "Images" / name, breed)
            voc_xml((root / "Annotation" / name).with_suffix(""), [("dog", text(pictures.box(breed)))], IMAGE)
        labels = [float(breed + 1) for breed in range(120)]
        savemat(str(root / f"{split}_list.mat"), dict(file_list=names, labels=labels))


def cars(root: Path, pictures: Pictures) -> None:
    """The release: eight images of every split."""
    numbers = range(2 * NUMBER)
    names = [f"car_ims/{number + 1:06d}.jpg" for number in numbers]
    boxes = [pictures.box(number) for number in numbers]
    columns = {f"bbox_{key}": [box[i] for box in boxes] for i, key in enumerate(("x1", "y1", "x2", "y2"))}
    for number, name in enumerate(names):
        pictures.image(root / name, number)
    labels = [number % NUMBER + 1 for number in numbers]
    flags = [int(number >= NUMBER) for number in numbers]
    rows = {"relative_im_path": names, **columns, "class": labels, "test": flags}
    savemat(str(root / "cars_annos.mat"), dict(annotations=rows))


def aircraft(root: Path, pictures: Pictures) -> None:
    """The release: eight images of trainval and test."""
    boxes = []
    for split, start in (("trainval", 0), ("test", NUMBER)):
        lines = []
        for index in range(NUMBER):
            name = f"{start + index:07d}"
            pictures.image(root / "images" / f"{name}.jpg", index)
            lines.append(f"{name} {FGVCAircraft.METAINFO['classes'][index]}")
            boxes.append(f"{name} {text(pictures.box(index))}")
        write_lines(root / f"images_variant_{split}.txt", lines)
    write_lines(root / "images_box.txt", boxes)


def neu(root: Path, pictures: Pictures) -> None:
    """Two images of every class in both splits."""
    for split in ("train", "validation"):
        for cls in NEUDET.METAINFO["classes"]:
            for number in (1, 2):
                pictures.image(root / split / "images" / cls / f"{cls}_{number}.jpg", number)
                boxes = [text([value + 1 for value in pictures.box(number)]), "2 3 20 20"]
                file = root / split / "annotations" / f"{cls}_{number}.xml"
                voc_xml(file, [(cls, box) for box in boxes], IMAGE)


def brain(root: Path, pictures: Pictures) -> None:
    """Two images of every class in both splits; those of 'No Tumor' have no box."""
    width = IMAGE[0]
    for split in ("Train", "Val"):
        for cls in BrainTumor.METAINFO["classes"]:
            for number in (1, 2):
                pictures.image(root / split / cls / "images" / f"gg ({number}).jpg", number)
                x0, y0, x1, y1 = pictures.box(number)
                row = f"0 {(x0 + x1) / 2 / width} {(y0 + y1) / 2 / SIZE} {(x1 - x0) / width} {(y1 - y0) / SIZE}"
                rows = [] if cls == "No Tumor" else [row]
                write_lines(root / split / cls / "labels" / f"gg ({number}).txt", rows, end=False)


def tiny_imagenet(root: Path, pictures: Pictures) -> None:
    """An image of each of 20 classes in both splits, 64x64."""
    wnids = [f"n{label + 1:08d}" for label in range(20)]
    write_lines(root / "classes.txt", [f"{wnid} class {label}" for label, wnid in enumerate(wnids)])
    for split in ("train", "val"):
        rows = []
        for label, wnid in enumerate(wnids):
            name = f"{split}/{wnid}/{wnid}_0.JPEG"
            pictures.image(root / name, label, margin=0)
            rows.append(f"{name} {text(pictures.box(label, margin=0))}")
        write_lines(root / f"{split}_boxes.txt", rows)


def imagenette(root: Path, pictures: Pictures) -> None:
    """Two photographs of every class for training, two with a box."""
    rows = ["path,split,label,x0,y0,x1,y1"]
    for label, wnid in enumerate(IMAGENETTE):
        for number in (2 * label, 2 * label + 1):
            pictures.image(root / "train" / wnid / f"{wnid}_{number}.JPEG", label)
            name = f"val/{wnid}/ILSVRC2012_val_{number:08d}.JPEG"
            pictures.image(root / name, number)
            rows.append(f"{name},val,{wnid},{text(pictures.box(number), ',')}")
    write_lines(root / "boxes.csv", rows)


def custom(root: Path, pictures: Pictures) -> None:
    """A CSV of two classes and three splits; training images have no box."""
    rows = ["path,split,label,x0,y0,x1,y1"]
    for split in ("train", "val", "test"):
        for index in range(NUMBER):
            name = f"{split}_{index}.jpg"
            pictures.image(root / name, index)
            box = ",,," if split == "train" else text(pictures.box(index), ",")
            rows.append(f"{name},{split},{('background', 'object')[index % 2]},{box}")
    write_lines(root / "list.csv", rows)


def clip_texts(root: Path) -> None:
    """Files of tools/make_clip_text_embeddings.py, with random embeddings."""
    root.mkdir(parents=True)
    for name, classes in TEXTS.items():
        embeddings = torch.randn(len(classes), TEXT_DIM, generator=torch.Generator().manual_seed(0))
        torch.save(dict(embeddings=embeddings, classes=list(classes)), root / f"{name}_vit-b-32.pt")


DATA_SETS = {
    "CUB_200_2011": cub,
    "CUBV2": cubv2,
    "ILSVRC2012": ilsvrc,
    "ImageNetV2": imagenetv2,
    "OpenImages": openimages,
    "StanfordDogs": dogs,
    "StanfordCars": cars,
    "fgvc-aircraft-2013b/data": aircraft,
    "NEU-DET": neu,
    "BrainTumor": brain,
    "tiny-imagenet-20": tiny_imagenet,
    "imagenette": imagenette,
    "custom": custom,
}


def write_data(root: Path) -> Path:
    """Write all of them into ``root/data``, the folder that the configs have; Shapes renders its own."""
    pictures = Pictures()
    for name, write in DATA_SETS.items():
        write(root / "data" / name, pictures)
    clip_texts(root / "data/clip")
    return root
