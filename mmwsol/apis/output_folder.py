"""The folder that inference writes to: nothing of others is overwritten, and a killed run goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmwsol.files import check_inside, check_writable, write_json, write_text
from mmwsol.visualization import write_picture

RESULT = "predictions.json"
PARTIAL = "predictions.partial.jsonl"
KEYS = {"img_path", "ori_shape", "pred_label", "pred_class", "pred_score", "bboxes", "objects", "doubts", "picture"}


class OutputFolder:
    """Pictures and predictions of a call of :class:`WSOLInferencer`, written as they come.

    Predictions are appended to a file of lines, which becomes ``predictions.json`` at the end. The name of a picture
    stands there before the picture is written, its prediction afterwards, with size and time of the image. Files of
    text (labels) are written at the end; their names and hashes stand in both, so that one that somebody has changed
    since is known. Those of an earlier call in the same folder of labels are removed then: their classes may be others.

    Args:
        folder: The folder, made if it is missing.
        names: Names of the inputs, from which those of the pictures are made.
        key: What the predictions depend on besides the image. A killed run with the same key goes on.
        texts: Names of the files of text that :meth:`finish` may write. Defaults to ().

    Attributes:
        done: Predictions of the killed run for these inputs, by the path of the image.
        records: All predictions so far, without maps.

    Raises:
        ValueError: If the folder cannot be written to, a picture would be written over an image, or there are files
            that would be written over or removed, and that inference did not write, or that were changed since.
    """

    def __init__(self, folder: str | Path, names: Sequence[str], key: Any, texts: Iterable[str] = ()) -> None:
        self.folder = Path(folder)
        self.names = list(names)
        self.pictures = _picture_names(names, self.folder)
        self.done: dict[str, dict[str, Any]] = {}
        check_writable(self.folder / RESULT)
        partial = self.folder / PARTIAL
        if os.path.lexists(partial) and (partial.is_symlink() or not partial.is_file()):
            raise ValueError(f"'{partial}' is no plain file: choose another out_dir.")
        lines = _read_lines(partial)
        ours = written_pictures(self.folder)
        for name in self.pictures:
            if name not in ours and os.path.lexists(self.folder / name):
                raise ValueError(
                    f"'{name}' in '{folder}' is there already, and no earlier inference has written it: choose another "
                    "out_dir."
                )
        self._check_texts(texts)
        key = json.loads(json.dumps(key, default=str))
        if lines and lines[0].get("key") == key:
            self.done = self._predictions(lines[1:])
        self.records = list(self.done.values())
        known = [dict(key=key), *(dict(picture=name) for name in sorted(ours))]
        known += [dict(text=name, hash=value) for name, values in sorted(self._hashes.items()) for value in values]
        known += [dict(record=record, stamp=_stamp(name)) for name, record in self.done.items()]
        write_text(partial, "".join(f"{json.dumps(line)}\n" for line in known))
        self._file = open(partial, "a", encoding="utf-8")  # noqa: SIM115  (closed by finish)

    def _check_texts(self, texts: Iterable[str]) -> None:
        """Raise ``ValueError`` if a file of text is there that is not as inference has written it."""
        self._hashes = _written_texts(self.folder)
        texts = list(texts)
        for name in [*texts, *self._beside(texts)]:
            if os.path.lexists(self.folder / name) and not self._is_ours(name):
                raise ValueError(
                    f"'{name}' in '{self.folder}' is there already, and no earlier inference has written it, or it was "
                    "changed since: choose another out_dir."
                )

    def _is_ours(self, name: str) -> bool:
        """Return whether a file of text is as inference has written it."""
        path = self.folder / name
        return path.is_file() and _hash(path.read_bytes()) in self._hashes.get(name, ())

    def _beside(self, texts: Iterable[str]) -> list[str]:
        """Name the other files of text of earlier calls, in the same folders, 'yolo' and 'voc'."""
        folders = {name.split(os.sep)[0] for name in texts}
        return [name for name in self._hashes.keys() - {*texts} if name.split(os.sep)[0] in folders]

    def _predictions(self, lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return the predictions for images of this call that are as they were, with the pictures that they get now."""
        expected = dict(zip(self.names, self.pictures, strict=True))
        predictions = {}
        for line in lines:
            record, stamp = line.get("record"), line.get("stamp")
            if not isinstance(record, dict) or not record.keys() >= KEYS or not isinstance(record["img_path"], str):
                continue
            name = record["img_path"]
            same = stamp is not None and stamp == _stamp(name)
            if same and expected.get(name) == record["picture"] and (self.folder / expected[name]).is_file():
                predictions[name] = record
        return predictions

    def add(self, index: int, record: dict[str, Any], picture: np.ndarray) -> None:
        """Write the picture of an input, (H, W, 3) uint8 RGB, and append its prediction, which gets the picture's name.

        Raises:
            OSError: If they cannot be written.
        """
        record["picture"] = self.pictures[index]
        self._append(dict(picture=record["picture"]))
        write_picture(self.folder / record["picture"], picture)
        kept = {key: value for key, value in record.items() if key != "map"}
        self._append(dict(record=kept, stamp=_stamp(self.names[index])))
        self.records.append(kept)

    def _append(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def finish(self, failed: Sequence[dict[str, str]], texts: Iterable[tuple[str, str]] = (), **notes: Any) -> None:
        """Write files of text in place of those of earlier calls, then ``predictions.json``, each whole or not at all.

        Args:
            failed: Inputs without a prediction.
            texts: Relative path and content of files. Defaults to ().
            **notes: Further keys of ``predictions.json``.

        Raises:
            OSError: If a file cannot be written, or a link leads out of the folder.
        """
        hashes, contents = {}, dict(texts)
        for name in self._beside(contents):
            check_inside(self.folder / name, self.folder)
            if self._is_ours(name):
                (self.folder / name).unlink()
        for name, text in contents.items():
            path = self.folder / name
            check_inside(path, self.folder)
            hashes[name] = _hash(text.encode("utf-8", "surrogateescape"))
            self._append(dict(text=name, hash=hashes[name]))
            write_text(path, text)
        kept = {name: values[-1] for name, values in self._hashes.items() if (self.folder / name).is_file()}
        content = dict(notes, predictions=self.records, failed=list(failed), texts={**kept, **hashes})
        write_json(self.folder / RESULT, content)
        self._file.close()
        (self.folder / PARTIAL).unlink(missing_ok=True)


def written_pictures(folder: str | Path) -> set[str]:
    """Return the names of the pictures that inference has written into a folder.

    Raises:
        ValueError: If ``predictions.json`` is not of an inference.
    """
    names = [line.get("picture") for line in _read_lines(Path(folder, PARTIAL))[1:]]
    names += [record.get("picture") for record in _result(Path(folder, RESULT)).get("predictions", ())]
    return {name for name in names if isinstance(name, str) and os.path.basename(name) == name}


def _written_texts(folder: Path) -> defaultdict[str, list[str]]:
    """Return the hashes of the files of text that inference has written into a folder, by name."""
    hashes: defaultdict[str, list[str]] = defaultdict(list)
    pairs = list(_result(folder / RESULT).get("texts", {}).items())
    pairs += [(line.get("text"), line.get("hash")) for line in _read_lines(folder / PARTIAL)[1:]]
    for name, value in pairs:
        if isinstance(name, str) and isinstance(value, str) and value not in hashes[name]:
            hashes[name].append(value)
    return hashes


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _stamp(name: str) -> list[int] | None:
    """Return size and time of an image file, by which one that was replaced is known."""
    try:
        status = os.stat(name)
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]


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


def _result(path: Path) -> dict[str, Any]:
    """Return the ``predictions.json`` of an earlier inference, {} if there is none.

    Raises:
        ValueError: If the file is not of one.
    """
    if not os.path.lexists(path):
        return {}
    try:
        if not path.is_file():  # a pipe would wait for ever
            raise OSError
        content = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(record, dict) for record in content["predictions"]):
            raise TypeError
        if not isinstance(content.get("texts", {}), dict):
            raise TypeError
        return content
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"'{path}' is there and not of an earlier inference: choose another out_dir.") from error
