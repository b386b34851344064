"""Walks through folders of files: system files are left out, links that lead in circles are not followed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

#: What Pillow reads, of the formats that photographs are stored in.
IMG_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".tif", ".tiff", ".webp", ".gif", ".avif", ".jp2", ".j2k", ".jpf", ".jpx", ".mpo", ".tga", ".qoi"),
)
_SYSTEM = {
    *("__macosx", "__pycache__", "@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot"),
    *("$recycle.bin", "system volume information", "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini"),
}


@dataclass
class Walk:
    """What is in a folder.

    Attributes:
        files: Paths relative to the folder with forward slashes, folder by folder in sorted order.
        folders: Its own folders, sorted, without system folders.
        left_out: How many entries were left out, by the reason.
    """

    files: list[str]
    folders: list[str]
    left_out: Counter[str] = field(default_factory=Counter)


def is_system(name: str) -> bool:
    """Return whether a file or folder is hidden or made by a system: '.ipynb_checkpoints', '@eaDir', 'Thumbs.db'."""
    return name.startswith(".") or name.lower() in _SYSTEM


def require_dir(path: str, fix: str) -> None:
    """Raise ``FileNotFoundError`` with the advice ``fix`` if ``path`` is not a folder."""
    if not os.path.isdir(path):
        raise FileNotFoundError(f"folder '{path}' does not exist: {fix}")


def walk(folder: str, fix: str) -> Walk:
    """List the files under a folder, links to folders included, every folder once.

    A folder that several links lead to, or a link to a folder above itself, is read under one path only: that without
    a link, if there is one. Links to files that do not exist are listed, and fail where they are opened.

    Raises:
        FileNotFoundError: If the folder does not exist; ``fix`` says what to do.
        OSError: If a folder in it may not be read.
    """
    require_dir(folder, fix)
    by_parent: dict[str, list[str]] = {}
    left_out: Counter[str] = Counter()
    seen: set[tuple[int, int]] = set()
    subfolders: list[str] = []
    waiting: list[str] = [""]
    links: list[str] = []
    while waiting or links:
        parent = waiting.pop() if waiting else links.pop(0)
        path = os.path.join(folder, parent)
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in seen:
            left_out["link(s) to folders that are read already"] += 1
            continue
        seen.add((status.st_dev, status.st_ino))
        names = by_parent.setdefault(parent, [])
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if is_system(entry.name):
                    left_out["hidden or system file(s) or folder(s)"] += 1
                elif _is_dir(entry):
                    (links if entry.is_symlink() else waiting).append(f"{parent}{entry.name}/")
                    if not parent:
                        subfolders.append(entry.name)
                elif entry.is_symlink() or entry.is_file():
                    names.append(entry.name)
                else:
                    left_out["pipe(s), socket(s) or device(s)"] += 1
    parents = sorted(by_parent, key=lambda parent: parent.split("/")[:-1])
    return Walk([parent + name for parent in parents for name in by_parent[parent]], subfolders, left_out)


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def describe_left_out(walked: Walk, kept: Sequence[str]) -> str:
    """Say what of a folder is no image, '' for nothing; ``kept`` are its images."""
    reasons = [f"{count} {reason}" for reason, count in walked.left_out.items()]
    if len(kept) < len(walked.files):
        images = set(kept)
        endings = Counter(
            os.path.splitext(name)[1].lower() or "no ending" for name in walked.files if name not in images
        )
        listed = ", ".join(f"{ending} {count}" for ending, count in endings.most_common(5))
        reasons.append(f"{len(walked.files) - len(kept)} file(s) that are no images ({listed})")
    with_images = {name.split("/")[0] for name in kept if "/" in name}
    empty = [name for name in walked.folders if name not in with_images]
    if empty:
        reasons.append(f"{len(empty)} folder(s) without images, such as '{empty[0]}'")
    return ", ".join(reasons)
