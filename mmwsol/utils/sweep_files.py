"""The format of sweep files: a grid of settings over one config, or several configs side by side, as plain data.

A sweep file, ``configs/<name>/sweeps/<what>.py`` or ``configs/benchmarks/<what>.py``, consists of assignments of plain
values. It is read, never run::

    # SAT on CUB-200-2011, Table 8: some of the parts are frozen, few images a class.
    base = 'sat_deit-s_cub'                     # name of a config, or a path relative to this file
    common = {                                  # optional: settings of all cells
        'train_dataloader.dataset': dict(
            _delete_=True, type='RepeatDataset', times=1, dataset='{{_base_.train_dataloader.dataset}}')}
    grid = {                                    # a cell for every combination
        ('train_dataloader.dataset.dataset.k_shot', 'train_dataloader.dataset.times'): {
            '1-shot': (1, 30), '3-shot': (3, 10)},
        'model.frozen': {'': None, 'freeze-b': ['backbone.layers.[0-8].attn.*']},
    }
    seeds = [0, 1, 2]                           # optional
    paper = {'sat_deit-s_cub_1-shot': {'loc/gt_known': 91.3}}
    figure = dict(x='train_dataloader.dataset.dataset.k_shot', y='loc/gt_known')

=============  ==========================================================================================
``base``       config that the cells change; or ``bases``, a list of configs that are compared
``grid``       an axis for each dotted key: ``{part of the name: value}``. A tuple of keys is one axis that sets several
               keys. The part ``''`` stands for the base as it is; its value is what the base has, None if nothing
``cells``      in place of ``grid``, where that does not fit: ``{part of the name: {dotted key: value}}``; ``{}`` under
               ``''`` is the base itself
``common``     dotted keys and values of all cells, except one whose parts are all ``''``: the base as it is
``released``   names of cells that are not trained: the weights that they start from are tested, once
``seeds``      seeds of every cell. Defaults to the seed of the config
``seed_keys``  dotted keys that a seed is written to. Defaults to ``['randomness.seed']``
``metrics``    columns of the table. Defaults to those of ``paper``, else the usual ones
``paper``      ``{cell: {metric: published figure in percent}}``
``figure``     ``dict(x=KEY of the grid, y=METRIC, x_label=TEXT)``: a line for each combination of the other axes. The
               label is optional
``tests``      ``{name: [options of tools/test.py, those of --cfg-options last]}``: further tests of each cell. Their
               metrics are ``<name>/<metric>``
``page``       what the page of a benchmark shows, see :mod:`mmwsol.engine.sweep_page`
=============  ==========================================================================================

The name of a cell is that of its base with the parts, joined by ``_``: ``sat_deit-s_cub_3-shot_freeze-b``. Values are
merged into the base (dotted keys, numbers step into lists), in the order common, grid; ``_delete_=True`` replaces a
dict. A stage that has its own value for a key keeps it, unlike with ``--cfg-options``: ``stages.0.KEY`` changes it. A
key that no stage takes is an error. A string ``'{{_base_.KEY}}'`` is what the base has under KEY, as in a config.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmwsol.utils.config_text import read_plain_values

KEYS = (
    *("base", "bases", "grid", "cells", "common", "released", "seeds", "seed_keys"),
    *("metrics", "paper", "figure", "tests", "page"),
)
FIGURE_KEYS = ("x", "y", "x_label")
PAGE_KEYS = ("title", "text", "columns", "against", "metric", "curves", "images", "names")
FOLDERS = ("sweeps", "benchmarks")  # of the sweeps of this package


@dataclass(frozen=True)
class Cell:
    """One point of a sweep: a config and what is changed in it.

    Attributes:
        name: Name of the cell, as models are called.
        base: Name or path of the config, as the sweep file has it.
        file: The sweep file.
        parts: Parts of the name that the axes added, '' where the base is as it is.
        overrides: Values by dotted key, in the order in which they are merged.
        axes: Keys of every axis of the grid.
        values: Value of every key of the grid, also where the cell leaves the base as it is.
        paper: Published figures by metric, in percent.
        released: Whether it is tested with the weights that it starts from, without training.
    """

    name: str
    base: str
    file: Path
    parts: tuple[str, ...] = ()
    overrides: dict[str, Any] = field(default_factory=dict)
    axes: tuple[tuple[str, ...], ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    paper: dict[str, float] = field(default_factory=dict)
    released: bool = False

    @property
    def is_base(self) -> bool:
        """Whether the cell is the base itself, and only has its name."""
        return not any(self.parts) and not self.overrides


@dataclass(frozen=True)
class Sweep:
    """A sweep file; see the module for the format.

    Attributes:
        file: The file.
        cells: The cells, in the order of the file.
        seeds: Seeds of every cell; empty: the seed of the config.
        seed_keys: Dotted keys that a seed is written to.
        metrics: Columns of the table; empty: those of the paper.
        figure: Description of the figure, None if there is none.
        tests: Options of further tests by their name.
        page: Description of the page, None if there is none.
    """

    file: Path
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...] = ()
    seed_keys: tuple[str, ...] = ("randomness.seed",)
    metrics: tuple[str, ...] = ()
    figure: dict[str, str] | None = None
    tests: dict[str, tuple[str, ...]] = field(default_factory=dict)
    page: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """Name of the sweep: that of its file, with the method's folder in front (``sat_few-shot_cub``)."""
        folder = self.file.resolve().parent
        return f"{folder.parent.name}_{self.file.stem}" if folder.name == "sweeps" else self.file.stem

    def select(self, names: Sequence[str]) -> tuple[Cell, ...]:
        """Return the cells with these names, all of them for an empty sequence.

        Raises:
            ValueError: If there is no such cell.
        """
        known = [cell.name for cell in self.cells]
        for name in names:
            if name not in known:
                raise ValueError(f"{self.file} has no cell '{name}'; {_nearest(name, known)}.")
        return tuple(cell for cell in self.cells if not names or cell.name in names)


def read_sweep(file: str | Path) -> Sweep:
    """Read a sweep file, without running it and without looking at its base.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no sweep file. The message names file and key.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"there is no sweep file '{file}'.")
    try:
        return _make_sweep(file, read_plain_values(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"sweep '{file}': {error}") from error


def _make_sweep(file: Path, content: dict[str, Any]) -> Sweep:
    for key in content:
        if key not in KEYS:
            raise ValueError(f"unknown key '{key}'; {_nearest(key, KEYS)}.")
    bases = content.get("bases") or [content.get("base")]
    if ("base" in content) == ("bases" in content) or not all(isinstance(base, str) for base in bases):
        raise ValueError("give base='NAME OF A CONFIG' or bases=[NAME, ...].")
    if "grid" in content and "cells" in content:
        raise ValueError("give grid or cells, not both.")
    if "base" in content and "grid" not in content and "cells" not in content:
        raise ValueError("give grid or cells: what changes.")
    paper = _dict(content, "paper")
    released = content.get("released", [])
    common = _settings("common", _dict(content, "common"))
    axes = tuple((key,) if isinstance(key, str) else key for key in content.get("grid", {}))
    cells: list[Cell] = []
    for base in bases:
        for parts, overrides, values in _points(content):
            name = "_".join(filter(None, [Path(base).name.removesuffix(".py"), *parts]))
            if name in [cell.name for cell in cells]:
                raise ValueError(f"two cells are called '{name}'; give them different parts of the name.")
            as_it_is = bool(parts) and not any(parts)
            overrides = {} if as_it_is else {**common, **overrides}
            published = dict(paper.get(name, {}))
            cells.append(Cell(name, base, file, parts, overrides, axes, values, published, name in released))
    names = [cell.name for cell in cells]
    for key, named in (("paper", paper), ("released", released)):
        for name in named:
            if name not in names:
                raise ValueError(f"{key} names '{name}', which is no cell; {_nearest(name, names)}.")
    seeds = content.get("seeds", [])
    if not all(isinstance(seed, int) for seed in seeds) or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds must be different integers, got {seeds}.")
    for name in _dict(content, "tests"):
        if not re.fullmatch(r"[a-z0-9-]+", str(name)) or name in ("train", "test", "results", "run", "lock"):
            raise ValueError(
                f"tests: '{name}' must be of lower-case letters, digits and hyphens; train, test, results, run and "
                "lock are taken."
            )
    sweep = Sweep(
        file,
        tuple(cells),
        tuple(seeds),
        tuple(content.get("seed_keys", ("randomness.seed",))),
        tuple(content.get("metrics", ())),
        content.get("figure"),
        {name: tuple(map(str, words)) for name, words in _dict(content, "tests").items()},
        content.get("page"),
    )
    _check_figure(sweep)
    _check_page(sweep)
    return sweep


def _points(content: dict[str, Any]) -> list[tuple[tuple[str, ...], dict[str, Any], dict[str, Any]]]:
    """Return the parts of the name, the settings and the values in the grid of every cell of one base."""
    if "cells" in content:
        cells = _dict(content, "cells")
        for part, settings in cells.items():
            if not isinstance(settings, dict) or bool(part) != bool(settings):
                raise ValueError(f"cells['{part}'] must be {{dotted key: value}}, and {{}} for '', the base itself.")
            _settings(f"cells['{part}']", settings)
        return [((part,), settings, {}) for part, settings in cells.items()]
    axes = [_axis(key, axis) for key, axis in _dict(content, "grid").items()]
    points = []
    for combination in itertools.product(*axes):
        overrides = {key: value for part, settings in combination if part for key, value in settings.items()}
        values = {key: value for _, settings in combination for key, value in settings.items()}
        points.append((tuple(part for part, _ in combination), overrides, values))
    return points


def _axis(key: str | tuple[str, ...], axis: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the settings of every value of an axis, under its part of the name."""
    if not isinstance(axis, dict) or not axis or not all(isinstance(part, str) for part in axis):
        raise ValueError(f"grid[{key!r}] must be {{part of the name: value}}, got {axis!r}.")
    if isinstance(key, str):
        return [(part, _settings("grid", {key: value})) for part, value in axis.items()]
    for part, values in axis.items():
        if not isinstance(values, (tuple, list)) or len(values) != len(key):
            raise ValueError(f"grid[{key!r}]['{part}'] must have {len(key)} values, one a key, got {values!r}.")
    return [(part, _settings("grid", dict(zip(key, values, strict=True)))) for part, values in axis.items()]


def _settings(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    for key in settings:
        if not isinstance(key, str) or not key or "" in key.split("."):
            raise ValueError(f"{name} has the key {key!r}; it must be dotted, as 'model.head.num_classes'.")
    return settings


def _dict(content: dict[str, Any], key: str) -> dict[Any, Any]:
    value = content.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be a dict, got {value!r}.")
    return value


def _check_figure(sweep: Sweep) -> None:
    if sweep.figure is None:
        return
    for key in sweep.figure:
        if key not in FIGURE_KEYS:
            raise ValueError(f"unknown key '{key}' of figure; {_nearest(key, FIGURE_KEYS)}.")
    x = sweep.figure.get("x")
    if not x or "y" not in sweep.figure:
        raise ValueError("figure needs x, a key of the grid, and y, a metric.")
    for cell in sweep.cells:
        if not isinstance(cell.values.get(x), (int, float)):
            raise ValueError(
                f"figure.x='{x}' must have a number in every cell; '{cell.name}' has {cell.values.get(x)!r}."
            )


def _check_page(sweep: Sweep) -> None:
    page = sweep.page
    if page is None:
        return
    for key in page:
        if key not in PAGE_KEYS:
            raise ValueError(f"unknown key '{key}' of page; {_nearest(key, PAGE_KEYS)}.")
    for key in ("title", "text", "columns", "against", "metric", "curves"):
        if not page.get(key):
            raise ValueError(f"page needs {key}.")
    sweep.select([page["against"], *page.get("names", ())])
    if not isinstance(page.get("images", 1), int) or page.get("images", 1) < 1:
        raise ValueError(f"page.images must be a number of photographs, got {page['images']!r}.")
    if len(page["curves"]) != 2 or page["curves"][0] not in ("", *sweep.tests):
        raise ValueError(f"page.curves={page['curves']!r} must be a test, one of {['', *sweep.tests]}, and a metric.")


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.4)
    return f"the nearest are: {', '.join(near)}" if near else f"there are: {', '.join(known)}"
