"""Paths of a config that lie in the folder of an earlier stage: ``stage://NAME/rest``."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

STAGE_PATH = "stage://"


def resolve_stage_paths(cfg: Config, work_dir: str | Path) -> Config:
    """Return a copy of a config with every string ``stage://NAME/rest`` replaced by ``work_dir/NAME/rest``."""

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            for key, item in value.items():
                value[key] = resolve(item)
        elif isinstance(value, (list, tuple)):
            return type(value)(resolve(item) for item in value)
        elif isinstance(value, str) and value.startswith(STAGE_PATH):
            return str(Path(work_dir, value.removeprefix(STAGE_PATH)))
        return value

    cfg = copy.deepcopy(cfg)
    resolve(cfg._cfg_dict)
    return cfg


def stage_paths(value: Any) -> Iterator[str]:
    """Yield what follows ``stage://`` in the strings of a config."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from stage_paths(item)
    elif isinstance(value, str) and value.startswith(STAGE_PATH):
        yield value.removeprefix(STAGE_PATH)
