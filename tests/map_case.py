"""A small evaluation set in files: 6 images of 40x30, maps 8x8 for a frame of 32, 3 classes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

FRAME = 32
IDS = [f"class {i % 3}/{i}.jpg" for i in range(6)]


def make_set(folder: Path, seed: int = 0, images: bool = False) -> dict[str, np.ndarray]:
    """Write ``meta/`` (wsolevaluation's files), ``maps/`` (npy) and ``scores.npz``; return the maps by id.

    Map i shows the box of image i, noisily; image 4 has two boxes, the class of image 5 is predicted wrongly.
    """
    random = np.random.RandomState(seed)
    lines: dict[str, list[str]] = {name: [] for name in ("image_ids", "class_labels", "image_sizes", "localization")}
    maps, scores = {}, []
    for i, img_id in enumerate(IDS):
        start = np.array([2 + 3 * i, 4 + i])
        boxes = [[*start, *(start + (16, 14))]] + ([[1, 1, 9, 9]] if i == 4 else [])
        lines["image_ids"].append(img_id)
        lines["class_labels"].append(f"{img_id},{i % 3}")
        lines["image_sizes"].append(f"{img_id},40,30")
        lines["localization"] += [",".join([img_id, *map(str, box)]) for box in boxes]
        x0, y0, x1, y1 = (np.array(boxes[0]) * 8 / (40, 30, 40, 30)).astype(int)
        maps[img_id] = 0.3 * random.rand(8, 8).astype(np.float32)
        maps[img_id][y0 : y1 + 1, x0 : x1 + 1] += 0.7
        scores.append(np.eye(3)[(i if i != 5 else 0) % 3] + 0.1 * random.rand(3))
        file = folder / "maps" / Path(img_id).with_suffix(".npy")
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, maps[img_id])
        if images:
            picture = folder / "images" / img_id
            picture.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(picture), np.full((30, 40, 3), 40 * i, np.uint8))
    (folder / "meta").mkdir(exist_ok=True)
    for name, content in lines.items():
        (folder / "meta" / f"{name}.txt").write_text("\n".join(content) + "\n")
    np.savez(folder / "scores.npz", ids=np.array(IDS), scores=np.array(scores))
    return maps
