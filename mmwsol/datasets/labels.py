"""Listed labels: names, or numbers of classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")
_SEPARATORS = re.compile(r"[|;,]")
#: Numbers of classes above this one are taken for mistakes: a list of so many names does not fit into memory.
MAX_LABEL = 1_000_000
#: Cells of tables without a label.
NO_LABEL = ("", "nan", "NaN", "<NA>")


def number_of(text: str) -> int | None:
    """Return the whole number that a text is ('7', '-1', and '7.0' as pandas writes it), else None ('1_0', '1.5')."""
    return int(float(text) if "." in text else text) if _NUMBER.fullmatch(text) else None


def is_padded(text: str) -> bool:
    """Return whether a number is written like a name: '001', '+1'."""
    digits = text.partition(".")[0]
    return digits[:1] == "+" or (len(digits.lstrip("-")) > 1 and digits.lstrip("-").startswith("0"))


def parse_label(text: str) -> int | str:
    """Return a whole number where ``text`` is one, else the text (a class name)."""
    number = number_of(text)
    return text if number is None else number


def sort_names(names: Iterable[str]) -> list[str]:
    """Sort class names; names that are all numbers are sorted as numbers (ImageNetV2's folders)."""
    names = set(names)
    if all(name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def index_of(text: str, index: Mapping[str, int]) -> int | str:
    """Return the number of a class that is listed by name or number, or the text if there is no such class.

    A name wins over a number. Where names are numbers themselves ('001', '10'), a number that is no name is no class:
    it could be meant either way.

    Args:
        text: Label as listed.
        index: Class names and their numbers.
    """
    if text in index:
        return index[text]
    number = number_of(text)
    if number is None:
        return text
    if str(number) in index:  # '1.0' is the class '1'
        return index[str(number)]
    return text if any(number_of(name) is not None for name in index) else number


def several(text: str) -> list[str]:
    """Return the parts of a cell that lists several labels, 'cat|dog' or "['cat', 'dog']"; [] for one label."""
    parts = [part.strip(" []()'\"") for part in _SEPARATORS.split(text)]
    return parts if len(parts) > 1 and all(parts) else []
