"""Shapes: a procedural localization data set, rendered on first use; nothing is downloaded."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from mmengine.logging import print_log

from mmwsol.datasets.base import BaseLocDataset
from mmwsol.registry import DATASETS
from mmwsol.utils.progress import track

# One outline and one texture a class: the same index in both tables.
CLASSES = (
    "disc-stripes",
    "square-checks",
    "triangle-dots",
    "star-rings",
    "cross-bricks",
    "hexagon-quarters",
    "diamond-grid",
    "arrow-waves",
    "half-disc-spokes",
    "gear-weave",
)
_VERSION = 1  # raise when the pictures change: stored ones are rendered again


def _polar(radius: np.ndarray) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def _outline(kind: int) -> np.ndarray:
    """Polygon (P, 2) of class ``kind`` in the square [-1, 1]^2."""
    turn = np.arange(60)
    corners = {
        1: [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        2: [(0, -1), (1, 0.9), (-1, 0.9)],
        4: [
            (-0.4, -1),
            (0.4, -1),
            (0.4, -0.4),
            (1, -0.4),
            (1, 0.4),
            (0.4, 0.4),
            (0.4, 1),
            (-0.4, 1),
        ]
        + [(-0.4, 0.4), (-1, 0.4), (-1, -0.4), (-0.4, -0.4)],
        6: [(0, -1), (0.75, 0), (0, 1), (-0.75, 0)],
        7: [(0, -1), (1, 0), (0.45, 0), (0.45, 1), (-0.45, 1), (-0.45, 0), (-1, 0)],
    }
    if kind in corners:
        return np.array(corners[kind], float)
    if kind == 0:
        return _polar(np.ones(60))
    if kind == 3:
        return _polar(np.tile([1.0, 0.55], 5))
    if kind == 5:
        return _polar(np.ones(6))
    if kind == 8:
        half = _polar(np.ones(60))[:31]
        return (half - [0, 0.5]) * [1, 1.6]
    return _polar(np.where(turn // 3 % 2, 1.0, 0.72))  # gear


def _texture(kind: int, u: np.ndarray, v: np.ndarray, period: float) -> np.ndarray:
    """Gray values in [0, 1] of texture ``kind`` at coordinates ``u, v`` (pixels from the object's center)."""
    p, q = u / period, v / period
    wave = np.cos(2 * np.pi * p)
    if kind == 0:
        gray = wave
    elif kind == 1:
        gray = np.sign(np.sin(np.pi * p)) * np.sign(np.sin(np.pi * q))
    elif kind == 2:
        gray = 1 - 2.6 * np.hypot(p - np.round(p), q - np.round(q)) * 1.6
    elif kind == 3:
        gray = np.cos(2 * np.pi * np.hypot(p, q))
    elif kind == 4:
        row = np.floor(q)
        edge = np.minimum(np.abs(q - np.round(q)), np.abs((p / 2 + row / 2) % 1 - 0.5) * 2)
        gray = np.where(edge < 0.17, -1.0, 1.0)
    elif kind == 5:
        gray = np.sign(u) * np.sign(v)
    elif kind == 6:
        gray = np.where(np.minimum(np.abs(p - np.round(p)), np.abs(q - np.round(q))) < 0.16, 1.0, -1.0)
    elif kind == 7:
        gray = np.cos(2 * np.pi * (p + 0.35 * np.sin(2 * np.pi * q / 2)))
    elif kind == 8:
        gray = np.cos(8 * np.arctan2(v, u))
    else:
        across = (np.floor(p) + np.floor(q)) % 2 == 0
        gray = np.where(across, np.cos(4 * np.pi * p), np.cos(4 * np.pi * q))
    return np.clip(gray, -1, 1) * 0.5 + 0.5


def _noise(rng: np.random.Generator, size: int, octaves: tuple[int, ...]) -> np.ndarray:
    """Sum of smooth random fields, (size, size) scaled to [0, 1]."""
    total = np.zeros((size, size), np.float32)
    for cells in octaves:
        coarse = rng.random((cells, cells), np.float32)
        total += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) / cells**0.5
    low, high = total.min(), total.max()
    return (total - low) / (high - low)


def _two_colors(rng: np.random.Generator, contrast: float) -> tuple[np.ndarray, np.ndarray]:
    """Two random BGR colors, the second lighter by at least ``contrast`` (0-255) on average."""
    while True:
        dark, light = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
        if light.mean() - dark.mean() >= contrast:
            return dark, light


def _paint(image: np.ndarray, mask: np.ndarray, gray: np.ndarray, rng, contrast: float) -> None:
    dark, light = _two_colors(rng, contrast)
    gray = gray[..., None]
    image[mask] = (dark * (1 - gray) + light * gray)[mask]


def _polygon_mask(size: int, points: np.ndarray) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask.astype(bool)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _clutter(rng: np.random.Generator, image: np.ndarray) -> None:
    """Paint one piece of clutter: the outline of some class, filled with noise of no class."""
    size = len(image)
    radius = rng.uniform(0.06, 0.17) * size
    points = _outline(int(rng.integers(len(CLASSES)))) @ _rotation(rng.uniform(0, 2 * np.pi)).T
    mask = _polygon_mask(size, points * radius + rng.uniform(0, size, 2))
    octaves = [(4, 8), (size // 4,), (size // 2, size), (2,)][int(rng.integers(4))]
    _paint(image, mask, _noise(rng, size, octaves), rng, 30)


def render(index: int, split: str = "train", size: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray, int]:
    """Render one picture.

    The class is told by outline and texture. Colors, place, size, direction and background carry no information about
    it: they are drawn independently of the class.

    Args:
        index: Number of the picture in its split; classes take turns.
        split: Name that enters the random seed, so that splits differ. Defaults to 'train'.
        size: Side of the square picture in pixels. Defaults to 64.
        seed: Seed of the whole data set. Defaults to 0.

    Returns:
        Image (size, size, 3) uint8 BGR; mask (size, size) bool of the object's visible pixels; class index.
    """
    label = index % len(CLASSES)
    rng = np.random.default_rng([seed, index, *split.encode()])
    image = np.empty((size, size, 3), np.float32)
    _paint(image, np.ones((size, size), bool), _noise(rng, size, (3, 6, 12, 24)), rng, 20)
    for _ in range(int(rng.integers(3, 7))):
        _clutter(rng, image)

    while True:
        radius = rng.uniform(0.19, 0.36) * size
        turn = _rotation(rng.uniform(0, 2 * np.pi))
        stretch = np.array([1, rng.uniform(0.75, 1.0)])
        outline = (_outline(label) * stretch) @ turn.T * radius
        low, high = outline.min(0), outline.max(0)
        slack = size - 1 - (high - low)
        if (slack > 0).all():
            break
    center = rng.uniform(0, 1, 2) * slack - low
    whole = _polygon_mask(size, outline + center)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1) - center
    u, v = np.moveaxis(grid @ _rotation(rng.uniform(0, 2 * np.pi)), -1, 0)
    gray = _texture(label, u, v, rng.uniform(0.075, 0.11) * size)
    _paint(image, whole, gray, rng, 70)

    visible = whole.copy()
    if rng.random() < 0.5:  # an occluding stripe of at most a quarter of the object
        for _ in range(10):
            angle = rng.uniform(0, np.pi)
            offset = rng.uniform(-0.8, 0.8) * radius
            across = grid @ np.array([np.cos(angle), np.sin(angle)]) - offset
            stripe = np.abs(across) < rng.uniform(0.03, 0.06) * size
            if (stripe & whole).sum() <= 0.25 * whole.sum():
                _paint(image, stripe, _noise(rng, size, (4, 8)), rng, 20)
                visible &= ~stripe
                break
    image += rng.normal(0, 6, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), visible, label


@DATASETS.register_module()
class Shapes(BaseLocDataset):
    """Textured objects of ten classes on cluttered, textured backgrounds, with exact boxes and masks.

    Pictures are rendered by :func:`render` on first use, into a folder of their own under ``data_root``, and are
    ordinary PNG files from then on. The same arguments give the same pictures on every machine. A box is the extent of
    the object's visible pixels, x1 and y1 being the last column and row.

    Args:
        data_root: Where pictures are kept. Defaults to 'data/shapes'.
        split: Any name; every split has its own pictures. Defaults to 'train'.
        num_images: Number of pictures. Defaults to 6000.
        image_size: Side of the pictures in pixels. Defaults to 64.
        seed: Seed of the data set. Defaults to 0.
        **kwargs: Arguments of :class:`BaseLocDataset`.

    Raises:
        ValueError: If ``num_images`` or ``image_size`` is too small (1 and 32).
    """

    METAINFO = {"classes": CLASSES}

    def __init__(
        self,
        data_root: str = "data/shapes",
        split: str = "train",
        num_images: int = 6000,
        image_size: int = 64,
        seed: int = 0,
        **kwargs,
    ) -> None:
        if num_images < 1 or image_size < 32:
            raise ValueError(f"Shapes needs num_images >= 1 and image_size >= 32, got {num_images} and {image_size}.")
        self.num_images = num_images
        self.image_size = image_size
        self.seed = seed
        super().__init__(data_root=data_root, split=split, **kwargs)

    @property
    def folder(self) -> Path:
        """Folder of this split's pictures."""
        name = f"{self.split}_{self.num_images}x{self.image_size}px_seed{self.seed}_v{_VERSION}"
        return Path(self.data_root) / name

    def load_data_list(self) -> list[dict]:
        """Render the pictures if they are not there yet, and list them."""
        if not self.folder.is_dir():
            self._render_all()
        records = json.loads((self.folder / "annotations.json").read_text())
        size = (self.image_size, self.image_size)
        return [
            dict(
                img_path=str(self.folder / f"{index:05d}.png"),
                img_id=f"{self.split}/{index:05d}.png",
                gt_label=label,
                gt_bboxes_ori=[box],
                ori_size=size,
                mask_paths=[str(self.folder / f"{index:05d}_mask.png")],
            )
            for index, (label, box) in enumerate(records)
        ]

    def _render_all(self) -> None:
        """Render into a temporary folder and move it: a reader never sees half of a split."""
        print_log(f"Rendering {self.num_images} pictures into {self.folder}", "current")
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".rendering_", dir=self.folder.parent))
        records = []
        for index in track(range(self.num_images), "Rendering", self.num_images, "pictures"):
            image, mask, label = render(index, self.split, self.image_size, self.seed)
            ys, xs = np.nonzero(mask)
            records.append((label, [int(v) for v in (xs.min(), ys.min(), xs.max(), ys.max())]))
            for name, picture in ((f"{index:05d}.png", image), (f"{index:05d}_mask.png", mask.astype(np.uint8) * 255)):
                if not cv2.imwrite(str(draft / name), picture):
                    raise OSError(f"cannot write '{draft / name}': is the disk full?")
        (draft / "annotations.json").write_text(json.dumps(records))
        draft.chmod(0o755)
        try:
            draft.rename(self.folder)
        except OSError:  # another process was faster; the pictures are the same
            shutil.rmtree(draft)
            if not self.folder.is_dir():
                raise
