"""The figure of a sweep: a metric against a setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmwsol.files import writing


@dataclass
class Line:
    """A line of the figure: points in the order of x; ``mean``, ``spread`` and ``paper`` may lack some (None)."""

    label: str
    x: list[float] = field(default_factory=list)
    mean: list[float | None] = field(default_factory=list)
    spread: list[float | None] = field(default_factory=list)
    paper: list[float | None] = field(default_factory=list)


def draw_lines(lines: Sequence[Line], x_label: str, y_label: str, path: str | Path) -> list[Path]:
    """Plot lines of many points: ``x`` and ``mean``; the largest value of each, and where it is, stand in the legend.

    Args:
        lines: What is plotted.
        x_label: Text below.
        y_label: Text at the left, the metric.
        path: Path without ending.

    Returns:
        ``<path>.png`` and ``<path>.pdf``.
    """
    figure, axes = _empty((9, 5), x_label, y_label)
    for index, line in enumerate(lines):
        values = [value or 0.0 for value in line.mean]
        best = max(values)
        at = line.x[values.index(best)]  # the first one, as metrics report it
        style = "-" if index < 10 else "--"
        axes.plot(line.x, values, style, color=f"C{index % 10}", label=f"{line.label}: {best:.1f} at {at:g}")
    figure.legend(fontsize="small", loc="outside right upper")
    return _save(figure, path)


def _empty(size: tuple[float, float], x_label: str, y_label: str) -> tuple[Any, Any]:
    """Return a figure of a size in inches, and its axes, with grid and labels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(f"{y_label}, %")
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Any, path: str | Path) -> list[Path]:
    files = [Path(f"{path}{ending}") for ending in (".png", ".pdf")]
    for file in files:
        with writing(file) as part:
            figure.savefig(part, dpi=150)
    return files


def draw_sweep(lines: Sequence[Line], x_label: str, y_label: str, path: str | Path) -> list[Path]:
    """Plot our means, with the spread as bars, and the published figures, dashed.

    Args:
        lines: What is plotted.
        x_label: Text below.
        y_label: Text at the left, the metric.
        path: Path without ending.

    Returns:
        ``<path>.png`` and ``<path>.pdf``.
    """
    figure, axes = _empty((5, 3.5), x_label, y_label)
    for index, line in enumerate(lines):
        color = f"C{index % 10}"
        ours = [point for point in zip(line.x, line.mean, line.spread, strict=True) if point[1] is not None]
        if ours:
            x, mean, spread = zip(*ours, strict=True)
            bars = [value or 0 for value in spread]
            axes.errorbar(x, mean, yerr=bars, color=color, marker="o", capsize=3, label=line.label)
        paper = [point for point in zip(line.x, line.paper, strict=True) if point[1] is not None]
        if paper:
            x, values = zip(*paper, strict=True)
            axes.plot(x, values, color=color, linestyle="--", marker="x", label=f"{line.label}, paper")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
    return _save(figure, path)
