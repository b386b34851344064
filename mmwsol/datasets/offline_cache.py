"""Caches of offline stages: one file per image and a manifest, written by :class:`mmwsol.engine.OfflineLoop`."""

from __future__ import annotations

import contextlib
import json
import logging
from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from mmengine.logging import print_log

from mmwsol.files import check_inside, write_bytes, write_json

if TYPE_CHECKING:
    from mmengine.runner import Runner
    from torch import Tensor, nn

MANIFEST = "manifest.json"
_GIVE_UP = 20  # images in a row without a file


def cache_file(cache_dir: str | Path, name: str, suffix: str) -> Path:
    """Return the file of an image in a cache: its relative path with another suffix.

    Args:
        cache_dir: Folder of the cache.
        name: ``img_id`` of the image, normally its path relative to the image folder.
        suffix: Suffix of the cached files, with its dot.

    Raises:
        ValueError: If the name would lead out of the cache.
    """
    path = PurePosixPath(name)
    parts = path.relative_to(path.anchor).parts
    if not parts or ".." in parts or "\0" in name:
        raise ValueError(f"image {name!r} has no place in a cache: its name must be a path without '..'.")
    return Path(cache_dir, *parts).with_suffix(suffix)


def cache_files(cache_dir: str | Path, names: Sequence[str], suffix: str) -> list[Path]:
    """Return the files of images in a cache; see :func:`cache_file`.

    Raises:
        ValueError: If a name would lead out of the cache, or two images have one file, such as 'a.jpg' and 'a.png'.
    """
    places: dict[Path, str] = {}
    for name in names:
        path = cache_file(cache_dir, name, suffix)
        if path in places:
            raise ValueError(
                f"images '{places[path]}' and '{name}' have the same place in the cache: rename one of them."
            )
        places[path] = name
    return list(places)


@contextlib.contextmanager
def converted_cache(cache_dir: str | Path, manifest: Mapping[str, Any]) -> Iterator[None]:
    """Make a cache of files that a converter writes in the block; until its end the folder counts as not complete.

    Args:
        cache_dir: The folder: new, empty, or of an earlier run with the same manifest.
        manifest: Its manifest, without ``complete``.

    Raises:
        OSError: If the manifest cannot be written.
        ValueError: If the folder has other files.
    """
    path = Path(cache_dir, MANIFEST)
    if path.is_file():
        before = {key: value for key, value in load_manifest(path).items() if key != "complete"}
        if before != json.loads(json.dumps(manifest)):
            raise ValueError(f"the cache '{cache_dir}' was made of something else: choose another folder.")
    elif path.parent.is_dir() and any(path.parent.iterdir()):
        raise ValueError(f"'{cache_dir}' has files but no {MANIFEST}: choose an empty folder.")
    write_json(path, dict(manifest, complete=False), sort_keys=True)
    yield
    write_json(path, dict(manifest, complete=True), sort_keys=True)


def write_cached(cache_dir: str | Path, path: Path, content: bytes) -> None:
    """Write a file of a cache, whole or not at all.

    Raises:
        OSError: If it cannot be written, or a link would take it out of the cache.
    """
    check_inside(path, cache_dir)
    write_bytes(path, content)


def load_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest and check the types of what is used of it.

    Raises:
        ValueError: If it is damaged.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict):
            raise ValueError(f"it holds a {type(manifest).__name__}, not a dict")
        for key, kinds in (("complete", bool), ("params", dict), ("failed", (dict, list))):
            if key in manifest and not isinstance(manifest[key], kinds):
                raise ValueError(f"'{key}' is {manifest[key]!r:.40}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' is damaged ({error}): delete it and run the stage again.") from error
    return manifest


def read_manifest(cache_dir: str | Path) -> dict[str, Any] | None:
    """Return the manifest of a cache, or None for a folder of files that has none.

    Raises:
        ValueError: If there is no such folder, or the stage that makes it has not finished.
    """
    cache_dir = Path(cache_dir)
    if not cache_dir.is_dir():
        raise ValueError(
            f"there is no cache folder '{cache_dir}'. It is the result of an offline stage (a stage whose train_cfg "
            f"is mmwsol.OfflineLoop), here probably '{cache_dir.parent.name}': run it first with --stage, or give "
            "the path of a finished cache."
        )
    path = cache_dir / MANIFEST
    if not path.is_file():
        return None
    manifest = load_manifest(path)
    if not manifest.get("complete"):
        raise ValueError(
            f"the cache '{cache_dir}' is not complete: run the stage that makes it again, it goes on; or the converter."
        )
    return manifest


class CachedFiles:
    """The files of a cache, for a transform that loads them.

    A dry run, where no stage has run, has an address ``stage://`` in place of a folder: no image has a file.

    Args:
        cache_dir: Folder of the cache.
        suffix: Suffix of its files, with its dot.
        what: What the files are, for messages.
        otherwise: What images count as that have no file, because they could not be read when the cache was made,
            for the warning that says so once.
        any_folder: Whether a folder without manifest counts as finished, where users may have made the files
            themselves. Defaults to False.

    Raises:
        ValueError: If there is no such folder, or what makes it has not finished.

    Attributes:
        manifest: The manifest, if there is one.
    """

    def __init__(self, cache_dir: str, suffix: str, what: str, otherwise: str, any_folder: bool = False) -> None:
        self.cache_dir = cache_dir
        self.suffix = suffix
        self.what = what
        self.otherwise = otherwise
        self.is_address = cache_dir.startswith("stage://")
        self.manifest = None if self.is_address else read_manifest(cache_dir)
        if self.manifest is None and not (self.is_address or any_folder):
            raise ValueError(
                f"the cache '{cache_dir}' has no {MANIFEST}: what made it did not finish. Make it again, in an empty "
                "folder."
            )
        self._any_found = False
        self._missing = 0

    def find(self, name: str) -> Path | None:
        """Return the file of the image ``name`` (``img_id``), or None if it has none.

        Raises:
            ValueError: If the cache was made for other images: its manifest does not list the image as unreadable; or,
                without such a list, none of the first 20 images has a file.
        """
        path = cache_file(self.cache_dir, name, self.suffix)
        if self.is_address:
            return None
        if path.is_file():
            self._any_found = True
            return path
        if "failed" in (self.manifest or {}) and name not in (self.manifest or {})["failed"]:
            raise ValueError(
                f"image '{name}' has no {self.what} '{path}', and {MANIFEST} does not list it as failed: the cache "
                f"was made for other images, or for other names of them. It has '{self._example()}'."
            )
        self._missing += 1
        if self._missing == 1:
            print_log(f"there is no {self.what} '{path}': {self.otherwise} (said once)", "current", logging.WARNING)
        if not self._any_found and self._missing == _GIVE_UP:
            raise ValueError(
                f"none of {_GIVE_UP} images has a {self.what} in '{self.cache_dir}', the last '{path}': it was made "
                f"for other images, or for other names of them. It has '{self._example()}'."
            )
        return None

    def _example(self) -> str:
        """Name one of the files."""
        root = Path(self.cache_dir)
        return next((str(file.relative_to(root)) for file in root.rglob(f"*{self.suffix}")), "none at all")


@dataclass
class OfflineCache:
    """A cache and the images it belongs to.

    Attributes:
        root: Folder.
        suffix: Suffix of its files.
        items: The images: ``items[i]`` is ``(i, data, reason)``, with ``data`` None if the image cannot be read, and
            ``items.names`` their ``img_id``.
    """

    root: Path
    suffix: str
    items: Any

    def path(self, i: int) -> Path:
        """Return the file of image ``i``; it exists once the image is done."""
        return cache_file(self.root, self.items.names[i], self.suffix)


class Panel(NamedTuple):
    """A picture of the contact sheet.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        score_map: (H, W) in [0, 1], drawn over the image.
        gt_bboxes: (M, 4) ground truth in pixels of the image, drawn in green.
        bboxes: (K, 4) found, best first: the first in red, the others in blue.
    """

    image: np.ndarray
    score_map: np.ndarray | None = None
    gt_bboxes: np.ndarray | Sequence = ()
    bboxes: np.ndarray | Sequence = ()


class CacheWriter(metaclass=ABCMeta):
    """What an offline stage does with an image. Subclasses are registered in ``mmwsol.registry.TASK_UTILS``.

    Attributes:
        suffix: Suffix of the files, with its dot.
        titles: Text above each column of the contact sheet. Defaults to (): there is no sheet.
    """

    suffix = ""
    titles: tuple[str, ...] = ()

    def setup(self, runner: Runner) -> None:  # noqa: B027  (optional)
        """Prepare for a run; the model has its weights."""

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """Return the settings that the files depend on, for the manifest."""

    def weights(self, model: nn.Module) -> Mapping[str, Tensor]:
        """Return the weights that the files depend on. Defaults to all of the model."""
        return model.state_dict()

    @abstractmethod
    def process(self, model: nn.Module, batch: dict) -> list[Any]:
        """Run the network on a batch, in evaluation mode and without gradients, in the main thread.

        Args:
            model: The model, without its distributed wrapper.
            batch: ``inputs``, a list of B tensors, and ``data_samples``, as the pipeline packed them.

        Returns:
            B jobs for :meth:`finish`.
        """

    @abstractmethod
    def finish(self, job: Any) -> bytes:
        """Turn a job into the content of a file. Runs in a thread: use what releases the GIL (OpenCV, numpy)."""

    def summarize(self, cache: OfflineCache) -> dict[str, Any]:
        """Return statistics of a complete cache for the log and the manifest, in the main process. Defaults to {}.

        They must not depend on how often the stage was interrupted.
        """
        return {}

    def panels(self, data: dict, file: Path) -> list[Panel]:
        """Return the pictures of an image for the contact sheet, one for each of ``titles``. Defaults to none.

        Args:
            data: What the pipeline made of the image: ``inputs`` and ``data_samples``.
            file: The file of the image in the cache.
        """
        return []


def spread(values: Sequence[int], number: int) -> list[int]:
    """Take at most ``number`` values, evenly spread."""
    number = min(number, len(values))
    return [values[k * len(values) // number] for k in range(number)]
