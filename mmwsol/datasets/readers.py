"""Readers of the list formats of localization data sets.

Every reader takes a :class:`Problems` and reports bad lines there, with file and line, instead of stopping at the first
one. All of them survive CRLF, a missing last newline, blank lines, a byte-order mark, and the backslashes of Windows in
paths. CSV and COCO have modules of their own.
"""

from __future__ import annotations

import codecs
import logging
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.logging import print_log

from mmwsol.datasets.labels import class_number, parse_label
from mmwsol.datasets.records import MULTI_LABEL, Problems, Record, clean_path, parse_size, plain
from mmwsol.datasets.transforms.loading import LFS_POINTER
from mmwsol.datasets.walk import IMG_EXTENSIONS, describe_left_out, walk

_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["'][^>]*\?>""")


def require_file(path: str, fix: str) -> None:
    """Raise ``FileNotFoundError`` with the advice ``fix`` if ``path`` is not a file."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"list file '{path}' does not exist: {fix}")


def read_text(path: str, fix: str = "check data_root and ann_file", strict: bool = True) -> str:
    """Return the content of a text file with one newline between lines: UTF-8, or UTF-16 with its byte-order mark.

    Args:
        path: File.
        fix: What to do if it does not exist.
        strict: Whether bytes that are no text raise. Otherwise they become surrogates, which
            :func:`is_text` finds. Defaults to True.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not text.
    """
    require_file(path, fix)
    with open(path, "rb") as file:
        content = file.read()
    if content.startswith(LFS_POINTER):
        raise ValueError(f"list file '{path}' is a pointer of git-lfs, not the file: run `git lfs pull`")
    encoding = next((name for mark, name in _BOMS.items() if content.startswith(mark)), "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if strict or encoding != "utf-8-sig":
            line = content.count(b"\n", 0, error.start) + 1
            raise ValueError(
                f"list file '{path}' is not UTF-8 text (line {line}, {error.reason}): save it as UTF-8"
            ) from error
        text = content.decode(encoding, "surrogateescape")
    if "\0" in text:
        raise ValueError(f"list file '{path}' has zero bytes: it is no text, or UTF-16 without a byte-order mark")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def is_text(line: str) -> bool:
    """Return whether a line of :func:`read_text` was text in the file."""
    return line.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in line)


def read_lines(
    path: str, fix: str = "check data_root and ann_file", problems: Problems | None = None
) -> Iterator[tuple[str, str]]:
    """Yield ``(file:line, text)`` of every line that is not blank.

    Raises:
        FileNotFoundError: If the file does not exist; ``fix`` says what to do.
        ValueError: If the file is not UTF-8 text; with ``problems``, single lines that are not are noted there.
    """
    text = read_text(path, fix, problems is None)
    whole = is_text(text)
    for number, line in enumerate(text.split("\n"), 1):
        if line := line.strip():
            if problems is not None and not whole and not is_text(line):
                problems.add(f"{path}:{number}", f"the line is not UTF-8 text: {line!r}; save the file as UTF-8")
            else:
                yield f"{path}:{number}", line


def read_table(
    path: str,
    columns: Sequence[str],
    problems: Problems,
    sep: str | None = None,
    fix: str = "check data_root and ann_file",
) -> Iterator[tuple[str, list[str]]]:
    """Yield ``(file:line, fields)`` of every line with exactly the fields named in ``columns``.

    ``sep=None`` splits at any white space.
    """
    for source, text in read_lines(path, fix, problems):
        fields = [part.strip() for part in text.split(sep)]
        if len(fields) == len(columns):
            yield source, fields
        else:
            wanted = (sep or " ").join(columns)
            problems.add(source, f"expected {len(columns)} fields '{wanted}', found {len(fields)}: {text!r}")


def read_box_lines(path: str, problems: Problems, labels: bool) -> list[Record]:
    """Read ``path [label] x0 y0 x1 y1 [x0 y0 x1 y1 ...]``, separated by white space; boxes are optional.

    This is the format of TS-CAM's ``val_folder_new.txt`` and, with no box, of its ``train.txt``.

    Args:
        path: List file.
        problems: Where bad lines go.
        labels: Whether the second field is the class index.
    """
    records = []
    first = 2 if labels else 1
    for source, text in read_lines(path, problems=problems):
        fields = text.split()
        numbers = fields[first:]
        img_id = clean_path(fields[0])
        if len(fields) < first or len(numbers) % 4:
            wanted = "path label x0 y0 x1 y1 ..." if labels else "path x0 y0 x1 y1 ..."
            problems.add(source, f"expected '{wanted}': {text!r}", img_id)
            continue
        record = Record(img_id, source, parse_label(fields[1]) if labels else None)
        for start in range(0, len(numbers), 4):
            record.add_box(numbers[start : start + 4], source, problems)
        records.append(record)
    return records


def read_wsol(folder: str, problems: Problems, need_gt: bool = False) -> list[Record]:
    """Read the four files of wsolevaluation's metadata.

    ``image_ids.txt`` (path), ``class_labels.txt`` (path,label from 0), ``image_sizes.txt`` (path,W,H) and
    ``localization.txt``: path,x0,y0,x1,y1 with one line a box, or path,mask,ignore with one line a mask, where only the
    first line of an image names its ignore file. The last two may be empty.

    Args:
        folder: Folder with the four files.
        problems: Where bad lines go.
        need_gt: Whether a missing ``localization.txt`` is an error. Defaults to False.

    Raises:
        FileNotFoundError: If a file that is needed is missing.
    """
    fix = "wsolevaluation's metadata has image_ids.txt, class_labels.txt, image_sizes.txt and "
    fix += "localization.txt in one folder; point ann_file at that folder"
    names = ("image_ids.txt", "class_labels.txt", "image_sizes.txt", "localization.txt")
    ids, labels, sizes, boxes = (os.path.join(folder, name) for name in names)
    records: dict[str, Record] = {}
    repeated = []
    for source, text in read_lines(ids, fix, problems):
        img_id = clean_path(text)
        record = Record(img_id, source)
        if img_id in records:
            repeated.append(record)  # reported with all other repeated ids
        else:
            records[img_id] = record

    def find(img_id: str, source: str) -> Record | None:
        img_id = clean_path(img_id)
        if img_id not in records:
            problems.add(source, f"image '{img_id}' is not in {names[0]}")
        return records.get(img_id)

    for source, (img_id, text) in read_table(labels, ("path", "label"), problems, ",", fix):
        if (entry := find(img_id, source)) is None:
            continue
        if entry.label not in (None, text):
            message = f"a second label {text} for '{img_id}' (the first is {entry.label}): "
            problems.add(source, message + MULTI_LABEL, entry.img_id)
        entry.label = text
        entry.source = source
    for record in repeated:
        record.label = records[record.img_id].label

    if os.path.isfile(sizes):
        for source, (img_id, *size) in read_table(sizes, ("path", "W", "H"), problems, ","):
            if (entry := find(img_id, source)) is None:
                continue
            listed = parse_size(size)
            if listed is None:
                message = f"W and H must be whole numbers of pixels, found {','.join(size)!r}"
                problems.add(source, message, entry.img_id)
            elif entry.size not in (None, listed):
                message = f"a second size {','.join(size)} of image '{img_id}': remove one line"
                problems.add(source, message, entry.img_id)
            entry.size = listed

    if need_gt or os.path.isfile(boxes):
        _read_wsol_localization(boxes, problems, find, fix)
    return [*records.values(), *repeated]


def _read_wsol_localization(path: str, problems: Problems, find: Any, fix: str) -> None:
    for source, text in read_lines(path, fix, problems):
        img_id, *rest = (part.strip() for part in text.split(","))
        img_id = clean_path(img_id)
        if len(rest) not in (2, 4):
            problems.add(source, f"expected 'path,x0,y0,x1,y1' or 'path,mask,ignore': {text!r}", img_id)
            continue
        record = find(img_id, source)
        if record is None:
            continue
        if len(rest) == 4:
            record.add_box(rest, source, problems)
        elif not rest[0]:
            problems.add(source, f"no mask file for '{img_id}': {text!r}", img_id)
        else:
            record.add_mask(rest[0], rest[1], source, problems)


def read_voc(path: str, img_id: str, problems: Problems) -> tuple[Record, list[str]]:
    """Read a PASCAL VOC xml; return the record (boxes x0, y0, x1, y1) and the names of its objects."""
    record = Record(img_id, path)
    names: list[str] = []
    try:
        with open(path, "rb") as file:
            root = parse_xml(file.read())
    except (ValueError, OSError) as error:
        problems.add(path, f"not a PASCAL VOC xml: {error}", img_id)
        return record, names
    if root.tag != "annotation":
        problems.add(path, f"not a PASCAL VOC xml: the root is <{root.tag}>, not <annotation>", img_id)
        return record, names
    listed = [(root.findtext(f"size/{key}") or "").strip() for key in ("width", "height")]
    record.size = parse_size(listed)
    if record.size is None and any(text.rstrip("0.") for text in listed):  # zeros stand for an unknown size
        problems.add(path, f"the size must be whole numbers of pixels, found {','.join(listed)!r}", img_id)
    for number, item in enumerate(root.iter("object"), 1):
        if (item.findtext("deleted") or "").strip().lower() in ("1", "true"):  # LabelMe keeps what was erased
            continue
        names.append((item.findtext("name") or "").strip())
        fields = [(item.findtext(f"bndbox/{key}") or "").strip() for key in ("xmin", "ymin", "xmax", "ymax")]
        attributes = {entry.findtext("name"): entry.findtext("value") for entry in item.iter("attribute")}
        record.add_box(fields, f"{path}: object {number}", problems, attributes.get("rotation"))
    return record, names


def parse_xml(content: bytes) -> ElementTree.Element:
    """Return the root of an xml, in whatever encoding it says, such as GBK.

    Raises:
        ValueError: If it is broken.
    """
    content = content.lstrip()
    try:
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
    except (ValueError, LookupError) as error:  # an encoding that expat does not know
        match = _XML_ENCODING.match(content)
        if match is None:
            raise ValueError(str(error)) from error
        try:
            return ElementTree.fromstring(content[match.end() :].decode(match[1].decode()))
        except (LookupError, ValueError, ElementTree.ParseError) as second:
            raise ValueError(f"encoding '{match[1].decode()}': {second}") from second


def read_yolo(path: str, img_id: str, problems: Problems) -> tuple[Record, list[int | str]]:
    """Read a YOLO txt, ``class cx cy w h`` in fractions of the image; return the record and the class numbers."""
    record = Record(img_id, path)
    names: list[int | str] = []
    try:
        lines = list(read_lines(path))
    except (ValueError, OSError) as error:
        problems.add(path, str(error), img_id)
        return record, names
    for source, text in lines:
        fields = text.split()
        if len(fields) != 5:
            message = f"expected 'class cx cy w h' (a 6th number is a confidence, more are polygons): {text!r}"
            problems.add(source, message, img_id)
            continue
        names.append(class_number(fields[0]))
        record.add_box(fields[1:], source, problems)
    return record, names


def list_images(folder: str, fix: str = "check data_root and data_prefix", level: int = logging.INFO) -> list[str]:
    """Return the images under ``folder``, as sorted relative paths with forward slashes.

    Hidden and system files and folders ('.ipynb_checkpoints', '@eaDir', '__MACOSX') are left out, and every folder is
    read once, whatever links lead to it; the log says what was left out.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """
    listing = walk(folder, fix)
    images = [name for name in listing.files if name.lower().endswith(IMG_EXTENSIONS)]
    left_out = describe_left_out(listing, images)
    if left_out:
        print_log(plain(f"'{folder}': {len(images)} images; left out: {left_out}"), "current", level)
    return images
