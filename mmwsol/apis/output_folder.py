"""The folder that inference writes to: nothing of others is overwritten, and a killed run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmwsol.files import check_writable, write_json

RESULT = "predictions.json"
PARTIAL = "predictions.partial.jsonl"


class OutputFolder:
    """Predictions are appended to a file of lines as they come, which becomes ``predictions.json`` at the end.

    Args:
        folder (str | Path): The folder, made if it is missing.
        pictures (Sequence[str]): Names of the pictures that will be written.
        key (Any): What the predictions depend on besides the image. A killed run with the same key goes on.

    Attributes:
        done: Predictions of the killed run, by the path of the image.

    Raises:
        ValueError: If the folder cannot be written to, or has files of these names that inference did not write.
    """

    def __init__(self, folder: str | Path, pictures: Sequence[str], key: Any) -> None:
        self.folder = Path(folder)
        self.done: dict[str, dict[str, Any]] = {}
        check_writable(self.folder / RESULT)
        partial = self.folder / PARTIAL
        lines = _read_lines(partial)
        ours = {record.get("picture") for record in lines[1:]} | _pictures_of(self.folder / RESULT)
        for name in pictures:
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
        self._file = open(partial, "w", encoding="utf-8")  # noqa: SIM115  (closed by finish)
        for line in [dict(key=key), *self.done.values()]:
            self.add(line)

    def _is_whole(self, record: dict[str, Any]) -> bool:
        name = record.get("picture")
        plain = isinstance(name, str) and os.path.basename(name) == name and record.get("img_path") is not None
        return plain and (self.folder / str(name)).is_file()

    def add(self, record: dict[str, Any]) -> None:
        """Append a prediction."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def finish(self, records: Sequence[dict[str, Any]], failed: Sequence[dict[str, str]]) -> None:
        """Write ``predictions.json``, whole or not at all."""
        write_json(self.folder / RESULT, dict(predictions=list(records), failed=list(failed)))
        self._file.close()
        (self.folder / PARTIAL).unlink(missing_ok=True)


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
