"""The folder that inference writes to: nothing of others is overwritten, and a killed run goes on."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmwsol.files import check_writable, write_json, write_text
from mmwsol.visualization import write_picture

RESULT = "predictions.json"
PARTIAL = "predictions.partial.jsonl"


class OutputFolder:
    """Pictures and predictions of a call of :class:`WSOLInferencer`, written as they come.

    Predictions are appended to a file of lines, which becomes ``predictions.json`` at the end.

    Args:
        folder: The folder, made if it is missing.
        names: Names of the inputs, from which those of the pictures are made.
        key: What the predictions depend on besides the image. A killed run with the same key goes on.

    Attributes:
        done: Predictions of the killed run, by the path of the image.

    Raises:
        ValueError: If the folder cannot be written to, a picture would be written over an image, or there are files of
            these names that inference did not write.
    """

    def __init__(self, folder: str | Path, names: Sequence[str], key: Any) -> None:
        self.folder = Path(folder)
        self.pictures = _picture_names(names, self.folder)
        self.done: dict[str, dict[str, Any]] = {}
        check_writable(self.folder / RESULT)
        partial = self.folder / PARTIAL
        lines = _read_lines(partial)
        ours = {record.get("picture") for record in lines[1:]} | _pictures_of(self.folder / RESULT)
        for name in self.pictures:
            if name not in ours and os.path.lexists(self.folder / name):
                raise ValueError(
                    f"'{name}' in '{folder}' is there already, and no earlier inference has written it: choose another "
                    "out_dir."
                )
        key = json.loads(json.dumps(key, default=str))
        if lines and lines[0].get("key") == key:
            self.done = {str(record["img_path"]): record for record in lines[1:] if self._is_whole(record)}
        elif partial.is_symlink():
            raise ValueError(f"'{partial}' is a symbolic link: choose another out_dir.")
        self._records = list(self.done.values())
        write_text(partial, "".join(f"{json.dumps(line)}\n" for line in [dict(key=key), *self._records]))
        self._file = open(partial, "a", encoding="utf-8")  # noqa: SIM115  (closed by finish)

    def _is_whole(self, record: dict[str, Any]) -> bool:
        name = record.get("picture")
        plain = isinstance(name, str) and os.path.basename(name) == name and record.get("img_path") is not None
        return plain and (self.folder / str(name)).is_file()

    def add(self, index: int, record: dict[str, Any], picture: np.ndarray) -> None:
        """Write the picture of an input, (H, W, 3) uint8 RGB, and append its prediction, which gets the picture's name.

        Raises:
            OSError: If they cannot be written.
        """
        record["picture"] = self.pictures[index]
        write_picture(self.folder / record["picture"], picture)
        kept = {key: value for key, value in record.items() if key != "map"}
        self._file.write(json.dumps(kept) + "\n")
        self._file.flush()
        self._records.append(kept)

    def finish(self, failed: Sequence[dict[str, str]]) -> None:
        """Write ``predictions.json``, whole or not at all."""
        write_json(self.folder / RESULT, dict(predictions=self._records, failed=list(failed)))
        self._file.close()
        (self.folder / PARTIAL).unlink(missing_ok=True)


def _picture_names(inputs: Sequence[str], folder: Path) -> list[str]:
    """Name pictures like the images, below the folder that all of them share.

    Raises:
        ValueError: If a picture would be written over an image.
    """
    paths = [os.path.abspath(name) for name in inputs]
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    stems = [os.path.splitext(os.path.relpath(path, common))[0].replace(os.sep, "_") for path in paths]
    stems = [os.fsencode(stem)[:200].decode(errors="ignore") for stem in stems]  # a file name has 255 bytes
    count = Counter(stems)
    names: dict[str, None] = {}
    for index, stem in enumerate(stems):
        stem = f"{stem}_{index}" if count[stem] > 1 else stem
        while f"{stem}.jpg" in names:
            stem += "_"
        names[f"{stem}.jpg"] = None
    images = {os.path.realpath(path) for path in paths}
    for name in names:
        if os.path.realpath(folder / name) in images:
            raise ValueError(f"'{name}' in '{folder}' is one of the images: choose another out_dir.")
    return list(names)


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a killed run; the last may be cut."""
    lines: list[dict[str, Any]] = []
    if not path.is_file():
        return lines
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            break
        if not isinstance(line, dict):
            break
        lines.append(line)
    return lines


def _pictures_of(path: Path) -> set[Any]:
    """Return the pictures of an earlier inference.

    Raises:
        ValueError: If the file is not of one.
    """
    if not os.path.lexists(path):
        return set()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {record.get("picture") for record in content["predictions"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"'{path}' is there and not of an earlier inference: choose another out_dir.") from error
