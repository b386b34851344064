"""Several processes of one CPU run, for tests of what must not depend on their number."""

from __future__ import annotations

import gc
import multiprocessing
import os
import warnings
from collections.abc import Callable
from pathlib import Path


def run_ranks(function: Callable, ranks: int, folder: Path, *args) -> None:
    """Call ``function(rank, folder, *args)`` in ``ranks`` processes that form a gloo group; they work in ``folder``.

    Processes are spawned: a forked one inherits locks of OpenCV's and torch's threads, and can block for ever.
    """
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_work, args=(function, r, ranks, folder, *args)) for r in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=600)
        if process.is_alive():
            process.kill()
            process.join()
    assert [process.exitcode for process in processes] == [0] * ranks


def _work(function: Callable, rank: int, ranks: int, folder: Path, *args) -> None:
    import torch

    from mmwsol import compat

    gc.freeze()  # the function's imports: every data set that is built collects garbage, and would search them
    os.environ["LOCAL_RANK"] = str(rank)
    os.chdir(folder)  # mmengine's ranks exchange results in a folder below
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    store = f"file://{folder}/store{ranks}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=ranks)
    function(rank, folder, *args)
    # Its own scope has ended: a Runner that still lives here would keep gloo's threads into the interpreter's
    # shutdown, which sometimes kills the process.
    compat.finish_distributed()
