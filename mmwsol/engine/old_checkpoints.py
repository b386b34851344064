"""What an earlier run left in the folder that a new one trains in."""

from __future__ import annotations

import logging
import os
from datetime import datetime
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log

TRACES = ("last_checkpoint", "epoch_*.pth", "iter_*.pth")
_ALL = (*TRACES, "best_*.pth", "last_validation")


def refuse_old_checkpoints(cfg: Config, folder: Path) -> None:
    """Refuse to train from the start over the checkpoints of an earlier run.

    Args:
        cfg: Config of the stage.
        folder: Its folder.

    Raises:
        ValueError: If there are some.
    """
    for place in _places(cfg, folder):
        if traces := _found(place, TRACES):
            names = ", ".join(path.name for path in traces[:4])
            raise ValueError(
                f"{place} has checkpoints of an earlier run ({names}). --resume goes on from them; --force trains anew "
                f"and moves them to {place}/before_<time>; or choose another --work-dir."
            )


def set_aside(cfg: Config, folder: Path) -> None:
    """Move the checkpoints of an earlier run, and what belongs to them, into the sub-folder ``before_<time>``.

    Every rank calls this; the main process does it.

    Args:
        cfg: Config of the stage.
        folder: Its folder.
    """
    for place in _places(cfg, folder) if is_main_process() else []:
        if not (files := _found(place, _ALL)):
            continue
        name = target = place / f"before_{datetime.now():%Y%m%d_%H%M%S}"
        count = 1
        while target.exists():
            count += 1
            target = name.with_name(f"{name.name}_{count}")
        target.mkdir()
        for path in files:
            os.replace(path, target / path.name)
        text = f"The checkpoints of an earlier run in {place} are moved to {target}."
        print_log(text, "current", logging.WARNING)
    barrier()


def remove_links(cfg: Config) -> None:
    """Remove links in the place of files of a work directory that mmengine would write through.

    Args:
        cfg: Config of a Runner, with its ``work_dir``.
    """
    folder = cfg.get("work_dir")
    if folder is None or not is_main_process():
        return
    for name in ("last_checkpoint", Path(cfg.filename).name if cfg.filename else ""):
        path = Path(folder, name)
        if name and path.is_symlink():
            print_log(f"{path} is a link to {os.readlink(path)}: removed, not followed.", "current", logging.WARNING)
            path.unlink(missing_ok=True)


def _places(cfg: Config, folder: Path) -> list[Path]:
    """Return the folder of a stage, and the other one in which it saves its checkpoints, if there is one."""
    out_dir = ((cfg.get("default_hooks") or {}).get("checkpoint") or {}).get("out_dir")
    return [folder, Path(out_dir, folder.name)] if out_dir and "://" not in str(out_dir) else [folder]


def _found(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern))
