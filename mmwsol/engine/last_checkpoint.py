"""Which checkpoint of a work directory a run goes on from, and what is kept of one that none goes on from."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log

from mmwsol.compat import load_checkpoint_file
from mmwsol.files import write_torch


def latest_checkpoint(folder: str | Path, outside: bool = False) -> str | None:
    """Return the newest whole checkpoint of a run, or None.

    It is the one that ``last_checkpoint`` names, in this folder, whatever folder it names: that of a copied run names
    the original's. After a kill at the wrong moment the file may be damaged or gone, and the newest readable
    ``epoch_*.pth`` or ``iter_*.pth`` is taken with a warning.

    Args:
        folder: Work directory.
        outside: Whether the run saves its checkpoints in another folder (``out_dir`` of the CheckpointHook), so
            that the file which ``last_checkpoint`` names counts, too. Defaults to False.
    """
    folder = Path(folder)
    pointer = folder / "last_checkpoint"
    named: list[Path] = []
    if pointer.is_file():
        path = Path(pointer.read_bytes()[:4096].decode(errors="replace").replace("\0", "").strip())
        named = [path if outside and _is_file(path) else folder / (path.name[:255] or "nothing")]
    others = [p for pattern in ("epoch_*.pth", "iter_*.pth") for p in folder.glob(pattern)]
    others.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    for path in named + others:
        if _is_file(path) and zipfile.is_zipfile(path):
            if named and path != named[0]:
                print_log(f"{named[0]} is damaged or missing: using {path}.", "current", level=logging.WARNING)
            return str(path)
    return None


def checkpoint_to_resume(folder: str | Path, outside: bool = False) -> str | None:
    """Return the checkpoint to go on from; None, with a word in the log, if nothing was saved yet.

    Args:
        folder: Work directory.
        outside: As for :func:`latest_checkpoint`.

    Raises:
        ValueError: If checkpoints were saved and none is left that can be read.
    """
    checkpoint = latest_checkpoint(folder, outside)
    if checkpoint is not None:
        return checkpoint
    patterns = ("last_checkpoint", "epoch_*.pth", "iter_*.pth")  # a best_*.pth may come before the first of them
    traces = sorted(path.name for pattern in patterns for path in Path(folder).glob(pattern))
    if traces:
        raise ValueError(
            f"--resume: {folder} has {', '.join(traces[:4])}, but no epoch_*.pth or iter_*.pth that can be read: they "
            "are damaged or gone. Give a checkpoint, --resume PATH; or train from the start, --force without --resume."
        )
    print_log(f"{folder} has no checkpoint to resume from: training starts from the beginning.", "current")
    return None


def drop_optimizer(checkpoint: str) -> None:
    """Write a checkpoint anew without the states of optimizer and schedules, two thirds of it with Adam.

    What the next stage starts from are weights. Every rank calls this; the main process does it. A file that cannot be
    written stays as it is, with a warning.

    Args:
        checkpoint: Path of the checkpoint.
    """
    if is_main_process() and Path(checkpoint).is_file():
        try:
            loaded = load_checkpoint_file(checkpoint, map_location="cpu")
            kept = {key: value for key, value in loaded.items() if key not in ("optimizer", "param_schedulers")}
            if len(kept) < len(loaded):
                write_torch(checkpoint, kept)
        except (OSError, MemoryError, RuntimeError, ValueError) as error:  # other ranks wait below
            print_log(f"The optimizer's state stays in '{checkpoint}': {error}", "current", level=logging.WARNING)
    barrier()


def _is_file(path: Path) -> bool:
    """Tell whether there is a file; junk that is no path names none."""
    try:
        return path.is_file()
    except OSError:
        return False
