"""Sweep files: cells and their names, what is wrong with a file, cells as configs."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from mmwsol.utils.config import list_cells, list_configs, load_cell, load_config
from mmwsol.utils.sweep_files import read_sweep

BASE = """
model = dict(type='Net', width=4, parts=[dict(a=1), dict(a=2)], options=dict(x=1, y=2))
train_dataloader = dict(dataset=dict(type='Data', split='train'))
randomness = dict(seed=3)
"""


@pytest.fixture
def sweep(tmp_path):
    """Write a base and a sweep file, and read that."""
    (tmp_path / "net.py").write_text(BASE)

    def write(text):
        file = tmp_path / "widths.py"
        file.write_text(text)
        return read_sweep(file)

    return write


def test_grid(sweep):
    read = sweep(
        "base = 'net.py'\n"
        "common = {'model.options': dict(_delete_=True, z=3)}\n"
        "grid = {\n"
        "    ('model.width', 'model.depth'): {'small': (2, 1), '': (4, None)},\n"
        "    'model.parts.1.a': {'': 2, 'a-5': 5},\n"
        "}\n"
        "seeds = [0, 1]\n"
        "paper = {'net_small': {'loc/gt_known': 50.5}}\n"
        "figure = dict(x='model.width', y='loc/gt_known')\n"
    )
    assert [cell.name for cell in read.cells] == ["net_small", "net_small_a-5", "net", "net_a-5"]
    assert [cell.is_base for cell in read.cells] == [False, False, True, False]
    assert read.cells[0].paper == {"loc/gt_known": 50.5} and read.cells[1].paper == {}
    assert read.seeds == (0, 1) and read.seed_keys == ("randomness.seed",) and read.name == "widths"
    models = [load_cell(cell).model for cell in read.cells]
    assert [(model.width, model.get("depth"), model.parts[1].a) for model in models] == [
        (2, 1, 2),
        (2, 1, 5),
        (4, None, 2),
        (4, None, 5),
    ]
    assert [model.options for model in models] == [{"z": 3}, {"z": 3}, {"x": 1, "y": 2}, {"z": 3}]
    assert [cell.name for cell in read.select(["net_a-5"])] == ["net_a-5"]
    assert len(read.select([])) == 4


def test_common_settings_of_configs_side_by_side(sweep, tmp_path):
    (tmp_path / "other.py").write_text(BASE)
    read = sweep("bases = ['net.py', 'other.py']\ncommon = {'model.width': 9}\n")
    assert [(cell.name, load_cell(cell).model.width) for cell in read.cells] == [("net", 9), ("other", 9)]


def test_total_batch_size_of_a_cell_is_its_training_batch(sweep):
    read = sweep("base = 'net.py'\ngrid = {'total_batch_size': {'batch-8': 8, '': None}}\n")
    cfg = load_cell(read.cells[0])
    assert cfg.total_batch_size == cfg.train_dataloader.batch_size == 8


def test_cells_take_values_of_the_base(sweep):
    read = sweep(
        "base = 'net'\n"
        "cells = {\n"
        "    'twice': {\n"
        "        'train_dataloader.dataset': dict(\n"
        "            _delete_=True, type='Repeat', dataset='{{_base_.train_dataloader.dataset}}'),\n"
        "        'train_dataloader.dataset.times': 2,\n"
        "    },\n"
        "    'first': {'model.parts': ['{{ _base_.model.parts.0 }}'], 'model.parts.0.b': 7},\n"
        "}\n".replace("'net'", "'net.py'")
    )
    twice, first = (load_cell(cell) for cell in read.cells)
    assert twice.train_dataloader.dataset == dict(type="Repeat", dataset=dict(type="Data", split="train"), times=2)
    assert first.model.parts == [dict(a=1, b=7)]
    assert (
        twice.filename.endswith("net_twice.py") and twice.model == Config.fromfile(read.file.with_name("net.py")).model
    )


def test_bases(sweep, tmp_path):
    (tmp_path / "other.py").write_text(BASE)
    read = sweep("bases = ['net.py', 'other.py']\nseeds = [0]\n")
    assert [(cell.name, cell.is_base) for cell in read.cells] == [("net", True), ("other", True)]
    read = sweep("bases = ['net.py', 'other.py']\ngrid = {'model.width': {'': 4, 'w-8': 8}}\n")
    assert [cell.name for cell in read.cells] == ["net", "net_w-8", "other", "other_w-8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bass = 'net.py'", "unknown key 'bass'; the nearest are: .*base"),
        ("seeds = [1]", "give base="),
        ("base = 'net.py'\nbases = ['net.py']", "give base="),
        ("base = 'net.py'", "give grid or cells: what changes"),
        ("base = 'net.py'\ngrid = {'a': {'x': 1}}\ncells = {'x': {'a': 1}}", "not both"),
        ("base = 'net.py'\ngrid = {'a': [1, 2]}", r"grid\['a'\] must be \{part of the name: value\}, got \[1, 2\]"),
        ("base = 'net.py'\ngrid = {('a', 'b'): {'x': (1, 2, 3)}}", r"\['x'\] must have 2 values, one a key"),
        ("base = 'net.py'\ngrid = {'model..a': {'x': 1}}", "the key 'model..a'; it must be dotted"),
        ("base = 'net.py'\ngrid = {'a': {'x': 1, 'x': 2}}", "line 2 .*the key 'x' twice"),
        ("base = 'net.py'\ngrid = {'a': {'x': 1, 'x_y': 2}, 'b': {'y': 1, '': 2}}", "two cells are called 'net_x_y'"),
        ("bases = ['net.py', 'net.py']", "two cells are called 'net'"),
        ("base = 'net.py'\ncells = {'': {'a': 1}}", r"and \{\} for '', the base itself"),
        ("base = 'net.py'\ncells = {'x': {}}", r"cells\['x'\] must be"),
        ("base = 'net.py'\ncells = {'x': {'a': 1}}\npaper = {'net_y': {}}", "'net_y', which is no cell; .*net_x"),
        ("base = 'net.py'\ncells = {'x': {'a': 1}}\nseeds = [0, 0]", "different integers"),
        ("base = 'net.py'\ncells = {'x': {'a': 1}}\nfigure = dict(x='a', y='b')", "figure.x='a' must have a number"),
        ("base = 'net.py'\ngrid = {'a': {'x': 'A'}}\nfigure = dict(x='a', y='b')", "'net_x' has 'A'"),
        ("base = 'net.py'\ngrid = {'a': {'x': 1}}\nfigure = dict(x='a', z='b')", "unknown key 'z' of figure"),
        ("base = 'net.py'\ngrid = {'a': {'x': 1}}\nfigure = dict(x='a')", "figure needs x"),
        ("base = 'net.py'\ngrid = {'a': {f'x-{i}': i for i in range(3)}}", "line 2 .*more than plain values"),
        ("import os", "line 1 .*not an assignment"),
        ("base = 'net.py'\nbase = 'net.py'", "a name twice"),
    ],
)
def test_errors_of_the_file(sweep, text, message):
    with pytest.raises(ValueError, match=rf"sweep '.*widths\.py': .*{message}"):
        sweep(text)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("base = 'nat.py'\ncells = {'x': {'a': 1}}", FileNotFoundError, "the base 'nat.py' is neither"),
        ("base = 'sat_deit-s_cup'\ncells = {'x': {'a': 1}}", FileNotFoundError, "the nearest are: .*sat_deit-s_cub"),
        (
            "base = 'net.py'\ncells = {'x': {'model.optoins.x': 1}}",
            ValueError,
            "no 'optoins' in model of 'net.py', which has type, width, parts, options",
        ),
        ("base = 'net.py'\ncells = {'x': {'model.parts.2.a': 1}}", ValueError, "no '2' in model.parts"),
        ("base = 'net.py'\ncells = {'x': {'model.width.x': 1}}", ValueError, None),
        ("base = 'net.py'\ncells = {'x': {'a': '{{_base_.modle}}'}}", ValueError, "no 'modle' in the config"),
        ("base = 'net.py'\ngrid = {'model.width': {'': 5, 'w': 6}}", ValueError, "model.width is 4; the sweep says 5"),
    ],
)
def test_errors_of_the_base(sweep, text, error, message):
    cells = sweep(text).cells
    if message is None:  # a setting of a number
        with pytest.raises((error, TypeError)):
            load_cell(cells[0])
    else:
        with pytest.raises(error, match=message):
            load_cell(cells[0])


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no sweep file"):
        read_sweep(tmp_path / "none.py")


def test_cells_of_the_package():
    cells, configs = list_cells(), list_configs()
    assert not set(cells) & set(configs) and "widths" not in configs
    few = load_config("sat_deit-s_cub_3-shot_freeze-c", {"train_dataloader.dataset.dataset.k_seed": 4})
    assert few.train_dataloader.dataset.times == 10
    assert (few.train_dataloader.dataset.dataset.k_shot, few.train_dataloader.dataset.dataset.k_seed) == (3, 4)
    assert few.model.frozen == ["backbone.layers.[0-8].ffn.*"]
    assert few.filename.endswith("sat_deit-s_cub_3-shot_freeze-c.py")
    with pytest.raises(
        ValueError, match=r"'.*k_cub\.py' is a sweep: run it with tools/sweep\.py, or .*cdtr_deit-s_cub_k-03"
    ):
        load_config(cells["cdtr_deit-s_cub_k-07"].file)


@pytest.mark.parametrize("folder", ["benchmarks", "sweeps"])
def test_sweeps_are_told_by_their_content(tmp_path, folder):
    """A folder of any name may hold configs, and a sweep is one in any folder."""
    (tmp_path / folder).mkdir()
    mine, above, grid = (tmp_path / name for name in (f"{folder}/mine.py", "above.py", "grid.py"))
    mine.write_text(BASE)
    above.write_text(f"_base_ = '{folder}/mine.py'\nx = 1\n")
    assert load_config(mine).model == load_config(above).model == Config.fromfile(above).model
    grid.write_text("base = 'above.py'\ngrid = {'x': {'': 1, 'x-2': 2}}\n")
    with pytest.raises(ValueError, match=r"'.*grid\.py' is a sweep: run it with .*: above, above_x-2\.$"):
        load_config(grid)
    above.write_text("_base_ = 'grid.py'\n")
    with pytest.raises(ValueError, match=r"_base_ 'grid\.py' is a sweep, no config"):
        Config.fromfile(above)
