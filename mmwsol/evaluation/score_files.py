"""Class scores in files that any program can write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmwsol.datasets.csv_columns import column_meaning
from mmwsol.datasets.csv_reader import split_rows
from mmwsol.datasets.labels import name_key
from mmwsol.datasets.readers import read_text
from mmwsol.datasets.records import Problems, parse_number

from .named_arrays import as_names, load_arrays, match_names, read_array

_LAST_NUMBER = re.compile(r"[0-9]{1,9}$")


def read_scores(
    path: str | Path, img_ids: Sequence[str], classes: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Read class scores, for Top-k localization.

    Args:
        path: npz with ``ids`` (N,) and ``scores`` (N, C), or one array (C,) under the id of each image; or a CSV
            ``id,score,score,...``, separated by comma, semicolon or tab. A header with the names of the classes says
            which column is which; without, they are in the order of the labels.
        img_ids: Ids of the ground truth; scores of other images are ignored.
        classes: Names of the classes in the order of the labels. Defaults to None: not known.

    Returns:
        Scores (C,) by image id.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If an image has no scores or comes twice, scores are not finite, differ in number, or are
            not one a class.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"scores '{path}' do not exist")
    rows = _scores_of_csv(path, classes) if path.suffix.lower() == ".csv" else _scores_of_npz(path)
    table: dict[str, np.ndarray] = {}
    for name, scores in rows:
        if name in table:
            raise ValueError(f"scores '{path}': image '{name}' comes twice")
        table[name] = scores
    of = match_names(img_ids, table, f"scores '{path}'", "row of scores", allow_extra=True)
    selected = {img_id: table[name] for img_id, name in of.items()}
    count = next(iter(selected.values()), np.empty(0)).size
    for img_id, scores in selected.items():
        numbers = scores.dtype.kind in "buif"
        if not numbers or scores.shape != (count,) or not count or not np.isfinite(scores).all():
            raise ValueError(f"scores '{path}': image '{img_id}' needs {count} finite numbers, got {scores}")
    wanted = len(classes) if classes is not None and selected else count
    if count < wanted or (count > wanted and not is_unnamed(classes or ())):
        raise ValueError(
            f"scores '{path}': {count} scores an image, the ground truth has {wanted} classes: give one score a class, "
            "in the order of the labels"
        )
    return selected


def _scores_of_npz(path: Path) -> list[tuple[str, np.ndarray]]:
    content = load_arrays(path)
    if not hasattr(content, "files"):
        raise ValueError(f"scores '{path}': an npz with ids (N,) and scores (N, C) is needed, not a bare array")
    with content:
        if set(content.files) != {"ids", "scores"}:
            return [(name, read_array(content, name, path)) for name in content.files]
        ids, scores = (read_array(content, name, path) for name in ("ids", "scores"))
    if scores.ndim != 2 or ids.shape != scores.shape[:1]:
        raise ValueError(f"scores '{path}': needs ids (N,) and scores (N, C), got {ids.shape} and {scores.shape}")
    return list(zip(as_names(ids), scores, strict=True))


def _scores_of_csv(path: Path, classes: Sequence[str] | None) -> list[tuple[str, np.ndarray]]:
    problems = Problems()
    lines = list(split_rows(str(path), read_text(str(path)), problems))
    if problems.count:
        raise ValueError(f"scores '{path}': {problems.summary()}")
    order = None
    if lines and _is_header(lines[0][1]):
        source, header = lines.pop(0)
        order = _columns(source, header[1:], classes)
    rows = []
    for source, row in lines:
        numbers = [parse_number(text) for text in row[1:]]
        if None in numbers or (order is not None and len(order) != len(numbers)):
            wanted = "numbers" if order is None else f"{len(order)} numbers, as the header has"
            raise ValueError(f"scores '{source}': image '{row[0]}' needs {wanted}, found {','.join(row[1:])[:80]!r}")
        scores = np.array(numbers, np.float64)
        rows.append((row[0], scores if order is None else scores[order]))
    return rows


def _is_header(row: Sequence[str]) -> bool:
    """Return whether a first row has no scores, or its numbers are classes: 'id,0,1'."""
    return any(parse_number(text) is None for text in row[1:]) or not row[0] or column_meaning(row[0]) is not None


def _columns(source: str, header: Sequence[str], classes: Sequence[str] | None) -> list[int] | None:
    """Return the column of each class, None where the header does not say and columns are in the order of labels.

    Columns are called like the classes, or by their numbers, 'score_0'; all may have the same name, 'score'.

    Raises:
        ValueError: If the names of columns are others.
    """
    if classes is None or ({*header} == {*header[:1]} and name_key(header[0]) not in map(name_key, classes)):
        return None
    exact = {name: label for label, name in enumerate(classes)}
    alike = {name_key(name): label for name, label in exact.items()}
    alike = alike if len(alike) == len(classes) else {}
    labels = [exact.get(name, alike.get(name_key(name))) for name in header]
    if is_unnamed(classes) or labels.count(None) == len(labels):
        labels = [int(match[0]) if (match := _LAST_NUMBER.search(name)) else None for name in header]
    places = {label: column for column, label in enumerate(labels)}
    if {*places} == {*range(len(header))} and (len(header) == len(classes) or is_unnamed(classes)):
        return [places[label] for label in range(len(header))]
    unknown = [name for name, label in zip(header, labels, strict=True) if label is None or label >= len(classes)]
    missing = [name for label, name in enumerate(classes) if label not in places]
    said = [f"'{unknown[0]}' is no class" if unknown else "", f"no column is class '{missing[0]}'" if missing else ""]
    said = [text for text in said if text] or ["a class has several columns"]
    raise ValueError(
        f"scores '{source}': {' and '.join(said)}: name the {len(classes)} columns by the classes of the ground truth, "
        "or remove the header if they are in the order of its labels"
    )


def is_unnamed(classes: Sequence[str]) -> bool:
    """Return whether names of classes are the numbers 0, 1, .., as lists without names give them."""
    return list(classes) == [str(label) for label in range(len(classes))]
