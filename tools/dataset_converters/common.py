"""What the converters share: files of archives and folders are put into place, then the result is counted.

A file appears under its name only when it is whole, and one that is there is never written to: a run can be broken off
and repeated at any time. A file of the same size counts as the same file; one of another size is an error.
"""

from __future__ import annotations

import argparse
import gzip
import lzma
import os
import struct
import sys
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError),
    *(RuntimeError, NotImplementedError, struct.error, UnicodeError),  # encrypted, of an unknown kind, junk
)
TAR = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
Target = Callable[[str], str | None]  # name in a source to path under the output folder, None: not wanted


class ConvertError(Exception):
    """What is missing or wrong, in one line."""


class Entry(NamedTuple):
    """A file of a source: its name with forward slashes, its size, and how to read it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def run(doc: str, out: str, convert: Callable[[Sequence[Path], Path], str]) -> None:
    """Parse the command line, convert, and print the summary or the one line that says what is missing."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sources", nargs="*", type=Path, help="archives (tar, zip), unpacked folders or files; none: verify only"
    )
    parser.add_argument("--out", type=Path, default=Path(out), help=f"folder to make; default: {out}")
    args = parser.parse_args()
    try:
        print(convert(args.sources, args.out))
    except (ConvertError, OSError) as error:
        sys.exit(str(error))


# ---- sources ----------------------------------------------------------------------------------------


def entries(source: Path) -> Iterator[Entry]:
    """Yield the files of an archive, a folder (names start with its own name) or the one file that it is."""
    if source.is_dir():
        from mmwsol.datasets.walk import walk

        for name in walk(str(source), "give what was downloaded").files:
            path = source / name
            yield Entry(f"{source.resolve().name}/{name}", path.stat().st_size, partial(open, path, "rb"))
    elif not source.is_file():
        raise ConvertError(f"'{source}' does not exist")
    elif source.name.lower().endswith(".zip"):
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield Entry(info.filename, info.file_size, partial(archive.open, info))
    elif source.name.lower().endswith(TAR):
        with tarfile.open(source) as archive:
            for member in archive:
                if member.isfile():
                    yield Entry(member.name, member.size, partial(archive.extractfile, member))
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise EOFError("no end mark")  # tarfile takes a cut header for the end
    else:
        yield Entry(source.name, source.stat().st_size, partial(open, source, "rb"))


@contextmanager
def reading(source: Path) -> Iterator[None]:
    """Turn the errors of a broken archive into one line."""
    try:
        yield
    except BROKEN as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ConvertError(
            f"'{source}' is damaged or cut off ({reason}): download it again and repeat the command; what was unpacked "
            "stays"
        ) from error


def read_files(sources: Sequence[Path], wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the wanted files."""
    for source in sources:
        with reading(source):
            for entry in entries(source):
                if wanted(entry.name):
                    with entry.open() as file:
                        yield entry.name, file.read()


def unpack(sources: Sequence[Path], out: Path, target: Target) -> None:
    """Put the wanted files of the sources into ``out``."""
    for source in sources:
        count = Counter(placed=0, there=0)
        with reading(source):
            for entry in entries(source):
                parts = entry.name.split("/")
                if "__MACOSX" in parts or parts[-1].startswith("."):
                    continue
                if entry.name.startswith("/") or ".." in parts:
                    raise ConvertError(f"'{source}' has a file outside its own folder, '{entry.name}': not unpacked")
                path = target(entry.name.removeprefix("./"))
                if path is not None and (path.startswith("/") or ".." in path.replace("\\", "/").split("/")):
                    raise ConvertError(f"a list names '{path}', which is outside '{out}': nothing is put there")
                if path is not None:
                    count["placed" if place(entry, path, out, source) else "there"] += 1
        if sum(count.values()):
            print(f"{source}: {count['placed']} files put into {out}, {count['there']} were there", flush=True)


def place(entry: Entry, name: str, out: Path, source: Path) -> bool:
    """Put one file into place, ``name`` in ``out``; return False if it is there.

    Raises:
        ConvertError: If another file has its name.
        OSError: If it cannot be written, or a link would take it out of ``out``.
    """
    from mmwsol.files import check_inside, writing

    path = out / name
    if path.is_file():
        if path.stat().st_size != entry.size:
            raise ConvertError(
                f"'{path}' has {path.stat().st_size} bytes, '{entry.name}' of '{source}' has {entry.size}: move the "
                "wrong one away"
            )
        return False
    check_inside(path, out)
    with writing(path, ending=False) as part, open(part, "wb") as copy:
        for piece in pieces(entry, source):
            copy.write(piece)
    return True


def pieces(entry: Entry, source: Path) -> Iterator[bytes]:
    """Yield the content of a file.

    Raises:
        ConvertError: If it cannot be read, or has another size than its source says.
    """
    size = 0
    try:
        with reading(source), entry.open() as file:
            while piece := file.read(1 << 20):
                size += len(piece)
                yield piece
            if size != entry.size:
                raise EOFError(f"'{entry.name}' has {size} of {entry.size} bytes")
    except OSError as error:
        raise ConvertError(f"'{entry.name}' of '{source}' cannot be read: {error.strerror or error}") from error


def write_text(name: str, out: Path, text: str) -> None:
    """Write a file of the converter itself, ``name`` in ``out``."""
    from mmwsol import files

    files.check_inside(out / name, out)
    files.write_text(out / name, text)


# ---- targets ----------------------------------------------------------------------------------------


def below(*names: str) -> Target:
    """Keep files from the last of these folder or file names on: 'x/images/a.jpg' is 'images/a.jpg'."""

    def target(name: str) -> str | None:
        parts = name.split("/")
        starts = [index for index, part in enumerate(parts) if part in names]
        return "/".join(parts[starts[-1] :]) if starts else None

    return target


def wsol_lists(folder: str) -> Target:
    """Keep wsolevaluation's lists of a folder, 'CUB/val'."""

    def target(name: str) -> str | None:
        parts = name.split("/")
        wanted = "/".join(parts[-3:-1]) == folder and parts[-1].endswith(".txt")
        return f"metadata/{folder}/{parts[-1]}" if wanted else None

    return target


def list_lines(path: Path) -> list[str]:
    """Return the lines of a list of wsolevaluation.

    Raises:
        ConvertError: If it is not there.
    """
    if not path.is_file():
        raise ConvertError(f"'{path}' is missing: give the folder 'metadata' of wsolevaluation as a further source")
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ConvertError(f"'{path}' is not UTF-8 text: copy it again") from error


# ---- counts -----------------------------------------------------------------------------------------


def verify(out: Path, datasets: Mapping[str, Callable[[], Any]], counts: Mapping[str, Mapping[str, int]]) -> str:
    """Load every split with its data set, compare it with ``counts``, and look for every file that it names.

    Args:
        out: Folder that messages name.
        datasets: Split to what builds its data set.
        counts: Split to numbers of 'images', 'boxes', 'masks', 'classes', 'in smallest class', 'in largest class' or
            images of one class, by its name.

    Returns:
        The summary.

    Raises:
        ConvertError: If anything is missing; it says all of it.
    """
    wrong, summary = [], []
    for split, build in datasets.items():
        try:
            dataset = build()
        except (ValueError, FileNotFoundError) as error:
            wrong.append(f"{split}: " + " ".join(str(error).split()))
            continue
        items = [dataset.get_data_info(index) for index in range(len(dataset))]
        counted = count_items(items, dataset.metainfo["classes"])
        for key, expected in counts[split].items():
            if counted[key] != expected:
                wrong.append(f"{split}: {key} {counted[key]} instead of {expected}")
        missing = missing_files(items)
        if missing:
            wrong.append(f"{split}: {len(missing)} files are missing, e.g. '{missing[0]}'")
        summary.append(f"{split}: " + ", ".join(f"{counted[key]} {key}" for key in counts[split]))
    if wrong:
        raise ConvertError(f"{out} is not complete: " + "; ".join(wrong))
    return f"{out} is complete. " + "; ".join(summary) + "."


def count_items(items: Sequence[Mapping], classes: Sequence[str]) -> dict[str, int]:
    """Count the items of a data set."""
    labels = Counter(item["gt_label"] for item in items)
    sizes = [labels[label] for label in range(len(classes))]
    return {
        **{name: labels[label] for label, name in enumerate(classes)},
        "images": len(items),
        "boxes": sum(len(item["gt_bboxes_ori"]) for item in items),
        "masks": sum(len(item.get("mask_paths", ())) for item in items),
        "classes": sum(size > 0 for size in sizes),
        "in smallest class": min(sizes),
        "in largest class": max(sizes),
    }


def missing_files(items: Sequence[Mapping]) -> list[str]:
    """Return the images and masks that are not there."""
    paths = []
    for item in items:
        ignore = [item["ignore_path"]] if "ignore_path" in item else []
        paths += [item["img_path"], *item.get("mask_paths", ()), *ignore]
    return [path for path in paths if not os.path.isfile(path)]
