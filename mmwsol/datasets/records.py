"""What readers of lists produce: one record an image, and the bad lines."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: Pixels; a number beyond is no coordinate, and a side beyond no size.
MAX_SIDE = 1e7
# '1,5' as Excel writes it in some countries; '1,500' may be a thousand and a half.
_SLASHES = re.compile("/{2,}")
_DECIMAL_COMMA = re.compile(r"[+-]?(?![1-9][0-9]{0,2},[0-9]{3}$)[0-9]*,[0-9]+")


@dataclass
class Record:
    """What a list says about one image.

    Attributes:
        img_id: Unique name, normally the path relative to the image folder.
        source: ``file:line`` that error messages name.
        label: Class index, or class name or number as listed; None if the list has none.
        boxes: Four numbers a box, as listed.
        box_sources: ``file:line`` of each box.
        size: (W, H) of the image, where the list has it.
        masks: Mask files, relative to the mask folder.
        ignore: File of the pixels to ignore, or ''.
        split: Split as listed, or ''.
    """

    img_id: str
    source: str
    label: int | str | None = None
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    box_sources: list[str] = field(default_factory=list)
    size: tuple[int, int] | None = None
    masks: list[str] = field(default_factory=list)
    ignore: str = ""
    split: str = ""

    def add_box(self, fields: Sequence[str], source: str, problems: Problems, rotation: Any = None) -> None:
        """Append the box of four listed numbers, or note that they are not four numbers of pixels.

        ``rotation``, in degrees, turns a box about its center, as CVAT does; a turned box is no box.
        """
        box = parse_box(fields)
        turn = parse_number(rotation)
        if turn is not None and turn % 180:
            problems.add(source, f"the box is rotated by {turn:g} degrees: export upright boxes", self.img_id)
        elif box is not None:
            self.boxes.append(box)
            self.box_sources.append(source)
        else:
            message = f"a box is four finite numbers of pixels, found {','.join(map(str, fields))!r}"
            problems.add(source, message, self.img_id)

    def add_mask(self, mask: str, ignore: str, source: str, problems: Problems) -> None:
        """Append a mask file, and take the file of the pixels to ignore, where there are such."""
        numbers = [text for text in (mask, ignore) if text and parse_number(text) is not None]
        if numbers:
            problems.add(source, f"masks are files, found the number {numbers[0]!r}: name the columns", self.img_id)
            return
        if mask:
            self.masks.append(clean_path(mask))
        self.ignore = clean_path(ignore) or self.ignore


def parse_box(fields: Sequence[str]) -> tuple[float, ...] | None:
    """Return four numbers, or None if the fields are not four numbers that can be coordinates."""
    try:
        x0, y0, x1, y1 = map(float, fields)
    except (ValueError, TypeError):
        numbers = [number for number in map(parse_number, fields) if number is not None]
        if len(numbers) != 4 or len(fields) != 4:
            return None
        x0, y0, x1, y1 = numbers
    low, high = -MAX_SIDE, MAX_SIDE
    plausible = low < x0 < high and low < y0 < high and low < x1 < high and low < y1 < high  # False for NaN
    return (x0, y0, x1, y1) if plausible and "_" not in "".join(fields) else None


def parse_number(text: Any) -> float | None:
    """Return the number that a text is, with a decimal point or comma, else None."""
    try:
        return None if isinstance(text, str) and "_" in text else float(text)
    except (ValueError, TypeError, OverflowError):
        return float(text.replace(",", ".")) if isinstance(text, str) and _DECIMAL_COMMA.fullmatch(text) else None


def parse_size(fields: Sequence[Any]) -> tuple[int, int] | None:
    """Return (W, H), or None if the fields are not two whole positive numbers of pixels."""
    try:
        width, height = (0.0 if number is None else number for number in map(parse_number, fields))
        plausible = 0 < width < MAX_SIDE and 0 < height < MAX_SIDE and width % 1 == 0 == height % 1
    except (ValueError, TypeError, OverflowError):
        return None
    return (int(width), int(height)) if plausible else None


def clean_path(text: str) -> str:
    """Return a listed path with single forward slashes, and without './' before it and 'folder/..' in it."""
    if "\\" in text:
        text = text.replace("\\", "/")
    while text[:2] == "./":
        text = text[2:].lstrip("/")
    if "://" in text:
        return text
    if "/../" in text or "/./" in text:
        text = posixpath.normpath(text)
    return text if "//" not in text else text[0] + _SLASHES.sub("/", text[1:])


def plain(text: str) -> str:
    """Return a text that any UTF-8 file takes: bytes of file names that are no text are shown as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


#: What to do about images of several classes.
MULTI_LABEL = "multi-label images are not supported: give every image one label, or leave them out by on_error='skip'"


class Problems:
    """Bad records of one data set: how many, the first few, and the images they belong to.

    Args:
        limit: Number of messages kept. Defaults to 5.
    """

    def __init__(self, limit: int = 5) -> None:
        self.limit = limit
        self.count = 0
        self.first: list[str] = []
        self.bad_ids: set[str] = set()

    def add(self, source: str, message: str, img_id: str | None = None) -> None:
        """Note a problem; the image ``img_id`` is left out as a whole."""
        self.count += 1
        if len(self.first) < self.limit:
            self.first.append(plain(f"{source}: {message}"))
        if img_id is not None:
            self.bad_ids.add(img_id)

    def summary(self, separator: str = "\n  ") -> str:
        """Return the count and the first few messages."""
        rest = self.count - len(self.first)
        more = [f"... and {rest} more"] if rest else []
        return f"{self.count} bad record(s):{separator}" + separator.join([*self.first, *more])
