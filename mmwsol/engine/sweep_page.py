"""The page of a benchmark: a table of methods with their cost, threshold curves and sheets of photographs.

A sweep file describes it under ``page``:

===========  ========================================================================================================
``title``    heading
``text``     what the figures mean, a paragraph of Markdown below it
``columns``  ``{heading: metric}`` of the table
``against``  cell that the others are compared with, image by image
``metric``   title of the metric, in the results files, whose boxes are compared and drawn: 'LocAccuracy'
``curves``   test whose threshold curves are plotted, '' for the config's own, and the title of a metric that searches a
             threshold: ('published', 'MaxBoxAcc'). The accuracy is that of the largest box at IoU 0.5, or GT-known
``images``   number of photographs in a sheet. Defaults to 8
``names``    ``{cell: name on the page}``, for long names of cells
===========  ========================================================================================================

Pictures and costs are made by the tools that a user has for them, each in a process of its own. Costs are measured once
and kept beside the runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmwsol.engine.json_files import read_json
from mmwsol.engine.sweep_report import Row
from mmwsol.engine.sweeps import Run, final_checkpoint
from mmwsol.evaluation.results_file import Outcome, load_results, outcomes
from mmwsol.files import write_json, write_text
from mmwsol.utils.config import tool_file
from mmwsol.utils.sweep_files import Sweep
from mmwsol.visualization.sweep_figure import Line, draw_lines

COUNTS = {"parameters": "parameters", "trained": "trained"}
RATIOS = {"training step": "train", "inference": "predict"}
BASELINES = {"whole frame": "whole_frame", "center box": "center_box"}
NOTE = "Percent; mean ± sample standard deviation over the seeds."
COST_NOTE = "Trained parameters and steps: of the last stage; steps as ratio to the same network as a plain classifier."

SHOWN = "first seed"

Images = dict[str, Outcome]  # of a results file, by image


def write_page(sweep: Sweep, runs: Sequence[Run], rows: Sequence[Row], folder: str | Path) -> list[Path]:
    """Write ``page.md`` and its pictures: ``curves.png``, ``sheet.png``, ``wins.png``, ``losses.png``.

    Args:
        sweep: A sweep with ``page``.
        runs: From :func:`mmwsol.engine.sweeps.plan_runs`.
        rows: From :func:`mmwsol.engine.sweep_report.summarize`.
        folder: Where the files are written.

    Returns:
        The files. Of runs that are not finished nothing is shown.

    Raises:
        ValueError: If a tool fails, or results files do not fit each other.
    """
    page: Any = sweep.page
    folder = Path(folder)
    seeds = {row.cell.name: row.seeds for row in rows if row.seeds}
    runs = [run for run in runs if run.seed in seeds.get(run.cell.name, ())]
    cells = {name: [run for run in runs if run.cell.name == name] for name in seeds}
    first = {name: cell[0] for name, cell in cells.items()}
    found = {name: {run.seed: _images(run, page["metric"]) for run in cell} for name, cell in cells.items()}
    against = page["against"]
    names = {row.cell.name: page.get("names", {}).get(row.cell.name, row.cell.name) for row in rows}
    costs = {name: _cost(run) for name, run in first.items()}
    changes = {name: _changes(found[name], found[against]) for name in found if against in found}

    lines = [f"# {page['title']}", "", page["text"], "", *_table(page["columns"], rows, names, costs, changes)]
    if changes:
        lines += [
            f"+ and -: photographs that {names[against]} misses and the method hits, and the other way round, of "
            f"{len(next(iter(found[against].values())))}, mean over the seeds.",
        ]
    files = []
    if first:
        curves = [_curve(names[cell], run, *page["curves"]) for cell, run in first.items()]
        files += draw_lines(curves, "threshold", "box accuracy", folder / "curves")
        lines += [
            "",
            f"## Accuracy against the threshold ({SHOWN})",
            "",
            "![Accuracy by threshold](curves.png)",
        ]
    of_first = {cell: found[cell][run.seed] for cell, run in first.items()}
    for name, title, paths in _sheets(of_first, against, names[against], page.get("images", 8)):
        models = [word for run in first.values() for word in _model(run, page["metric"])]
        options = ["--names", *(names[cell] for cell in first), "--number", "-1", "--out", str(folder / f"{name}.png")]
        lines += ["", f"## {title} ({SHOWN})", ""]
        try:
            _tool("visualization/compare_methods.py", *models, *paths, *options)
        except ValueError as error:  # the table is worth more than a picture
            lines.append(f"Not drawn: {error}")
            continue
        files.append(folder / f"{name}.png")
        lines.append(f"![{title}]({name}.png)")
    write_text(folder / "page.md", "\n".join(lines) + "\n")
    return [folder / "page.md", *files]


def _images(run: Run, metric: str) -> Images:
    return {outcome.img_id: outcome for outcome in outcomes(load_results(run.results[""]), metric)}


def _curve(name: str, run: Run, test: str, title: str) -> Line:
    """Read the accuracy of a run over the thresholds.

    Raises:
        ValueError: If the metric searches no threshold.
    """
    curves = load_results(run.results[test])["curves"]
    curve = curves.get(title, {})
    if len(curve.get("threshold", ())) < 2:
        raise ValueError(f"'{run.results[test]}' has no curve of '{title}'; it has {', '.join(curves) or 'none'}.")
    if "single" in curve:
        values = curve["single"][list(curve["iou_thr"]).index(0.5)]
    else:
        values = curve["gt_known"]
    return Line(name, [float(x) for x in curve["threshold"]], [float(y) for y in values])


def _hit(outcome: Outcome) -> bool:
    return outcome.iou >= 0.5


def _changes(found: Mapping[int, Images], base: Mapping[int, Images]) -> tuple[float, float] | None:
    """Return hits gained and lost against the base of the same seed, mean over the seeds; None without such seeds.

    A base of one seed, a cell that is not trained, stands for every seed.

    Raises:
        ValueError: If the images are others.
    """
    gained, lost = [], []
    for seed, images in found.items():
        other = base.get(seed) if len(base) > 1 else next(iter(base.values()))
        if other is None:
            continue
        if images.keys() != other.keys():
            raise ValueError("the cells of the page were tested on different images: test them again.")
        pairs = [(_hit(other[name]), _hit(outcome)) for name, outcome in images.items()]
        gained.append(pairs.count((False, True)))
        lost.append(pairs.count((True, False)))
    return (statistics.fmean(gained), statistics.fmean(lost)) if gained else None


def _model(run: Run, metric: str) -> list[str]:
    """Return config and weights of a run; released weights hold no threshold: it is that of the test."""
    weights = final_checkpoint(run)[1]
    if not run.cell.released:
        return [str(run.folder / f"{run.cell.name}.py"), weights]
    config = run.folder / "sheet" / f"{run.cell.name}.py"
    cfg = Config(run.cfg.to_dict())
    threshold = load_results(run.results[""])["protocol"][metric]["threshold"]
    if isinstance(threshold, float):
        cfg.model.map_to_box.threshold = threshold
    write_text(config, cfg.pretty_text)
    return [str(config), weights]


def _sheets(
    found: Mapping[str, Images], against: str, against_name: str, number: int
) -> list[tuple[str, str, list[str]]]:
    """Choose photographs: name of the sheet, its title and the paths."""
    if not found:
        return []
    images = next(iter(found.values()))
    names = [name for name, outcome in images.items() if outcome.img_path]

    def paths(chosen: Sequence[str]) -> list[str]:
        return [str(images[name].img_path) for name in chosen]

    step = max(len(names) / number, 1)
    spread = [names[int(i * step)] for i in range(min(number, len(names)))]
    sheets = [("sheet", "Photographs, spread evenly over the test set", paths(spread))]
    base, others = found.get(against), [other for name, other in found.items() if name != against]
    if base is None or not others:
        return sheets
    hits = {name: sum(_hit(other[name]) for other in others) for name in names}
    wins = sorted((name for name in names if not _hit(base[name])), key=lambda name: -hits[name])
    losses = sorted((name for name in names if _hit(base[name])), key=lambda name: hits[name])
    for sheet, chosen, title in (
        ("wins", wins, f"Wins: {against_name} misses, most of the others hit"),
        ("losses", losses, f"Losses: {against_name} hits, fewest of the others do"),
    ):
        if chosen:
            sheets.append((sheet, title, paths(chosen[:number])))
    return sheets


def _table(
    columns: Mapping[str, str],
    rows: Sequence[Row],
    names: Mapping[str, str],
    costs: Mapping[str, Mapping[str, float]],
    changes: Mapping[str, tuple[float, float] | None],
) -> list[str]:
    """Return the lines of the table: the cells, and the boxes that need no model."""
    header = ["", "seeds", *columns, "+", "-", *COUNTS, *RATIOS]
    lines = [header, ["---"] * len(header)]
    for row in rows:
        cost, change = costs.get(row.cell.name, {}), changes.get(row.cell.name)
        shown = [_figure(row.mean(metric), row.spread(metric)) for metric in columns.values()]
        wins = ["–", "–"] if change is None else [f"{value:.1f}" for value in change]
        millions = [f"{cost[key] / 1e6:.2f} M" if key in cost else "–" for key in COUNTS.values()]
        ratios = [f"{cost[key]:.2f}" if key in cost else "–" for key in RATIOS.values()]
        lines.append([names[row.cell.name], str(len(row.seeds)), *shown, *wins, *millions, *ratios])
    for name, key in BASELINES.items():
        shown = [_figure(_baseline(rows, metric, key), None) for metric in columns.values()]
        lines.append([name, "–", *shown, *["–"] * (2 + len(COUNTS) + len(RATIOS))])
    return [*(f"| {' | '.join(line)} |" for line in lines), "", f"{NOTE} {COST_NOTE}"]


def _baseline(rows: Sequence[Row], metric: str, key: str) -> float | None:
    """Return the figure of a box without a model that answers to a metric, if one does."""
    ending = {"gt_known": "gt_known", "max_box_acc_v2": "box_acc_v2"}.get(metric.rpartition("/")[2])
    test = f"{metric.split('/')[0]}/" if metric.count("/") > 1 else ""
    figures = [row.mean(f"{test}baseline/{key}_{ending}") for row in rows if ending]
    return next((figure for figure in figures if figure is not None), None)


def _figure(mean: float | None, spread: float | None) -> str:
    return "–" if mean is None else f"{mean:.1f}" + ("" if spread is None else f" ± {spread:.1f}")


def _cost(run: Run) -> dict[str, float]:
    """Return parameters and, of a model on our vision transformer, ratios of times; measured once for each config."""
    file = run.folder.parent / "cost.json"
    record = hashlib.sha256(json.dumps(run.record, sort_keys=True).encode()).hexdigest()
    cost = read_json(file, "Delete it, and it is measured again.") if file.is_file() else {}
    if cost.get("config") != record:
        options = ["--cfg-options", *run.options] if run.options else []
        config = run.folder / f"{run.cell.name}.py"
        _tool("analysis_tools/benchmark_methods.py", config, "--no-memory", "--out", file, *options)
        cost = {**read_json(file, "Delete it, and it is measured again.", COUNTS.values()), "config": record}
        write_json(file, cost)
    return {name: value for name, value in cost.items() if not run.cell.released or name == "parameters"}


def _tool(name: str, *arguments: str | Path) -> None:
    """Run a tool.

    Raises:
        ValueError: If it fails.
    """
    command = [sys.executable, str(tool_file(name)), *map(str, arguments)]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "it printed nothing").splitlines()
        raise ValueError(f"{Path(name).name} ended with {done.returncode}: {lines[-1][:300]}")
