"""How far a long loop is: a bar in a terminal, a line every ten seconds elsewhere, as in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")

PROGRESS_SECONDS = 10


def track(
    items: Iterable[T], what: str, total: int, unit: str = "batches", stream: TextIO | None = None
) -> Iterator[T]:
    """Yield items, and show how many were taken.

    Args:
        items: Anything to loop over.
        what: What the loop does: 'Inference'.
        total: Number of items.
        unit: What the items are. Defaults to 'batches'.
        stream: Defaults to None: ``sys.stdout``.
    """
    stream = stream or sys.stdout
    if stream.isatty():
        from rich import progress
        from rich.console import Console

        yield from progress.track(items, description=what, total=total, console=Console(file=stream))
        return
    start = logged = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if time.monotonic() - logged > PROGRESS_SECONDS:
            logged = time.monotonic()
            print(f"{what}: {number} of {total} {unit}, {logged - start:.0f} s", file=stream, flush=True)
