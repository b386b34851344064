"""Markers of finished stages: their checkpoints, and the settings that made them."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.runner import Runner

from mmwsol.engine.json_files import read_json
from mmwsol.files import write_json
from mmwsol.utils.config import differences

MARKER = "stage_complete.json"

# What a Runner reads; other names at the top of a config only helped to write it (train_pipeline, data_root).
RUNNER_SETTINGS = frozenset(inspect.signature(Runner.__init__).parameters) | {"runner_type"}

# Settings that do not change the weights: a finished stage stays finished when they change.
_IRRELEVANT = (
    "work_dir",
    "launcher",
    "resume",
    "experiment_name",
    "log_level",
    "log_processor",
    "visualizer",
    "vis_backends",
    "env_cfg",
    "model_wrapper_cfg",
    "custom_imports",
    "default_hooks.checkpoint.max_keep_ckpts",
    "default_hooks.logger",
    "default_hooks.stages",  # only checks that stages are run
    "default_hooks.visualization",
    "test_dataloader",
    "test_cfg",
    "test_evaluator",
    "tta_model",
    "tta_pipeline",
    "train_dataloader.num_workers",
    "train_dataloader.persistent_workers",
    "val_dataloader.num_workers",
    "val_dataloader.persistent_workers",
)


def read_marker(folder: Path) -> dict[str, Any] | None:
    """Return the marker of a stage, None if the stage is not finished.

    Raises:
        ValueError: If it is damaged.
    """
    path = folder / MARKER
    if not path.is_file():
        return None
    advice = (
        "Delete it, and --resume finishes the stage from its last checkpoint; if that has no optimizer's state any "
        f"more, since other stages follow, delete {folder}."
    )
    marker = read_json(path, advice, ("stage", "id", "previous_id", "last", "best", "config"))
    if not isinstance(marker["config"], dict) or not all(
        isinstance(marker[key], (str, type(None))) for key in ("last", "best")
    ):
        raise ValueError(f"'{path}' is damaged: config, last or best is something else. {advice}")
    return marker


def write_marker(folder: Path, marker: dict[str, Any]) -> dict[str, Any]:
    """Write the marker of the main process, and return it on every rank."""
    if is_main_process():
        write_json(folder / MARKER, marker)
    barrier()
    return json.loads((folder / MARKER).read_text())


def check_marker(name: str, cfg: Config, folder: Path, marker: dict[str, Any], previous: dict[str, Any] | None) -> None:
    """Check that a finished stage fits its config and the stage before it.

    Args:
        name: The stage.
        cfg: Its config now.
        folder: Its folder.
        marker: Its marker.
        previous: Marker of the stage before it.

    Raises:
        ValueError: If the config has changed, or the stage before it was run again later.
    """
    advice = f"Delete {folder} to train it again, or choose another --work-dir."
    changes = changed_settings(cfg, marker)
    if changes:
        raise ValueError(
            f"stage '{name}' is complete in {folder}, but with another config; changed since: "
            f"{', '.join(changes)}. {advice} --stage NAME runs a later stage "
            "with this one as it is."
        )
    if previous is not None and marker["previous_id"] not in (None, previous["id"]):
        raise ValueError(
            f"stage '{name}' in {folder} was trained before stage '{previous['stage']}' was run again. {advice}"
        )


def relative_path(folder: Path, path: str | None) -> str | None:
    """Write a path inside the folder of a stage, or of another one beside it, relative to it.

    A work directory can then be moved and copied.
    """
    if path is None:
        return None
    full, folder = Path(path).resolve(), folder.resolve()
    return os.path.relpath(full, folder) if full.is_relative_to(folder.parent) else str(full)


def absolute_path(folder: Path, path: str) -> str:
    """Return the path that :func:`relative_path` wrote.

    It used to leave files in the folder of another stage absolute; in a copied or moved work directory they are the
    files there.
    """
    if not os.path.isabs(path):
        return os.path.normpath(folder / path)
    own = folder.parent / Path(path).parent.name / Path(path).name
    return str(own) if own.is_file() else path


def _is_irrelevant(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in _IRRELEVANT)


def marked_settings(cfg: Config) -> dict[str, str]:
    """Write the settings that change the weights as dotted keys with JSON values."""
    settings: dict[str, str] = {}

    def visit(value: Any, key: str) -> None:
        if _is_irrelevant(key):
            return
        if isinstance(value, dict) and value:
            for name, item in value.items():
                visit(item, f"{key}.{name}" if key else str(name))
        elif isinstance(value, (list, tuple)) and any(isinstance(v, dict) for v in value):
            for index, item in enumerate(value):
                visit(item, f"{key}.{index}")
        else:
            settings[key] = json.dumps(value, sort_keys=True, default=str)

    visit(cfg.to_dict(), "")
    return settings


def changed_settings(cfg: Config, marker: dict[str, Any]) -> list[str]:
    """Name at most eight settings that differ from those in the marker."""
    then, now = (
        {
            key: value
            for key, value in settings.items()
            if key.split(".")[0] in RUNNER_SETTINGS and not _is_irrelevant(key)
        }
        for settings in (marker["config"], marked_settings(cfg))
    )
    changes = differences(then, now)
    return changes[:8] + ([f"{len(changes) - 8} more"] if len(changes) > 8 else [])
