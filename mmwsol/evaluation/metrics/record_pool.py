"""Threads that turn samples into records while the next batch is in the network."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def named_call(img_id: Any, function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function``; an error names the image."""
    try:
        return function(*args)
    except (ValueError, OSError) as error:
        raise type(error)(f"image {img_id!r}: {error}") from error
    except Exception as error:
        raise RuntimeError(f"image {img_id!r}: {type(error).__name__}: {error}") from error


class RecordPool:
    """Compute records in threads and keep their order.

    The functions must release the interpreter lock to gain anything; the compiled sweep and OpenCV
    do. At most one batch waits: :meth:`settle` is called before the next one is submitted.

    Args:
        num_threads: Number of threads; 0 computes at once. Defaults to None: 4, or the number of CPUs if
            that is smaller.

    Raises:
        ValueError: If ``num_threads`` is negative.
    """

    def __init__(self, num_threads: int | None = None) -> None:
        if num_threads is None:
            num_threads = min(4, os.cpu_count() or 1)
        if num_threads < 0:
            raise ValueError(f"num_threads must be 0 or more, got {num_threads}")
        self.num_threads = num_threads
        self._threads: ThreadPoolExecutor | None = None  # started late: data loaders fork before
        self._promised: list[int] = []  # places in the results

    def submit(self, results: list, img_id: Any, function: Callable[..., Any], *args: Any) -> None:
        """Append the record ``function(*args)`` to ``results``, or the promise of it."""
        if self.num_threads == 0:
            results.append(named_call(img_id, function, *args))
            return
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.num_threads, thread_name_prefix="mmwsol-records")
        self._promised.append(len(results))
        results.append(self._threads.submit(named_call, img_id, function, *args))

    def settle(self, results: list) -> None:
        """Wait for all promises in ``results`` and put the records into their places.

        Raises:
            Exception: The first error, in the order of the samples; ``results`` is then emptied.
        """
        try:
            for index in self._promised:
                results[index] = results[index].result()
        except BaseException:
            results.clear()
            self.close()
            raise
        finally:
            self._promised.clear()

    def close(self) -> None:
        """Stop the threads; the next submit starts new ones."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._threads = None
