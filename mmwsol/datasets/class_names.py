"""Names of classes: where they are known, and whether two parts of a run mean the same by a label."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmwsol.datasets.labels import is_padded, number_of, ordered_names
from mmwsol.datasets.wrappers import concatenated, inner_config, inner_dataset
from mmwsol.registry import DATASETS

# Hyphens, dots and the like within words, and the dot or comma after one.
_SEPARATORS = re.compile(r"(?<=\w)[-.,'’](?=[^\W\d])|(?<=[^\W\d])[-.,'’](?=\w)|[.,](?=\s)")
LOADERS = ("test_dataloader", "val_dataloader", "train_dataloader")


def as_names(classes: Any, what: str = "classes") -> tuple[str, ...] | None:
    """Return class names in the order of their labels, None for None and for the empty.

    Raises:
        ValueError: If they are no sequence of names, or mapping of names and labels.
    """
    if classes is None:
        return None
    names = classes.tolist() if isinstance(classes, np.ndarray) else classes
    return ordered_names(names, what) or None


def dataset_names(dataset: Any) -> tuple[str, ...] | None:
    """Return the class names of a data set, possibly inside wrappers; None if it does not know them.

    Raises:
        ValueError: If the parts of a ``ConcatDataset`` have different ones.
    """
    metainfo = getattr(inner_dataset(dataset), "metainfo", None)  # a data set of torch has none
    names = as_names((metainfo or {}).get("classes"))
    for number, part in enumerate(concatenated(dataset)):
        check_same_names(dataset_names(part), names, f"part {number} of the ConcatDataset", "part 0")
    return names


def config_names(dataset: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    """Return the class names that the config of a data set states, or its class knows; None if neither does.

    The data set is not built: names that it reads from files are not known.
    """
    dataset = inner_config(dataset or {})
    classes = (dataset.get("metainfo") or {}).get("classes")
    if classes is None and dataset.get("type") is not None:
        kind = dataset["type"]  # a class in configs of pure Python
        kind = kind if isinstance(kind, type) else DATASETS.get(kind)
        classes = getattr(kind, "METAINFO", {}).get("classes")
    return None if isinstance(classes, str) else as_names(classes)  # a string is a file of names


def checkpoint_names(checkpoint: Mapping[str, Any] | None, file: str = "") -> tuple[str, ...] | None:
    """Return the class names of the data set that a checkpoint was trained on, None if it does not hold them.

    Raises:
        ValueError: If they are no names; the message names the file.
    """
    meta = (checkpoint or {}).get("meta")
    stored = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    if not isinstance(stored, Mapping):
        return None
    return as_names(
        stored.get("classes", stored.get("CLASSES")), f"checkpoint '{file}': classes" if file else "classes"
    )


def check_same_names(first: Sequence[str] | None, second: Sequence[str] | None, place: str, other: str) -> None:
    """Check that a label means the same class in two places. Unknown names are not compared.

    Names count as equal if they differ only in case, or in blanks, underscores, and hyphens and dots within words,
    unless two classes of one place would be equal then. Names that are the numbers 0, 1, 2, ... in this order, as lists
    without names give them, are compared in number only with names that are no numbers.

    Args:
        first: Class names in the order of the labels.
        second: Those of the other place.
        place: What has the first, for the message.
        other: What has the second.

    Raises:
        ValueError: If the numbers differ or the names; the message names the first class that does.
    """
    if first is None or second is None:
        return
    if len(first) != len(second):
        raise ValueError(f"{place} has {len(first)} classes, {other} {len(second)}: the labels mean different classes.")
    ours, theirs = _keys(first, second)
    numbers = [[str(label) for label in range(len(ours))] == list(map(str, names)) for names in (first, second)]
    named = any(number_of(str(name)) is None or is_padded(str(name)) for name in (*first, *second))
    if ours == theirs or (any(numbers) and named):
        return
    label = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
    if sorted(ours) == sorted(theirs):
        what = "These are the same classes in another order: every label from there on may be wrong."
    else:
        what = "These are other classes."
    raise ValueError(
        f"class {label} is '{first[label]}' in {place}, but '{second[label]}' in {other}. {what} State one order for "
        "all: dataset=dict(metainfo=dict(classes=[...])), with the names that the model was trained with."
    )


def is_permutation(first: Sequence[str], second: Sequence[str]) -> bool:
    """Tell whether two sequences of names are the same classes in different orders."""
    ours, theirs = _keys(first, second)
    return ours != theirs and sorted(ours) == sorted(theirs)


def _keys(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the parts of names that are compared: the names themselves if two of one place have the same part."""
    ours, theirs = [_key(name) for name in first], [_key(name) for name in second]
    if len(set(ours)) < len(ours) or len(set(theirs)) < len(theirs):
        return [str(name) for name in first], [str(name) for name in second]
    return ours, theirs


def _key(name: str) -> str:
    """Return a name without case, and with blanks for separators: 'ER+', 'C#', '-1' and '0.5' keep their signs."""
    text = unicodedata.normalize("NFKC", str(name)).casefold()
    return re.sub(r"[\s_]+", " ", _SEPARATORS.sub(" ", text)).strip() or str(name)
