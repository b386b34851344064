"""Arrays in npy and npz files, and how their names belong to images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmwsol.datasets.walk import IMG_EXTENSIONS


def match_names(
    img_ids: Sequence[str], names: Mapping[str, Any], context: str, what: str, allow_extra: bool = False
) -> dict[str, str]:
    """Return the name in ``names`` that belongs to every image id.

    :class:`mmwsol.evaluation.map_files.MapFiles` describes which names an image may have.

    Raises:
        ValueError: If an image has no name or several, or a name no image (unless ``allow_extra``) or several.
    """
    matches: dict[str, str] = {}
    users: dict[str, str] = {}
    missing = []
    for img_id in img_ids:
        candidates = _names_of(img_id)
        hits = [name for name in candidates if name in names]
        if not hits:
            missing.append((img_id, candidates))
            continue
        if len(hits) > 1:
            raise ValueError(f"{context}: image '{img_id}' has {len(hits)} {what}s, {hits}: remove all but one")
        if hits[0] in users:
            raise ValueError(f"{context}: '{hits[0]}' fits two images, '{users[hits[0]]}' and '{img_id}': keep folders")
        matches[img_id] = hits[0]
        users[hits[0]] = img_id
    if missing:
        img_id, candidates = missing[0]
        raise ValueError(
            f"{context}: {len(missing)} of {len(img_ids)} images have no {what}, e.g. '{img_id}' (looked for "
            f"{', '.join(candidates)}); there is e.g. '{next(iter(names), '')}'"
        )
    extra = [name for name in names if name not in users]
    if extra and not allow_extra:
        raise ValueError(
            f"{context}: {len(extra)} of {len(names)} {what}s belong to no image of the list, e.g. '{extra[0]}': "
            "choose the split they belong to, or pass --ignore-extra-maps"
        )
    return matches


def _names_of(img_id: str) -> list[str]:
    """Return the names that the files of an image may have, without repetition."""
    path = img_id.replace("\\", "/")
    stem = path
    for extension in IMG_EXTENSIONS:
        if path.lower().endswith(extension):
            stem = path[: -len(extension)]
    forms = [form for base in (stem, path) for form in (base, base.replace("/", "_"), base.replace("/", "__"))]
    return list(dict.fromkeys(forms))


def load_arrays(file: Path) -> Any:
    """Open an npy or npz file; nothing in it is unpickled.

    Raises:
        ValueError: If it is neither.
    """
    try:
        return np.load(file, allow_pickle=False)
    except Exception as error:  # numpy raises anything on broken files
        raise ValueError(f"'{file}' is no npy or npz file of numbers: {error}") from error


def read_array(archive: Any, name: str, file: Path) -> np.ndarray:
    """Read an array of an npz.

    Raises:
        ValueError: If it is damaged, or no array of numbers.
    """
    try:
        return np.asarray(archive[name])
    except Exception as error:  # zip, zlib and numpy raise anything on broken files
        raise ValueError(f"'{file}': array '{name}' is damaged or no array of numbers ({error})") from error


def as_names(ids: np.ndarray) -> list[str]:
    """Return ids as text, from numpy's bytes too."""
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in ids.tolist()]
