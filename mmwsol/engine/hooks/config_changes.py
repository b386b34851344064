"""What of model and training data has changed since the checkpoint that a run goes on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from mmwsol.engine.stage_markers import marked_settings
from mmwsol.utils.config import differences
from mmwsol.utils.config_text import read_config_text

_PARTS = ("model.", "train_dataloader.")
_COMPARED_ELSEWHERE = "train_dataloader.batch_size"  # of one rank; that of all is among the facts
_SHOWN = 8


def check_config(runner: Runner, checkpoint: Mapping[str, Any], ended: bool) -> None:
    """Compare ``model`` and ``train_dataloader`` of a run with those that mmengine stored in a checkpoint.

    A difference is a warning: paths move, and some settings may change on the way.

    Args:
        runner: The runner.
        checkpoint: Contents of the checkpoint.
        ended: Whether its training is over.

    Raises:
        ValueError: If they differ and nothing is left to do: the run would give the old model for the new config.
    """
    then = (checkpoint.get("message_hub") or {}).get("runtime_info", {}).get("cfg")
    now = runner.message_hub.runtime_info.get("cfg")
    if not isinstance(then, str) or not isinstance(now, str) or then == now:
        return
    try:
        before, after = comparable_settings(then, now)
    except ValueError as error:
        runner.logger.warning(f"Model and data of the checkpoint are not compared with the run's: {error}")
        return
    changes = differences(before, after)
    if not changes:
        return
    names = ", ".join(changes[:_SHOWN]) + (f", and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else "")
    if ended:
        raise ValueError(
            f"the checkpoint is of a finished training with another model or other data, and nothing is left to do; "
            f"changed since: {names}. Train anew, in another work directory or with --force and without --resume."
        )
    runner.logger.warning(f"The checkpoint was trained with another model or other data; changed since: {names}.")


def comparable_settings(then: str, now: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the settings to compare as dotted keys; paths in the work directory of then are those of now."""
    configs = [read_config_text(then, "the checkpoint"), read_config_text(now, "the run")]
    old, new = (_work_dir(config) for config in configs)
    before, after = (
        {
            key: value
            for key, value in marked_settings(config).items()
            if key.startswith(_PARTS) and key != _COMPARED_ELSEWHERE
        }
        for config in configs
    )
    if old and new:
        for key, value in before.items():
            if value.startswith(f'"{old}/'):
                before[key] = f'"{new}{value[len(old) + 1 :]}'
    return before, after


def _work_dir(config: Config) -> str:
    """Return the folder of the whole run, above that of the stage, as it stands in JSON without its quotes."""
    work_dir = config.get("work_dir")
    parent = str(Path(work_dir).parent) if isinstance(work_dir, str) else "."
    return "" if parent in (".", "/") else json.dumps(parent)[1:-1]
