"""Run the cells of a sweep: train, evaluate, resume.

The format of sweep files is in :mod:`mmwsol.utils.sweep_files`.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmwsol.engine.json_files import read_json
from mmwsol.engine.last_checkpoint import latest_checkpoint
from mmwsol.engine.stage_markers import changed_settings, read_marker
from mmwsol.engine.stages import select_stage, stage_configs
from mmwsol.engine.work_dir_lock import own_file
from mmwsol.files import write_json, write_text
from mmwsol.utils.config import differences, load_cell, merge_options, merge_settings, tool_file
from mmwsol.utils.options import SettingsAction
from mmwsol.utils.sweep_files import Cell, Sweep

RECORD = "run.json"
RESULTS = "results.json"
TRAINING = "train"  # sub-folder: the work directory of tools/train.py


@dataclass(frozen=True)
class Run:
    """A cell with one seed.

    Attributes:
        cell: The cell.
        seed: The seed.
        cfg: Config of the cell with the seed in it.
        options: What ``--cfg-options`` gave, as it was typed.
        folder: ``<work dir>/<cell>/seed-<seed>``: config, logs, checkpoints, ``results.json`` and, of further tests,
            ``<name>.json``.
        tests: Options of further tests by their name.
    """

    cell: Cell
    seed: int
    cfg: Config
    options: tuple[str, ...]
    folder: Path
    tests: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def results(self) -> dict[str, Path]:
        """The results files: that of the config's own test under '', and those of further tests by their name."""
        return {"": self.folder / RESULTS, **{name: self.folder / f"{name}.json" for name in self.tests}}

    @property
    def record(self) -> dict[str, Any]:
        """What decides the numbers of the run, as JSON has it."""
        record = dict(seed=self.seed, cfg_options=self.options, config=self.cfg.to_dict())
        return json.loads(json.dumps(record, default=str))


@dataclass(frozen=True)
class RunState:
    """What happened to a run: 'started', 'finished', 'skipped' (it was finished before) or 'failed', and why."""

    run: Run
    state: str
    message: str = ""


def plan_runs(
    sweep: Sweep,
    work_dir: str | Path,
    names: Sequence[str] = (),
    seeds: Sequence[int] = (),
    options: Sequence[str] = (),
) -> list[Run]:
    """Return the runs of a sweep, with their configs; nothing is run or written.

    Args:
        sweep: The sweep.
        work_dir: Folder of all runs.
        names: Cells to take. Defaults to (): all.
        seeds: Defaults to (): those of the sweep, else the seed of each config.
        options: ``KEY=VALUE``, as ``tools/train.py --cfg-options`` takes them. Defaults to ().

    Raises:
        FileNotFoundError: If a base does not exist.
        ValueError: If there is no such cell, a key has no place in the base or changes nothing there, or a config has
            no seed.
    """
    given = parse_options(options)
    for key in sweep.seed_keys:
        if key in given:
            raise ValueError(f"--cfg-options {key}=...: every run would have this seed; use --seeds.")
    runs = []
    for cell in sweep.select(names):
        cfg = load_cell(cell)
        _check_effect(cell, cfg)
        cell_seeds = list(seeds or sweep.seeds)
        if cell.released:  # its figures know no seed
            cell_seeds = list(sweep.seeds[:1]) or [0]
        if not cell_seeds:
            own_seed = (cfg.get("randomness") or {}).get("seed")
            if own_seed is None:
                raise ValueError(f"'{cell.name}' has no randomness.seed: give seeds in {sweep.file}, or --seeds.")
            cell_seeds = [own_seed]
        for seed in cell_seeds:
            seeded = Config(cfg.to_dict(), cfg_text=cfg.text, filename=cfg.filename)
            merge_settings(seeded, dict.fromkeys(sweep.seed_keys, seed), cell)
            folder = Path(work_dir, cell.name, f"seed-{seed}")
            runs.append(Run(cell, seed, seeded, tuple(options), folder, sweep.tests))
    return runs


def _check_effect(cell: Cell, cfg: Config) -> None:
    """Refuse a setting that changes nothing because every stage of the config has its own value for it.

    Raises:
        ValueError: If there is one.
    """
    if not cfg.get("stages"):
        return
    stages = [stage.cfg.to_dict() for stage in stage_configs(cfg)]
    for key in cell.overrides:
        others = {name: value for name, value in cell.overrides.items() if name != key}
        try:
            without = load_cell(replace(cell, overrides=others))
        except ValueError:  # another setting needs this one
            continue
        unchanged = without.to_dict() == cfg.to_dict()  # the base has this value, too
        if not unchanged and [stage.cfg.to_dict() for stage in stage_configs(without)] == stages:
            names = ", ".join(entry["name"] for entry in cfg.stages)
            raise ValueError(
                f"cell '{cell.name}' of {cell.file}: {key} changes nothing, the stages ({names}) have values of their "
                f"own; write 'stages.N.{key}', where N counts the stages from 0."
            )


def run_sweep(runs: Sequence[Run], gpus: int | None = None, others: Sequence[Run] = ()) -> Iterator[RunState]:
    """Train and evaluate runs, one after the other, each in processes of its own.

    A run is ``tools/train.py --resume`` in ``<folder>/train`` and then ``tools/test.py`` on the best checkpoint, if the
    config keeps one (``save_best``), else the last. A cell that is ``released`` is tested with the weights that it
    starts from. Finished runs, those with all results files, are skipped, and interrupted ones go on. A run that fails
    does not stop the others. First stages that another run of the same seed has trained with the same settings, the
    pretraining of methods that are compared, are copied from it.

    Args:
        runs: From :func:`plan_runs`.
        gpus: Number of processes, started as ``tools/dist_train.sh`` does. Defaults to None: one
            process without launcher.
        others: Further runs whose stages may be copied. Defaults to ().

    Yields:
        'started' where that is so, then one of the other states, for every run.
    """
    for run in runs:
        try:
            with _lock(run.folder) as handle:
                if _is_finished(run):
                    yield RunState(run, "skipped", "was finished before")
                    continue
                yield RunState(run, "started", f"log: {run.folder / 'train.log'}")
                same_seed = [other for other in (*runs, *others) if other.seed == run.seed]
                _copy_stages(run, [other for other in same_seed if other.folder != run.folder])
                message = _execute(run, gpus, handle)
        except (ValueError, OSError) as error:
            yield RunState(run, "failed", str(error))
        else:
            yield RunState(run, "finished", message)


def read_metrics(run: Run) -> dict[str, float] | None:
    """Return the metrics of a finished run, None if it is not finished; those of a further test as '<test>/<metric>'.

    Raises:
        ValueError: If the run in the folder had other settings, or one of its files is damaged.
    """
    if not _is_finished(run):
        return None
    metrics: dict[str, float] = {}
    for name, file in run.results.items():
        values = read_json(file, "Delete it, and the run is tested again.", ["metrics"])["metrics"]
        named = {f"{name}/{key}" if name else key: value for key, value in values.items()}
        if metrics.keys() & named.keys():
            raise ValueError(f"{file}: the test is called like metrics of the config ({name}/...): call it otherwise.")
        metrics |= named
    return metrics


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` as ``--cfg-options`` does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--options", nargs="*", action=SettingsAction, default={})
    return parser.parse_args(["--options", *options]).options if options else {}


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[int]:
    """Hold the folder of a run; its processes inherit the lock, and hold it when this one is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a", opener=own_file) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"another process works in {folder}.") from error
        yield file.fileno()


def _is_finished(run: Run) -> bool:
    """Tell whether a run has results, and refuse a folder in which something else was run.

    Raises:
        ValueError: If the settings differ. The message names them. If the record of a run that has begun is damaged.
    """
    record = run.folder / RECORD
    if not record.is_file():
        return False
    try:
        then = read_json(record, f"Delete it to go on, if the settings are as they were, or else {run.folder}.")
    except ValueError:
        if (run.folder / TRAINING).exists() or (run.folder / RESULTS).exists():
            raise
        return False  # it is the first file of a run: nothing has begun
    changes = differences(then, run.record)
    if changes:
        raise ValueError(
            f"{run.folder} was run with other settings: {', '.join(changes[:8])}. "
            "Delete it, or choose another --work-dir."
        )
    return all(_is_tested(run, name) for name in run.results)


def _is_tested(run: Run, name: str) -> bool:
    """Tell whether a run has the results of a test; a further test counts only with the options of the sweep file."""
    if not run.results[name].is_file():
        return False
    if not name or not _options_file(run, name).is_file():
        return not name
    done = read_json(_options_file(run, name), "Delete it, and the test is run again.", ["options"])
    return done["options"] == _test_options(run, name)


def _options_file(run: Run, name: str) -> Path:
    return run.folder / f"{name}.options.json"


def _execute(run: Run, gpus: int | None, lock: int) -> str:
    """Train and evaluate a run; return what was evaluated.

    Raises:
        ValueError: If a process fails. The message names its log.
    """
    record = run.folder / RECORD
    if not (run.folder / TRAINING).exists() or not record.is_file():
        write_json(record, run.record)
    config = run.folder / f"{run.cell.name}.py"
    write_text(config, run.cfg.pretty_text)
    if not run.cell.released:
        options = ["--cfg-options", *run.options] if run.options else []
        train = [*_tool("train", gpus, config), "--work-dir", str(run.folder / TRAINING), "--resume", *options]
        _call(train, run.folder / "train.log", lock)
    kind, checkpoint = final_checkpoint(run)
    for name, file in run.results.items():
        if _is_tested(run, name):
            continue
        test_dir = run.folder / (name or "test")
        out = test_dir / RESULTS
        test = [*_tool("test", gpus, config, checkpoint), "--work-dir", str(test_dir), "--out", str(out)]
        _call([*test, *_test_options(run, name)], run.folder / f"{name or 'test'}.log", lock)
        os.replace(out, file)
        if name:  # after the results: a kill in between has the test run again
            write_json(_options_file(run, name), dict(options=_test_options(run, name)))
    return f"{kind} checkpoint, {Path(checkpoint).name}"


def _copy_stages(run: Run, others: Sequence[Run]) -> None:
    """Copy the finished first stages of a run from others, where their settings and the stages before are the same."""
    cfg, options = copy.deepcopy(run.cfg), parse_options(run.options)
    merge_options(cfg, options)
    previous = None
    for stage in stage_configs(cfg, options):
        folder = run.folder / TRAINING / stage.name
        if not stage.name or folder.exists():
            return
        for other in others:
            source = other.folder / TRAINING / stage.name
            marker = read_marker(source)
            if marker is not None and marker["previous_id"] == previous and not changed_settings(stage.cfg, marker):
                previous = marker["id"]
                draft = folder.with_name(f".{stage.name}.copy")
                shutil.rmtree(draft, ignore_errors=True)
                shutil.copytree(source, draft)
                draft.rename(folder)
                break
        else:
            return


def _test_options(run: Run, name: str) -> list[str]:
    """Return what tools/test.py gets for a test of a run, in one ``--cfg-options`` at the end."""
    words = list(run.tests.get(name, ()))
    split = words.index("--cfg-options") if "--cfg-options" in words else len(words)
    options = [*words[split + 1 :], *run.options]
    return [*words[:split], *(["--cfg-options", *options] if options else [])]


def final_checkpoint(run: Run) -> tuple[str, str]:
    """Return 'best' and the best checkpoint of a trained run, if its config keeps one, else 'last' and the last.

    Of several metrics of ``save_best`` the first one counts. Of a cell that is not trained they are 'released' and
    the weights that it starts from.

    Raises:
        ValueError: If there is none.
    """
    cfg, options = copy.deepcopy(run.cfg), parse_options(run.options)
    merge_options(cfg, options)
    stage = select_stage(stage_configs(cfg, options), None)
    if run.cell.released:
        weights = (stage.cfg.model.get("init_cfg") or {}).get("checkpoint")
        if weights is None:
            raise ValueError(
                f"'{run.cell.name}' is tested as released and has no weights: set model.init_cfg.checkpoint."
            )
        return "released", weights
    folder = run.folder / TRAINING / stage.name
    metrics = ((stage.cfg.get("default_hooks") or {}).get("checkpoint") or {}).get("save_best")
    if not metrics:
        last = latest_checkpoint(folder)
        if last is None:
            raise ValueError(f"training left no checkpoint in {folder}.")
        return "last", last
    metric = metrics if isinstance(metrics, str) else metrics[0]
    name = "*" if metric == "auto" else metric.replace("/", "_")
    files = sorted(folder.glob(f"best_{name}_*.pth"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise ValueError(f"training left no checkpoint best_{name}_*.pth in {folder}.")
    return "best", str(files[-1])


def _tool(name: str, gpus: int | None, *arguments: str | Path) -> list[str]:
    """Return the command of tools/train.py or tools/test.py, or of its launcher."""
    words = [str(argument) for argument in arguments]
    if gpus is None:
        return [sys.executable, str(tool_file(f"{name}.py")), *words]
    return ["bash", str(tool_file(f"dist_{name}.sh")), *words, str(gpus)]


def _call(command: list[str], log: Path, lock: int) -> None:
    environment = {**os.environ, "PYTHON": sys.executable}  # dist_*.sh start it
    with open(log, "a", opener=own_file) as file:
        done = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, pass_fds=[lock], check=False
        )
    if done.returncode:
        lines = log.read_text(errors="replace").strip().splitlines() or ["it printed nothing"]
        raise ValueError(f"{Path(command[1]).name} ended with {done.returncode}: {lines[-1][:300]} ({log})")
