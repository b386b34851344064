"""Keep two runs out of one work directory."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

try:
    import fcntl
except ImportError:  # Windows, where mmengine's launchers do not run either
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextlib.contextmanager
def work_dir_lock(work_dir: str | Path, force: bool = False) -> Iterator[None]:
    """Hold a work directory while a run writes to it; every rank calls this, the main process holds it.

    The file ``.lock`` says which host and process is at work. The operating system gives the lock up with its
    process, however that ends. A file that a process of another host left, which cannot be asked, is a warning, so that
    a job that a cluster moves to another machine goes on.

    Args:
        work_dir: The folder, made if it is missing.
        force: Whether to use it although another run holds it. Defaults to False.

    Raises:
        ValueError: If another run holds it, it cannot be written to, or its ``.lock`` is a link.
    """
    with contextlib.ExitStack() as stack:
        refusal: list[str | None] = [None]
        if is_main_process():
            try:
                _acquire(Path(work_dir), force, stack)
            except ValueError as error:
                refusal = [str(error)]
            except OSError as error:  # the other ranks wait for an answer
                refusal = [f"work directory '{work_dir}' cannot be used: {error}"]
        broadcast_object_list(refusal)
        if refusal[0] is not None:
            raise ValueError(refusal[0])
        yield


def _acquire(work_dir: Path, force: bool, stack: contextlib.ExitStack) -> None:
    work_dir.mkdir(parents=True, exist_ok=True)
    path = work_dir / LOCK
    # a record lock: workers of data loaders do not inherit it
    file = stack.enter_context(open(path, "a+", opener=own_file))  # noqa: SIM115
    holder = _holder(path)
    try:
        if fcntl is not None:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if not force:
            raise ValueError(
                f"work directory '{work_dir}' is in use by {holder or 'another process'}: two runs in it would mix. "
                "Choose another --work-dir, or wait; --force uses it all the same."
            ) from error
        print_log(f"--force: '{work_dir}' is in use by {holder}.", "current", logging.WARNING)
        return
    if holder and f" of {socket.gethostname()}," not in holder:
        text = f"{holder}, has not left '{work_dir}': if it still runs there, both runs mix."
        print_log(text, "current", logging.WARNING)
    now = datetime.now().isoformat(timespec="seconds")
    file.truncate(0)
    json.dump(dict(host=socket.gethostname(), pid=os.getpid(), since=now), file)
    file.flush()
    stack.callback(file.truncate, 0)  # not removed: another process may have opened it already


def own_file(path: str, flags: int) -> int:
    """Open a file for ``open(..., opener=own_file)``, unless it is a link: its target belongs to somebody else.

    Raises:
        ValueError: If it is a link or no file (a pipe, a device).
    """
    try:
        descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise ValueError(f"'{path}' is a link, which would be followed: remove it.") from error
        if error.errno == errno.ENXIO:  # a pipe that nobody reads
            raise ValueError(f"'{path}' is no file: remove it.") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"'{path}' is no file: remove it.")
    return descriptor


def _holder(path: Path) -> str:
    """Say who holds the folder, '' if nobody does."""
    try:
        content = json.loads(path.read_text())
        return f"process {content['pid']} of {content['host']}, since {content['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
