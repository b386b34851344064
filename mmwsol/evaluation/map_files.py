"""Localization maps in files that any program can write."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmwsol.datasets.labels import MAX_LABEL, number_of
from mmwsol.datasets.walk import walk

from .named_arrays import as_names, load_arrays, match_names, read_array

MAP_EXTENSIONS = (".npz", ".npy", ".png")
BAD_MAPS = ("error", "zero")


class MapFiles:
    """Localization maps in a folder, one file an image, or in one npz.

    A file is named like its image: the image id with or without the picture's extension, folders kept or flattened
    ('a/b.jpg': ``a/b.npz``, ``a/b.jpg.npy``, ``a_b.png``, ``a__b.npz``). It holds

    - ``.npy`` or gray ``.png`` (8 or 16 bit): one class-agnostic map (h, w),
    - ``.npz``: one such map under the key 'map', or one map (h, w) a class under the class's index or name.

    One npz for all images holds either ``ids`` (N,), ``maps`` (N, h, w) and, for maps of classes, ``labels`` (N,), or
    one map (h, w) under the id of each image.

    Args:
        path: Folder or npz.
        classes: Class names in the order of the labels, to understand keys that are names.
        bad_maps: What happens to a constant map or one with NaN or infinite values: 'error', or 'zero': it becomes
            the zero map, whose box is the protocol's default box. Defaults to 'error'.

    Attributes:
        num_zeroed: Maps that became zero so far.

    Raises:
        FileNotFoundError: If ``path`` does not exist.
        ValueError: If there are no maps, or two files for one image.
    """

    def __init__(self, path: str | Path, classes: Sequence[str] | None = None, bad_maps: str = "error") -> None:
        self.path = Path(path)
        if bad_maps not in BAD_MAPS:
            raise ValueError(f"bad_maps must be one of {BAD_MAPS}, got {bad_maps!r}")
        self.bad_maps = bad_maps
        self.num_zeroed = 0
        self._labels = {str(name): index for index, name in enumerate(classes or ())}
        self._agnostic: tuple[bool, str] | None = None  # of the first image, and its id
        self._stacked: dict[str, np.ndarray] | None = None
        self._archive: Any = None  # the npz that has one array an image
        self._places: dict[str, Any] = {}  # name -> file, rows of the stack, or key
        self._of: dict[str, str] = {}  # image id -> name
        if self.path.is_dir():
            self._index_folder()
        elif self.path.is_file() and self.path.suffix.lower() == ".npz":
            self._index_archive()
        else:
            raise FileNotFoundError(f"maps '{path}': neither a folder nor an npz file")
        if not self._places:
            raise ValueError(f"maps '{path}': no map in it ({', '.join(MAP_EXTENSIONS)})")

    def __len__(self) -> int:
        return len(self._places)

    def _index_folder(self) -> None:
        for relative in walk(str(self.path), "give the folder of maps").files:
            file = self.path / relative
            if file.suffix.lower() not in MAP_EXTENSIONS:
                continue
            name = file.relative_to(self.path).with_suffix("").as_posix()
            if name in self._places:
                raise ValueError(f"two maps for one image: '{self._places[name]}' and '{file}': remove one")
            self._places[name] = file

    def _index_archive(self) -> None:
        archive = load_arrays(self.path)
        if isinstance(archive, np.ndarray):
            raise ValueError(f"maps '{self.path}': it is a bare array, not an npz of named ones")
        if set(archive.files) not in ({"ids", "maps"}, {"ids", "maps", "labels"}):
            self._archive = archive  # arrays are read when asked for
            self._places = {name: name for name in archive.files}
            return
        self._stacked = stack = {name: read_array(archive, name, self.path) for name in archive.files}
        lengths = {name: len(array) if array.ndim else 0 for name, array in stack.items()}
        if len(set(lengths.values())) > 1 or stack["maps"].ndim != 3:
            raise ValueError(
                f"maps '{self.path}': needs ids (N,), maps (N, h, w) and perhaps labels (N,), got shapes "
                f"{ {name: array.shape for name, array in stack.items()} }"
            )
        stack.setdefault("labels", np.full(len(stack["ids"]), -1))
        if stack["ids"].ndim != 1 or stack["labels"].ndim != 1 or stack["labels"].dtype.kind not in "iu":
            raise ValueError(f"maps '{self.path}': ids are a list (N,) of names, labels (N,) whole numbers")
        stack["ids"] = np.array(as_names(stack["ids"]), dtype=object)
        seen = set()
        for row, (name, label) in enumerate(zip(stack["ids"].tolist(), stack["labels"].tolist(), strict=True)):
            if (name, label) in seen:
                raise ValueError(f"maps '{self.path}': image '{name}' has two maps of class {label}: remove one")
            seen.add((name, label))
            self._places.setdefault(str(name), []).append(row)

    def match(self, img_ids: Sequence[str], allow_extra: bool = False) -> None:
        """Find the map of every image.

        Args:
            img_ids: Ids of the ground truth.
            allow_extra: Whether maps may belong to no image (of another split, say).

        Raises:
            ValueError: If an image has no map or several, or a map no image or several.
        """
        self._of = match_names(img_ids, self._places, f"maps '{self.path}'", "map", allow_extra)

    def load(self, img_id: str, frame: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Read the maps of an image that :meth:`match` found.

        Args:
            img_id: Id of the image.
            frame: (H, W) of the evaluation frame, which the maps must cover: of that size, or smaller in the same
                proportion. Defaults to None: not checked.

        Returns:
            ``maps`` (K, h, w) as stored and ``labels`` (K,) int64, -1 for a class-agnostic map.

        Raises:
            ValueError: If a file cannot be understood, a map is not (h, w), has NaN, is constant, or does not fit the
                frame; or if some images have class-agnostic maps and some maps of classes.
        """
        place = self._places[self._of[img_id]]
        context = f"map of image '{img_id}' ({place if isinstance(place, Path) else self.path})"
        if self._stacked is not None:
            maps_by_label = {int(self._stacked["labels"][row]): self._stacked["maps"][row] for row in place}
        elif isinstance(place, Path):
            maps_by_label = self._read(place, context)
        else:
            maps_by_label = {-1: read_array(self._archive, place, self.path)}
        agnostic = -1 in maps_by_label
        if agnostic and len(maps_by_label) > 1:
            raise ValueError(f"{context}: has both a class-agnostic map and maps of classes: keep one kind")
        first = self._agnostic = self._agnostic or (agnostic, img_id)
        if agnostic != first[0]:
            raise ValueError(
                f"{context}: {'class-agnostic' if agnostic else 'maps of classes'}, unlike that of '{first[1]}': "
                "all images must have the same kind"
            )
        shapes = {np.shape(scoremap) for scoremap in maps_by_label.values()}
        if len(shapes) > 1:
            raise ValueError(f"{context}: its maps have different shapes {sorted(shapes)}")
        maps = np.stack([self._checked(scoremap, context, frame) for scoremap in maps_by_label.values()])
        return maps, np.array(list(maps_by_label), np.int64)

    def _read(self, file: Path, context: str) -> dict[int, np.ndarray]:
        """Return the map of every class in a file."""
        if file.suffix.lower() == ".png":
            pixels = np.frombuffer(file.read_bytes(), np.uint8)
            picture = None
            with contextlib.suppress(cv2.error):  # OpenCV returns None for some broken files and raises for others
                picture = cv2.imdecode(pixels, cv2.IMREAD_UNCHANGED)
            if picture is None:
                raise ValueError(f"{context}: cannot be decoded")
            if picture.ndim != 2:
                raise ValueError(f"{context}: has {picture.shape[2]} channels: save maps as gray pictures, not colored")
            return {-1: picture}
        content = load_arrays(file)
        if isinstance(content, np.ndarray):
            return {-1: content}
        with content:
            if content.files == ["map"]:
                return {-1: read_array(content, "map", file)}
            maps_by_label: dict[int, np.ndarray] = {}
            for key in content.files:
                label = self._label_of(key, context)
                if label in maps_by_label:
                    raise ValueError(f"{context}: has two maps of class {label}, the second under '{key}': remove one")
                if not isinstance(label, int) or not 0 <= label <= MAX_LABEL:
                    raise ValueError(
                        f"{context}: key '{key}' is neither 'map' alone nor the index or name of a class; keys are "
                        f"{content.files[:5]}"
                    )
                maps_by_label[label] = read_array(content, key, file)
        if not maps_by_label:
            raise ValueError(f"{context}: the npz is empty")
        return maps_by_label

    def _label_of(self, key: str, context: str) -> int | str:
        """Return the class of a key, an index or a name, or the key itself if it is neither.

        Raises:
            ValueError: If it is the index of one class and the name of another.
        """
        number, named = number_of(key), self._labels.get(key)
        if number is not None and named not in (None, number) and 0 <= number < len(self._labels):
            raise ValueError(
                f"{context}: key '{key}' is the index of one class and the name of class {named}: leave out the names "
                "of the classes (--classes) if keys are indices, or name the maps otherwise"
            )
        if named is not None:
            return named
        return key if number is None else number

    def _checked(self, scoremap: np.ndarray, context: str, frame: tuple[int, int] | None) -> np.ndarray:
        if scoremap.ndim != 2 or not scoremap.size or scoremap.dtype.kind not in "buif":
            raise ValueError(f"{context}: must be numbers (h, w), got {scoremap.dtype} of shape {scoremap.shape}")
        if frame is not None:
            (height, width), (rows, columns) = scoremap.shape, frame
            # one cell of rounding: 7x10 for 224x312
            same = abs(height * columns - width * rows) <= max(rows, columns) and (rows != columns or height == width)
            if height > rows or width > columns or not same:
                raise ValueError(
                    f"{context}: is {height}x{width} (H x W) but must cover the evaluation frame of {rows}x{columns}: "
                    "be of that size, or smaller in the same proportion. A map in original pixels must be resized to "
                    "the frame, or the frame given (--frame)"
                )
        if scoremap.dtype == bool:
            scoremap = scoremap.astype(np.uint8)
        finite = bool(np.isfinite(scoremap).all())
        if finite and scoremap.min() < scoremap.max():
            return scoremap
        if self.bad_maps == "error":
            what = f"is constant ({scoremap.flat[0]:g})" if finite else "has NaN or infinite values"
            raise ValueError(f"{context}: {what}; bad_maps='zero' (--bad-maps zero) scores such maps as empty")
        self.num_zeroed += 1
        return np.zeros_like(scoremap)
