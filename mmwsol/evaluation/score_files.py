"""Class scores in files that any program can write."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmwsol.datasets.readers import read_text

from .named_arrays import as_names, load_arrays, match_names, read_array


def read_scores(path: str | Path, img_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Read class scores, for Top-k localization.

    Args:
        path: npz with ``ids`` (N,) and ``scores`` (N, C), or one array (C,) under the id of each image; or a CSV
            ``id,score,score,...`` (header optional).
        img_ids: Ids of the ground truth; scores of other images are ignored.

    Returns:
        Scores (C,) by image id.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If an image has no scores or comes twice, scores are not finite, or differ in number.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"scores '{path}' do not exist")
    rows = _scores_of_csv(path) if path.suffix.lower() == ".csv" else _scores_of_npz(path)
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


def _scores_of_csv(path: Path) -> list[tuple[str, np.ndarray]]:
    rows = []
    try:
        lines = list(csv.reader(io.StringIO(read_text(str(path)), newline="")))
    except csv.Error as error:
        raise ValueError(f"scores '{path}' are no CSV text: {error}") from error
    for number, row in enumerate(lines, 1):
        if not row:
            continue
        try:
            rows.append((row[0].strip(), np.array([float(text) for text in row[1:]])))
        except ValueError as error:
            if number > 1:  # the first line may be a header
                raise ValueError(f"scores '{path}:{number}': {error}") from error
    return rows
