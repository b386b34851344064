"""A folder of images as users have them: dark cats with a bright box, bright dogs with a dark one."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

BOX = (30, 20, 80, 60)
SIZE = (120, 90)  # W, H
CLASSES = ("cat", "dog")


def write_images(folder: Path, number: int, start: int = 0) -> list[str]:
    """Write ``number`` images a class into a folder; return their paths in it."""
    rng = np.random.default_rng(start)
    paths = []
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(start, start + number):
            image = rng.integers(0, 60, (SIZE[1], SIZE[0], 3))
            image[BOX[1] : BOX[3], BOX[0] : BOX[2]] += 150
            pixels = (255 * label + (1 - 2 * label) * image).clip(0, 255).astype(np.uint8)
            paths.append(f"{name}/{index}.jpg")
            cv2.imwrite(str(folder / paths[-1]), pixels)
    return paths


def table(paths: list[str], split: str = "") -> str:
    """Return rows of a CSV with a box an image."""
    return "".join(f"{path},{split},{path.split('/')[-2]},{','.join(map(str, BOX))}\n" for path in paths)


def coco(paths: list[str]) -> str:
    """Return COCO json with a box an image."""
    x0, y0, x1, y1 = BOX
    images = [dict(id=i, file_name=path, width=SIZE[0], height=SIZE[1]) for i, path in enumerate(paths)]
    boxes = [
        dict(id=i, image_id=i, category_id=CLASSES.index(path.split("/")[-2]), bbox=[x0, y0, x1 - x0, y1 - y0])
        for i, path in enumerate(paths)
    ]
    return json.dumps(
        dict(images=images, annotations=boxes, categories=[dict(id=i, name=n) for i, n in enumerate(CLASSES)])
    )


def voc() -> str:
    """Return the xml of an image."""
    ends = "".join(f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), BOX, strict=True))
    return f"<annotation><object><name>cat</name><bndbox>{ends}</bndbox></object></annotation>"


def yolo() -> str:
    """Return the txt of an image."""
    (x0, y0, x1, y1), (width, height) = BOX, SIZE
    return f"0 {(x0 + x1) / 2 / width} {(y0 + y1) / 2 / height} {(x1 - x0) / width} {(y1 - y0) / height}\n"


def write_split(root: Path, val: str = "val", number: int = 2) -> list[str]:
    """Write ``train`` and ``val``; return the paths of the latter below the root."""
    write_images(root / "train", 3)
    return [f"{val}/{path}" for path in write_images(root / val, number, start=10)]
