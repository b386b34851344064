"""Errors of command-line tools in one line."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator

from mmengine.logging import MMLogger

from mmwsol.utils.config_errors import TRACEBACK_VARIABLE, config_error_line


@contextlib.contextmanager
def one_line_errors(config: str = "", go_on: str = "the same command starts anew") -> Iterator[None]:
    """End a program whose settings, files or folders are wrong with one line and exit code 1, on every rank.

    So ends one whose config cannot be loaded, or built from, also by a bug of a class: the line then names the variable
    below. The traceback goes to the log file of the run, if there is one. With the environment variable
    ``MMWSOL_TRACEBACK=1`` it is printed. Errors of other types, which are those of programs, keep theirs. Ctrl-C ends
    in a line, too, with exit code 130, and a reader of the output that goes away (``| head``) ends nothing.

    Args:
        config: The config, for messages. Defaults to ''.
        go_on: What a user does after Ctrl-C.
    """
    _outlive_reader()
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if _was_interrupted(error):
            print(f"\nInterrupted: {go_on}.", file=sys.stderr)
            sys.exit(130)
        line = config_error_line(error, config)
        if line is None and isinstance(error, (ValueError, OSError, ImportError)):
            line = f"{type(error).__name__}: {error}"
        if line is None or os.environ.get(TRACEBACK_VARIABLE) == "1":
            raise
        _log_traceback(error)
        sys.exit(line)


def _was_interrupted(error: BaseException | None) -> bool:
    """Return whether Ctrl-C is behind an error: mmengine 0.10.7 makes it a SyntaxError while it formats a config."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


class _Pipe(io.FileIO):
    """Standard output that goes to nowhere when its reader has gone."""

    def write(self, data) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return len(data)


def _outlive_reader() -> None:
    """Replace standard output, unless something else has (a test, a notebook)."""
    out = sys.stdout
    if out is sys.__stdout__ and isinstance(out, io.TextIOWrapper):
        out.flush()
        pipe = io.BufferedWriter(_Pipe(out.fileno(), "w", closefd=False))
        sys.stdout = io.TextIOWrapper(pipe, out.encoding, out.errors, line_buffering=True)


def _log_traceback(error: BaseException) -> None:
    """Write a traceback to the log files of the current run; the terminal gets the line alone."""
    if not MMLogger._instance_dict:  # nothing has been logged
        return
    details = (type(error), error, error.__traceback__)
    record = logging.LogRecord("mmengine", logging.ERROR, __file__, 0, "The run ends with an error.", None, details)
    for handler in MMLogger.get_current_instance().handlers:
        if isinstance(handler, logging.FileHandler):
            with contextlib.suppress(OSError):  # the disk may be full
                handler.handle(record)
