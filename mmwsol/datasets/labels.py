"""Listed labels: names, or numbers of classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")
_SEPARATORS = re.compile(r"[|;,]")
#: Numbers of classes above this one are taken for mistakes: a list of so many names does not fit into memory.
MAX_LABEL = 1_000_000
#: Cells of tables without a label.
NO_LABEL = ("", "nan", "NaN", "<NA>")
#: Names that are parts of a data set rather than classes.
SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})

#: Folders of data sets that are hardly the name of a class.
FOLDER_NAMES = frozenset({"images", "image", "imgs", "img", "labels", "data", "dataset", "jpegimages", "annotations"})
_SPLIT_STARTS = SPLIT_NAMES | {"trainval", "minival", "fold", "split"}


def is_split(text: str) -> bool:
    """Return whether a cell can hardly be anything but a split, '' or 'train', 'val2017', 'fold_1', 'train-extra'."""
    return text in NO_LABEL or re.split(r"[\W\d_]", text.lower())[0] in _SPLIT_STARTS


def nfc(text: str) -> str:
    """Return a text with each letter and its accent as one sign, where macOS writes them as two."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def name_key(name: str) -> str:
    """Return what of a class name is seen: 'Cat', 'cat' and 'cat' with an invisible sign have one key, '001' and '1'.

    Accents written as one sign or two, wide letters, and any number of any blanks are the same, too.
    """
    text = name
    if not name.isascii():
        text = unicodedata.normalize("NFKC", name)
        text = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")
    text = " ".join(text.casefold().split())
    number = number_of(text)
    return text if number is None else str(number)


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


def class_number(text: str) -> int | str:
    """Return the index of a class where a format counts them, else its name: '7' is 7, '007' a name."""
    return text if is_padded(text) else parse_label(text)


def sort_names(names: Iterable[str]) -> list[str]:
    """Sort class names; names that are all numbers are sorted as numbers (ImageNetV2's folders)."""
    names = set(names)
    if all(name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def index_of(text: str, index: Mapping[str, int], numbers: bool = True) -> int | str:
    """Return the number of a class that is listed by name or number, or the text if there is no such class.

    A name wins over a number. Where names are numbers themselves ('001', '10'), a number that is no name is no class:
    it could be meant either way.

    Args:
        text: Label as listed.
        index: Class names and their numbers.
        numbers: Whether a number that is no name can be the number of a class. Defaults to True.
    """
    if text in index:
        return index[text]
    number = number_of(text)
    if number is None:
        same = () if text.isascii() else [label for name, label in index.items() if nfc(name) == nfc(text)]
        return same[0] if len(same) == 1 else text
    if str(number) in index:  # '1.0' is the class '1'
        return index[str(number)]
    return number if numbers and all(number_of(name) is None for name in index) else text


def several(text: str) -> list[str]:
    """Return the parts of a cell that lists several labels, 'cat|dog' or "['cat', 'dog']"; [] for one label."""
    parts = [part.strip(" []()'\"") for part in _SEPARATORS.split(text)]
    return parts if len(parts) > 1 and all(parts) else []


def is_several(text: str, given: set[str]) -> bool:
    """Return whether a label of a list with the labels ``given`` stands for several of them.

    'cat|dog' does where there is 'cat'. Names of species hold commas, so that 'Warbler, Yellow' does only where there
    are both 'Warbler' and 'Yellow'.
    """
    parts = several(text)
    if not parts or given.isdisjoint(parts):
        return False
    return given.issuperset(parts) or "|" in text or ";" in text or text[0] in "[("


def written_names(lines: Sequence[str]) -> list[str]:
    """Return the names that the lines of a file are, without a byte-order mark and blank lines at the end."""
    names = [line.strip("\ufeff \t") for line in lines]
    while names and not names[-1]:
        names.pop()
    return names


def full_names(names: Any, what: str) -> tuple[str, ...]:
    """Return :func:`ordered_names`, or raise ``ValueError`` if one is empty: the labels after it would move."""
    ordered = ordered_names(names, what)
    if empty := [number for number, name in enumerate(ordered) if not name.strip()]:
        raise ValueError(f"name {empty[0]} of {what}, from 0, is empty: remove the blank line, or name the class")
    return ordered


def ordered_names(names: Any, what: str) -> tuple[str, ...]:
    """Return names in the order of their labels: of a sequence, or of a mapping of names to labels or back.

    Args:
        names: The names.
        what: What they are, for the message.

    Raises:
        ValueError: If they have no order, or are no names.
    """
    message = f"{what} is a sequence of names in the order of the labels, or a mapping of names and the labels 0, 1, .."
    if isinstance(names, (set, frozenset)):
        raise ValueError(f"{message}. A set has no order: write a list")
    if isinstance(names, Mapping):
        for pairs in ([*names.items()], [(label, name) for name, label in names.items()]):
            by_label = {number_of(str(label)): name for name, label in pairs}
            if {*by_label} == {*range(len(pairs))} and not any(isinstance(name, int) for name in by_label.values()):
                return tuple(str(by_label[label]) for label in range(len(pairs)))
        raise ValueError(f"{message}; this one has other labels, or some twice: {str(dict(names))[:80]}")
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise ValueError(f"{message}, got {names!r}")
    names = tuple(names)
    wrong = [name for name in names if name is None or (isinstance(name, Iterable) and not isinstance(name, str))]
    if wrong:
        raise ValueError(f"{message}; {str(wrong[0])[:80]} is no name")
    return tuple(map(str, names))
