"""Write files whole or not at all: beside their place, under another name, and then renamed.

A kill or a full disk leaves the earlier file as it was. A symbolic link in the place of the file is replaced, not
followed: what it points at belongs to somebody else.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME_BYTES = 255  # longest name of a file on most file systems


@contextlib.contextmanager
def writing(path: str | Path, ending: bool = True) -> Iterator[Path]:
    """Give a name beside ``path`` to write to; the file gets its own name when the block ends without error.

    Folders that are missing are made. The name is always the same, so that the next run removes what a kill left.

    Args:
        path: The file.
        ending: Whether the name has the ending of ``path``, by which writers choose a format. Defaults to True.

    Raises:
        OSError: If it cannot be written; the message names it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(os.fsencode(path.name)) > NAME_BYTES:
        raise OSError(f"'{path}' cannot be written: its name is longer than {NAME_BYTES} bytes.")
    name = path.name
    if len(os.fsencode(name)) > NAME_BYTES - 30:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    part = path.with_name(f".{name}.part{path.suffix[:20]}" if ending else f"{name}.part")
    part.unlink(missing_ok=True)  # what a killed run left; a link would be followed
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise OSError(error.errno, f"'{path}' cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Write a file; see :func:`writing`."""
    with writing(path, ending=False) as part:
        part.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write a file of text, in UTF-8, with names that are none kept as they are; see :func:`writing`."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: str | Path, value: Any, **options: Any) -> None:
    """Write a value as JSON, with the options of ``json.dumps``; see :func:`writing`.

    NaN and infinity, which JSON does not know and other programs refuse, become null.
    """
    options = {"indent": 1, **options}
    try:
        text = json.dumps(value, allow_nan=False, **options)
    except ValueError:
        finite = json.loads(json.dumps(value, **options), parse_constant=lambda name: None)
        text = json.dumps(finite, **options)
    write_text(path, text)


def write_torch(path: str | Path, value: Any) -> None:
    """Write a value with ``torch.save``, which tells a full disk in other words than a file does; see :func:`writing`.

    Raises:
        OSError: If it cannot be written; the message names it.
    """
    import torch

    content = io.BytesIO()
    torch.save(value, content)
    write_bytes(path, content.getbuffer())


def check_inside(path: str | Path, folder: str | Path) -> None:
    """Refuse a file whose folder is outside ``folder``, where a symbolic link leads; ``folder`` may be a link itself.

    Raises:
        OSError: If it is outside; the message names both.
    """
    real = os.path.realpath(Path(path).parent)
    if not Path(real).is_relative_to(os.path.realpath(folder)):
        raise OSError(f"'{path}' is not written: a link leads out of '{folder}', to '{real}'. Remove the link.")


def check_writable(path: str | Path) -> None:
    """Find out whether a file can be written, before hours of work for it; an existing one stays as it is.

    Raises:
        ValueError: If it cannot; the message names it.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise OSError("it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        if len(os.fsencode(path.name)) > NAME_BYTES:
            raise OSError(f"its name is longer than {NAME_BYTES} bytes")
        trial = path.with_name(f".{secrets.token_hex(4)}.trial")
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise ValueError(f"'{path}' cannot be written: {error.strerror or error}.") from error
