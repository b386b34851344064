"""Tables and figures of a sweep: mean and spread over seeds, beside the published figures."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmwsol.engine.sweeps import Run, read_metrics
from mmwsol.files import write_text
from mmwsol.utils.sweep_files import Cell, Sweep
from mmwsol.visualization.sweep_figure import Line, draw_sweep

USUAL = ("cls/top1", "loc/top1", "loc/gt_known", "loc/max_box_acc", "loc/max_box_acc_v2", "seg/pxap")
NOTE = "Percent; mean ± sample standard deviation (divisor n - 1) over n seeds."


@dataclass
class Row:
    """The figures of a cell.

    Attributes:
        cell: The cell.
        seeds: Seeds of the finished runs.
        figures: Figures of the finished runs, in the order of the seeds, by metric.
    """

    cell: Cell
    seeds: list[int] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)

    def mean(self, metric: str) -> float | None:
        """Return the mean over seeds, None if nothing was measured."""
        figures = self.figures.get(metric)
        return statistics.fmean(figures) if figures else None

    def spread(self, metric: str) -> float | None:
        """Return the sample standard deviation over seeds, None for less than two."""
        figures = self.figures.get(metric, [])
        return statistics.stdev(figures) if len(figures) > 1 else None


def summarize(runs: Sequence[Run]) -> tuple[list[Row], list[str]]:
    """Collect the metrics of the finished runs.

    Returns:
        Rows, one a cell; and what is wrong with runs that were left out: they had other settings, or have other
        metrics than those before them.
    """
    rows: dict[str, Row] = {}
    problems = []
    for run in runs:
        row = rows.setdefault(run.cell.name, Row(run.cell))
        try:
            metrics = read_metrics(run)
        except ValueError as error:
            problems.append(str(error))
            continue
        if metrics is None:
            continue
        if row.seeds and set(metrics) != set(row.figures):
            problems.append(f"seed {run.seed} of '{run.cell.name}' has other metrics than seed {row.seeds[0]}.")
            continue
        row.seeds.append(run.seed)
        for metric, value in metrics.items():
            row.figures.setdefault(metric, []).append(float(value))
    return list(rows.values()), problems


def table_metrics(sweep: Sweep, rows: Sequence[Row]) -> list[str]:
    """Return the columns of the table: those of the sweep, else of the paper, else the usual ones with figures."""
    if sweep.metrics:
        return list(sweep.metrics)
    published = dict.fromkeys(metric for row in rows for metric in row.cell.paper)
    return list(published) or [metric for metric in USUAL if any(metric in row.figures for row in rows)]


def write_report(sweep: Sweep, rows: Sequence[Row], folder: str | Path) -> list[Path]:
    """Write ``table.md``, ``table.csv``, ``table.tex`` and, where the sweep has a figure, ``figure.png`` and ``.pdf``.

    Args:
        sweep: The sweep.
        rows: From :func:`summarize`.
        folder: Where the files are written.

    Returns:
        The files.
    """
    folder = Path(folder)
    metrics = table_metrics(sweep, rows)
    texts = {"md": markdown_table(rows, metrics), "csv": csv_table(rows, metrics), "tex": latex_table(rows, metrics)}
    files = []
    for ending, text in texts.items():
        files.append(folder / f"table.{ending}")
        write_text(files[-1], text)
    if sweep.figure is not None:
        label = sweep.figure.get("x_label", sweep.figure["x"])
        lines = figure_lines(sweep.figure["x"], sweep.figure["y"], rows)
        files += draw_sweep(lines, label, sweep.figure["y"], folder / "figure")
    return files


def markdown_table(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """Return the table in Markdown, ours and the paper's figures, where there are such, side by side."""
    header = ["cell", "n"]
    published = _published(rows)
    for metric in metrics:
        header += [metric, f"{metric}, paper"] if metric in published else [metric]
    lines = [header, ["---"] * len(header)]
    lines += [[row.cell.name, str(len(row.seeds)), *_cells(row, metrics, published, " ± ")] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{NOTE}\n"


def latex_table(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """Return the table in LaTeX; it needs the package booktabs."""
    published = _published(rows)
    columns = [column for metric in metrics for column in ([metric, "paper"] if metric in published else [metric])]
    lines = [f"% {NOTE}", rf"\begin{{tabular}}{{lr{'r' * len(columns)}}}", r"\toprule"]
    header = "cell & $n$" + "".join(f" & {_escape(column)}" for column in columns)
    lines += [header + r" \\", r"\midrule"]
    for row in rows:
        cells = _cells(row, metrics, published, r" $\pm$ ")
        lines.append(" & ".join([_escape(row.cell.name), str(len(row.seeds)), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def csv_table(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """Return the table as CSV, a line a cell and metric, with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["cell", "metric", "n", "mean", "std", "paper", "seeds", "values"])
    for row in rows:
        for metric in metrics:
            figures = row.figures.get(metric, [])
            numbers = [row.mean(metric), row.spread(metric), row.cell.paper.get(metric)]
            shown = ["" if number is None else repr(float(number)) for number in numbers]
            seeds = " ".join(map(str, row.seeds)) if figures else ""
            writer.writerow([row.cell.name, metric, len(figures), *shown, seeds, " ".join(map(repr, figures))])
    return text.getvalue()


def figure_lines(key: str, metric: str, rows: Sequence[Row]) -> list[Line]:
    """Gather the points of a figure: a line for each base and combination of the grid values other than ``key``.

    A tuple of keys is one axis, so what varies together with ``key`` makes no lines of its own.
    """
    lines: dict[tuple, Line] = {}
    for row in sorted(rows, key=lambda row: row.cell.values[key]):
        others = tuple(part for part, axis in zip(row.cell.parts, row.cell.axes, strict=True) if key not in axis)
        label = ", ".join(filter(None, [Path(row.cell.base).name.removesuffix(".py"), *others]))
        line = lines.setdefault((row.cell.base, others), Line(label))
        line.x.append(row.cell.values[key])
        line.mean.append(row.mean(metric))
        line.spread.append(row.spread(metric))
        line.paper.append(row.cell.paper.get(metric))
    return list(lines.values())


def _published(rows: Sequence[Row]) -> set[str]:
    """Return the metrics of which there are published figures."""
    return {metric for row in rows for metric in row.cell.paper}


def _cells(row: Row, metrics: Sequence[str], published: Collection[str], sign: str) -> list[str]:
    cells = []
    for metric in metrics:
        mean, spread, paper = row.mean(metric), row.spread(metric), row.cell.paper.get(metric)
        ours = "–" if mean is None else f"{mean:.2f}" + ("" if spread is None else f"{sign}{spread:.2f}")
        cells += [ours, "–" if paper is None else f"{paper:g}"] if metric in published else [ours]
    return cells


def _escape(text: str) -> str:
    return text.replace("_", r"\_").replace("%", r"\%")
