"""Errors of command-line tools in one line."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

from mmengine.logging import MMLogger

TRACEBACK_VARIABLE = "MMWSOL_TRACEBACK"


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End a program whose settings, files or folders are wrong with one line and exit code 1, on every rank.

    The traceback goes to the log file of the run, if there is one. With the environment variable
    ``MMWSOL_TRACEBACK=1`` it is printed. Errors of other types, which are those of programs, keep theirs.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        if os.environ.get(TRACEBACK_VARIABLE) == "1":
            raise
        _log_traceback(error)
        sys.exit(f"{type(error).__name__}: {error}")


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
