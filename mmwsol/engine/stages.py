"""Run a config of several training stages, one mmengine Runner after the other."""

from __future__ import annotations

import copy
import gc
import logging
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log

from mmwsol import compat
from mmwsol.engine.batch_size import check_epoch_length, rank_config
from mmwsol.engine.last_checkpoint import checkpoint_to_resume, drop_optimizer, latest_checkpoint
from mmwsol.engine.old_checkpoints import refuse_old_checkpoints, set_aside
from mmwsol.engine.runners import build_runner
from mmwsol.engine.stage_markers import (
    absolute_path,
    changed_settings,
    check_marker,
    marked_settings,
    read_marker,
    relative_path,
    write_marker,
)
from mmwsol.engine.stage_paths import STAGE_PATH, resolve_stage_paths, stage_paths
from mmwsol.engine.work_dir_lock import work_dir_lock
from mmwsol.utils.config import has_key, has_part, is_new_setting, nearest_part, set_options

INIT_FROM = ("last", "best", "none")


@dataclass
class Stage:
    """One training stage.

    Attributes:
        name: Name and sub-folder of the stage; empty for a config without ``stages``.
        cfg: Complete config of the stage.
        init_from: Checkpoint of the previous stage to start from: 'last', 'best' or 'none'.
    """

    name: str
    cfg: Config
    init_from: str = "last"


def stage_configs(cfg: Config, options: dict[str, Any] | None = None) -> list[Stage]:
    """Merge every entry of ``cfg.stages`` into the rest of the config.

    An entry is ``dict(name=..., init_from='last'|'best'|'none', **overrides)``. Overrides merge as
    a config merges into its ``_base_``: dicts key by key, ``_delete_=True`` replaces a dict, lists
    are replaced. ``init_from`` (default 'last') says which checkpoint of the previous stage the
    stage starts from; an entry with its own ``load_from`` starts from that file, and ``load_from``
    of the base config counts for the first stage only. A string ``'stage://NAME/rest'`` anywhere in
    a stage is the path ``rest`` in the folder of the earlier stage NAME.

    Args:
        cfg: The config, not changed.
        options: What ``--cfg-options`` gave. They are merged into the stages that
            have the key, so that the command line wins over the overrides, except those that begin
            with ``stages.``. Defaults to None.

    Returns:
        The stages in order; a single nameless one if the config has no ``stages``.

    Raises:
        ValueError: If an entry has no name, a name twice, an unknown ``init_from`` or two batch
            sizes, if a path ``stage://NAME/rest`` names no earlier stage, or an option reaches no
            stage.
    """
    base = copy.deepcopy(cfg)
    entries = base.pop("stages", None)
    if not entries:
        _check_values("", base)
        fit_schedule(base)
        return [Stage("", base, "none")]
    if not isinstance(entries, (list, tuple)) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"stages must be a list of dicts, got {entries!r}.")
    options = {k: v for k, v in (options or {}).items() if k.split(".")[0] != "stages"}
    stages: list[Stage] = []
    for index, entry in enumerate(entries):
        overrides = copy.deepcopy(dict(entry))
        name = overrides.pop("name", None)
        init_from = overrides.pop("init_from", "last")
        known = [s.name for s in stages]
        _check_entry(index, name, init_from, known)
        stage_cfg = copy.deepcopy(base)
        stage_cfg.merge_from_dict(overrides, allow_list_keys=False)
        if "total_batch_size" in overrides:
            _set_batch_size(name, stage_cfg, overrides)
        for path in stage_paths(overrides):
            if path.split("/")[0] not in known:
                raise ValueError(
                    f"stage '{name}' has the path '{STAGE_PATH}{path}', but the stages before it are "
                    f"{', '.join(known) or 'none'}."
                )
        if index == 0 or overrides.get("load_from") is not None:
            init_from = "none"
        else:
            stage_cfg.load_from = None
        stages.append(Stage(name, stage_cfg, init_from))
    for key, value in options.items():
        for stage in _stages_with(key, stages, options):
            set_options(stage.cfg, {key: value})
    for stage in stages:
        _check_values(stage.name, stage.cfg)
        fit_schedule(stage.cfg)
    return stages


def _check_values(name: str, cfg: Config) -> None:
    """Refuse parts that are no dicts, and lengths of training that are no numbers of epochs or iterations."""
    for key in ("train_cfg", "default_hooks", "visualizer"):
        if not isinstance(cfg.get(key) or {}, dict):
            raise ValueError(f"{key} must be a dict, got {cfg[key]!r}.")
    loop = cfg.get("train_cfg") or {}
    for key in ("max_epochs", "max_iters"):
        number = loop.get(key, 1)
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            where = f" of stage '{name}'" if name else ""
            raise ValueError(f"train_cfg.{key}{where} must be a whole number of at least 1, got {number!r}.")


def fit_schedule(cfg: Config) -> None:
    """Leave out, in place, the parts of ``param_scheduler`` that begin after the last epoch.

    mmengine refuses them: a run of one epoch, to try a config, has no cosine after a warm-up of one epoch.
    """
    epochs, parts = (cfg.get("train_cfg") or {}).get("max_epochs"), cfg.get("param_scheduler")
    if epochs is None or not isinstance(parts, (list, tuple)):
        return
    kept = [part for part in parts if not part.get("by_epoch", True) or part.get("begin", 0) < epochs]
    if len(kept) < len(parts):
        left_out = ", ".join(str(part.get("type")) for part in parts if part not in kept)
        print_log(f"max_epochs={epochs}: {left_out} of param_scheduler would begin later and is left out.", "current")
        cfg.param_scheduler = kept


def _check_entry(index: int, name: Any, init_from: Any, known: list[str]) -> None:
    """Check name and start of an entry of ``stages``; the names before it are ``known``."""
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise ValueError(f"stages[{index}].name must be a folder name, got {name!r}.")
    if name in known:
        raise ValueError(f"two stages are called '{name}'; give every stage its own name.")
    if init_from not in INIT_FROM:
        raise ValueError(f"init_from of stage '{name}' must be one of {INIT_FROM}, got {init_from!r}.")


def _set_batch_size(name: str, cfg: Config, overrides: dict[str, Any]) -> None:
    """Make a stage's own ``total_batch_size`` the batch size of its training."""
    total = overrides["total_batch_size"]
    batch_size = (overrides.get("train_dataloader") or {}).get("batch_size", total)
    if batch_size != total:
        raise ValueError(
            f"stage '{name}' has total_batch_size={total} and train_dataloader.batch_size={batch_size}; leave the "
            "second out."
        )
    if cfg.get("train_dataloader") is not None:
        cfg.train_dataloader.batch_size = total


def _stages_with(key: str, stages: list[Stage], options: dict[str, Any]) -> list[Stage]:
    """Return the stages that an option is meant for: those that have its key.

    A key that no stage has is a new setting of an existing part (``model.head.X``, for the stages that
    have ``model.head``), a new part, whose ``type`` is an option, too, or a setting of the Runner.

    Raises:
        ValueError: If it is none of these.
    """
    having = [stage for stage in stages if has_key(stage.cfg, key)]
    having = having or [stage for stage in stages if has_part(stage.cfg, key, options)]
    if having:
        return having
    if all(is_new_setting(stage.cfg, key) for stage in stages):
        return stages
    nearest: dict[str, list[str]] = {}
    for stage in stages:
        nearest.setdefault(nearest_part(key, stage.cfg), []).append(stage.name)
    hints = "; ".join(f"in {', '.join(names)}, {what}" for what, names in nearest.items())
    raise ValueError(f"--cfg-options {key}: no stage has this key. There is: {hints}.")


def select_stage(stages: list[Stage], name: str | None) -> Stage:
    """Return the stage called ``name``, or the last one for None.

    Raises:
        ValueError: If there is no such stage.
    """
    if name is None:
        return stages[-1]
    names = [s.name for s in stages]
    if names == [""]:
        raise ValueError(f"--stage {name}: this config has no stages; leave --stage out.")
    if name not in names:
        raise ValueError(f"--stage {name}: no such stage; this config has {', '.join(names)}.")
    return stages[names.index(name)]


def run_stages(
    stages: list[Stage] | Config,
    work_dir: str | Path | None = None,
    resume: str | None = None,
    only: str | None = None,
    force: bool = False,
) -> dict[str, str | None]:
    """Run the stages in order, each in ``work_dir/<name>`` (``work_dir`` itself without stages).

    A finished stage leaves a marker and is skipped from then on; but for the last one, its checkpoint is then written
    anew without the optimizer's state. Any loop can be a stage (the Runner
    asks it for ``epoch``, ``max_epochs``, ``iter``, ``max_iters``): one that saves no checkpoint
    hands on the one that it started from. Under a distributed launcher every
    rank calls this function, ``work_dir`` must be a shared folder, and each rank gets its share of
    ``total_batch_size``.

    Args:
        stages: A config, or what :func:`stage_configs` makes of it.
        work_dir: Folder of the whole run. Defaults to None: ``work_dir`` of the config, else ``work_dirs/NAME``, NAME
            being that of its file.
        resume: 'auto' goes on from the newest checkpoint of the first unfinished
            stage; a path is a checkpoint of that stage. Defaults to None: unfinished stages start
            anew, unless they have checkpoints.
        only: Run this stage alone. Defaults to None.
        force: Whether to run although another run holds ``work_dir`` and, without ``resume``, to train unfinished
            stages anew that have checkpoints, which are moved to ``before_<time>``. Defaults to False.

    Returns:
        Final checkpoint (or None) of every stage looked at, by name.

    Raises:
        ValueError: If no ``work_dir`` is known, a finished stage does not fit the config any more, the stage
            that ``only`` starts from is not finished, the ranks cannot share ``total_batch_size`` evenly, another
            run is at work in ``work_dir``, or an unfinished stage has checkpoints and neither ``resume`` nor
            ``force`` is given.
        FileNotFoundError: If ``resume`` is a path that does not exist.
    """
    if isinstance(stages, Config):
        stages = stage_configs(stages)
    work_dir = work_dir or _default_work_dir(stages[0].cfg)
    if only is not None:
        select_stage(stages, only)
    for stage in stages:  # before the first of them has trained for days
        compat.init_distributed(stage.cfg)
        rank_config(stage.cfg, get_world_size())
    if resume is not None and resume != "auto" and not Path(resume).is_file():
        raise FileNotFoundError(f"--resume {resume}: there is no such checkpoint.")
    with work_dir_lock(work_dir, force):
        first = stages[0].cfg
        if resume is None and first.get("resume"):  # mmengine's way to ask for it, in the config
            resume = first.get("load_from") or "auto"
        if resume is None and not force:  # before the first of them has trained for days
            for stage in stages:
                folder = Path(work_dir, stage.name)
                if only in (None, stage.name) and not (stage.name and read_marker(folder)):
                    refuse_old_checkpoints(stage.cfg, folder)
        return _run_in_order(stages, Path(work_dir), resume, only)


def _default_work_dir(cfg: Config) -> str | Path:
    if cfg.get("work_dir"):
        return cfg.work_dir
    if cfg.filename is None:
        raise ValueError("the config comes from no file and has no work_dir: give run_stages a work_dir.")
    return Path("work_dirs", Path(cfg.filename).stem)


def _run_in_order(stages: list[Stage], work_dir: Path, resume: str | None, only: str | None) -> dict[str, str | None]:
    if not stages[0].name:
        return {"": _train(stages[0].cfg, work_dir, None, resume)["last"]}

    checkpoints: dict[str, str | None] = {}
    previous: dict[str, Any] | None = None
    for index, stage in enumerate(stages):
        folder = work_dir / stage.name
        marker = read_marker(folder)
        if only in (None, stage.name):
            if index > 0 and previous is None and stage.init_from != "none":
                raise _previous_is_missing(stage.name, stages[index - 1].name, work_dir)
            if marker is None:
                _check_resume(stage, work_dir, stages, resume)
                marker = _run_stage(stage, folder, previous, resume, final=stage is stages[-1])
                resume = None  # what lies in the folders of later stages is older than this one
            else:
                check_marker(stage.name, stage.cfg, folder, marker, previous)
                print_log(f"Stage '{stage.name}' is complete in {folder}: skipped.", "current")
        elif marker is not None and (changes := changed_settings(stage.cfg, marker)):
            text = f"Stage '{stage.name}' in {folder} was run with another config: {', '.join(changes)}."
            print_log(text, "current", level=logging.WARNING)
        last = marker["last"] if marker else None
        checkpoints[stage.name] = absolute_path(folder, last) if last else None
        previous = {**marker, "folder": folder} if marker else None
        if only == stage.name:
            break
    return checkpoints


def _run_stage(
    stage: Stage, folder: Path, previous: dict[str, Any] | None, resume: str | None, final: bool
) -> dict[str, Any]:
    """Train one stage and leave its marker and, unless it is the final one, no optimizer's state."""
    start = _initial_checkpoint(stage, previous)
    cfg = resolve_stage_paths(stage.cfg, folder.parent)
    run_id = uuid.uuid4().hex
    # mmengine keeps loggers, message hubs and visualizers by name, for the life of the process.
    stem = Path(cfg.filename).stem if cfg.filename else "run"
    cfg.experiment_name = f"{cfg.get('experiment_name') or stem}_{stage.name}_{run_id[:6]}"
    (cfg.get("visualizer") or {}).pop("name", None)  # the Runner then takes experiment_name
    print_log(f"Stage '{stage.name}' starts in {folder}.", "current")
    saved = _train(cfg, folder, start, resume)
    marker = {
        "stage": stage.name,
        "id": run_id,
        "previous_id": previous["id"] if previous else None,
        # A stage that trains nothing hands on what it started from.
        "last": relative_path(folder, saved["last"] or start),
        "best": relative_path(folder, saved["best"]),
        "config": marked_settings(stage.cfg),
    }
    marker = write_marker(folder, marker)
    if saved["last"] and not final:  # finished: nothing resumes it
        drop_optimizer(saved["last"])
    return marker


def _train(cfg: Config, folder: Path, start: str | None, resume: str | None) -> dict[str, str | None]:
    """Run one Runner to its end and return its last and best checkpoint."""
    if resume is None:
        set_aside(cfg, folder)
    cfg = copy.deepcopy(rank_config(cfg, get_world_size()))
    cfg.work_dir = str(folder)
    outside = bool(((cfg.get("default_hooks") or {}).get("checkpoint") or {}).get("out_dir"))
    checkpoint = checkpoint_to_resume(folder, outside) if resume == "auto" else resume
    cfg.resume = checkpoint is not None
    cfg.load_from = checkpoint or start or cfg.get("load_from")
    runner = build_runner(cfg)
    check_epoch_length(runner)
    runner.train()
    hook = next((h for h in runner.hooks if isinstance(h, CheckpointHook)), None)
    best = getattr(hook, "best_ckpt_path", None)
    if best is None:  # several metrics: the first one counts
        best = next(iter(getattr(hook, "best_ckpt_path_dict", {}).values()), None)
    barrier()  # the main process writes the files that all of them read now
    saved = {"last": hook and latest_checkpoint(hook.out_dir or folder, outside), "best": best}
    del runner, hook
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return saved


def _initial_checkpoint(stage: Stage, previous: dict[str, Any] | None) -> str | None:
    if stage.init_from == "none" or previous is None:
        return None
    checkpoint = previous[stage.init_from]
    path = checkpoint and absolute_path(previous["folder"], checkpoint)
    if path and Path(path).is_file():
        return path
    if stage.init_from == "best":
        hint = "Set default_hooks.checkpoint.save_best in that stage, or init_from='last'."
    else:
        hint = "Set load_from or init_from='none' in this stage if it needs no weights."
    raise ValueError(
        f"stage '{stage.name}' starts from the {stage.init_from} checkpoint of stage "
        f"'{previous['stage']}', but {path or 'there is none'}"
        f"{' does not exist' if path else ''}. {hint}"
    )


def _previous_is_missing(name: str, before: str, work_dir: Path) -> ValueError:
    return ValueError(
        f"stage '{name}' starts from stage '{before}', which is not complete in {work_dir / before}. Run it first: "
        f"--stage {before} (with --resume, if it was interrupted)."
    )


def _check_resume(stage: Stage, work_dir: Path, stages: list[Stage], resume: str | None) -> None:
    """Refuse to resume a stage from a checkpoint of another one."""
    if resume in (None, "auto"):
        return
    folder = Path(str(resume)).resolve().parent
    for other in stages:
        if other.name != stage.name and folder == (work_dir / other.name).resolve():
            raise ValueError(
                f"--resume {resume} belongs to stage '{other.name}', but the stage to run is "
                f"'{stage.name}'. Use --resume alone: it finds the right checkpoint."
            )
