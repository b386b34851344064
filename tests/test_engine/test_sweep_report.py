"""Tables and lines of the figure, from results that are given; what is planned and what is left out."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmwsol.engine.stages import stage_configs
from mmwsol.engine.sweep_report import csv_table, figure_lines, latex_table, markdown_table, summarize, write_report
from mmwsol.engine.sweeps import final_checkpoint, plan_runs, read_metrics, run_sweep
from mmwsol.utils.config import config_root
from mmwsol.utils.sweep_files import read_sweep

BASE = """
model = dict(width=4, frozen=None)
train_dataloader = dict(dataset=dict())
randomness = dict(seed=3)
train_cfg = dict(max_epochs=1)
"""
SWEEP = """
base = 'a_net.py'
grid = {
    ('model.width', 'model.depth'): {'w-8': (8, 2), '': (4, None)},
    'model.frozen': {'': None, 'frozen': ['x']},
}
seeds = [0, 1, 2]
seed_keys = ['randomness.seed', 'train_dataloader.dataset.k_seed']
paper = {'a_net_w-8': {'loc/gt_known': 50.5}, 'a_net': {'loc/gt_known': 40, 'cls/top1': 70.25}}
figure = dict(x='model.width', y='loc/gt_known')
"""


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "a_net.py").write_text(BASE)
    (tmp_path / "sweep.py").write_text(SWEEP)
    return read_sweep(tmp_path / "sweep.py")


def finish(run, **metrics):
    run.folder.mkdir(parents=True)
    (run.folder / "run.json").write_text(json.dumps(run.record))
    metrics = {key.replace("__", "/"): value for key, value in metrics.items()}
    (run.folder / "results.json").write_text(json.dumps(dict(metrics=metrics)))


def plan(sweep, folder, *args):
    return {(run.cell.name, run.seed): run for run in plan_runs(sweep, folder, *args)}


def test_plan(sweep, tmp_path):
    runs = plan(sweep, tmp_path)
    assert len(runs) == 12 and list(runs)[:3] == [("a_net_w-8", 0), ("a_net_w-8", 1), ("a_net_w-8", 2)]
    run = runs["a_net_w-8_frozen", 2]
    assert run.folder == tmp_path / "a_net_w-8_frozen/seed-2"
    assert run.cfg.randomness.seed == run.cfg.train_dataloader.dataset.k_seed == 2 and run.cfg.model.width == 8
    assert list(plan(sweep, tmp_path, ["a_net"], [5])) == [("a_net", 5)]
    text = SWEEP.replace("seeds = [0, 1, 2]\n", "")
    Path(sweep.file).write_text(text)
    assert {seed for _, seed in plan(read_sweep(sweep.file), tmp_path)} == {3}  # the config's
    Path(sweep.file).write_text(text.replace("dataset.k_seed", "datasat.k_seed"))
    with pytest.raises(ValueError, match="no 'datasat' in train_dataloader"):
        plan(read_sweep(sweep.file), tmp_path)
    assert not (tmp_path / "a_net").exists()


def test_tables(sweep, tmp_path):
    runs = plan(sweep, tmp_path / "runs")
    for seed, known in enumerate((50.0, 51.0, 52.6)):
        finish(runs["a_net_w-8", seed], loc__gt_known=known, cls__top1=80.0)
    finish(runs["a_net", 1], loc__gt_known=41.0)
    rows, problems = summarize(list(runs.values()))
    assert problems == [] and [len(row.seeds) for row in rows] == [3, 0, 1, 0]
    metrics = ["loc/gt_known", "cls/top1"]
    lines = markdown_table(rows, metrics).splitlines()
    assert lines[0] == "| cell | n | loc/gt_known | loc/gt_known, paper | cls/top1 | cls/top1, paper |"
    # standard deviation with divisor 2: 1.3115...
    assert lines[2] == "| a_net_w-8 | 3 | 51.20 ± 1.31 | 50.5 | 80.00 ± 0.00 | – |"
    assert lines[3] == "| a_net_w-8_frozen | 0 | – | – | – | – |"
    assert lines[4] == "| a_net | 1 | 41.00 | 40 | – | 70.25 |"
    assert "divisor n - 1" in lines[-1]
    latex = latex_table(rows, metrics).splitlines()
    assert r"a\_net\_w-8 & 3 & 51.20 $\pm$ 1.31 & 50.5 & 80.00 $\pm$ 0.00 & – \\" in latex
    records = list(csv.DictReader(io.StringIO(csv_table(rows, metrics))))
    assert float(records[0]["std"]) == pytest.approx(1.3114877048604)
    assert records[0]["seeds"] == "0 1 2" and records[0]["values"] == "50.0 51.0 52.6"
    assert records[4] == dict(
        cell="a_net", metric="loc/gt_known", n="1", mean="41.0", std="", paper="40.0", seeds="1", values="41.0"
    )


def test_runs_of_other_settings_are_left_out(sweep, tmp_path):
    runs = plan(sweep, tmp_path / "runs")
    finish(runs["a_net", 0], loc__gt_known=10.0)
    finish(runs["a_net", 1], loc__top1=10.0)
    finish(runs["a_net_frozen", 0], loc__gt_known=10.0)
    sweep.file.write_text(SWEEP.replace("['x']", "['y']"))
    again = plan(read_sweep(sweep.file), tmp_path / "runs")
    rows, problems = summarize(list(again.values()))
    assert [len(row.seeds) for row in rows] == [0, 0, 1, 0]
    assert "other metrics" in problems[0]
    assert "config.model.frozen.0 (x -> y). Delete it" in problems[1]
    changed = plan(sweep, tmp_path / "runs", (), (), ["model.width=9"])
    assert "cfg_options" in summarize([changed["a_net", 0]])[1][0]


def test_figure(sweep, tmp_path):
    runs = plan(sweep, tmp_path / "runs")
    for (name, _), run in runs.items():
        finish(run, loc__gt_known=20.0 + run.seed + 10 * ("w-8" in name) + 5 * ("frozen" in name))
    rows, _ = summarize(list(runs.values()))
    first, second = figure_lines("model.width", "loc/gt_known", rows)
    assert (first.label, first.x, first.mean, first.paper) == ("a_net", [4, 8], [21.0, 31.0], [40, 50.5])
    assert (second.label, second.mean, second.spread) == ("a_net, frozen", [26.0, 36.0], [1.0, 1.0])
    files = write_report(sweep, rows, tmp_path / "out")
    assert [file.name for file in files] == ["table.md", "table.csv", "table.tex", "figure.png", "figure.pdf"]
    assert all(file.stat().st_size for file in files)
    assert (tmp_path / "out/table.md").read_text().startswith("| cell | n | loc/gt_known |")  # metrics of the paper


def test_a_full_disk_leaves_the_earlier_report(sweep, tmp_path, monkeypatch):
    rows, _ = summarize(list(plan(sweep, tmp_path / "runs").values()))
    files = write_report(sweep, rows, tmp_path / "out")
    before = [file.read_bytes() for file in files]

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    for _ in range(2):
        with pytest.raises(OSError, match="table.md' cannot be written: No space left"):
            write_report(sweep, rows, tmp_path / "out")
    assert [file.read_bytes() for file in files] == before and len(list((tmp_path / "out").iterdir())) == len(files)


def test_checkpoint(sweep, tmp_path):
    run = plan(sweep, tmp_path)["a_net", 0]
    folder = run.folder / "train"
    with pytest.raises(ValueError, match="left no checkpoint in"):
        final_checkpoint(run)
    run.cfg.default_hooks = dict(checkpoint=dict(save_best=["loc/top1", "loc/gt_known"]))
    with pytest.raises(ValueError, match=r"left no checkpoint best_loc_top1_\*\.pth"):
        final_checkpoint(run)
    for name in ("best_loc_top1_epoch_3.pth", "best_loc_gt_known_epoch_4.pth"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    assert final_checkpoint(run) == ("best", str(folder / "best_loc_top1_epoch_3.pth"))
    other = replace(run, options=("default_hooks.checkpoint.save_best=loc/gt_known",))
    assert final_checkpoint(other) == ("best", str(folder / "best_loc_gt_known_epoch_4.pth"))
    run.cfg.stages = [dict(name="a"), dict(name="b", default_hooks=dict(checkpoint=dict(save_best=None)))]
    with pytest.raises(ValueError, match=f"left no checkpoint in {folder}/b"):
        final_checkpoint(run)


def test_without_training(sweep, tmp_path):
    """A cell that is not trained is run once, whatever the seeds, and tested with its own weights."""
    sweep.file.write_text(SWEEP + "released = ['a_net']\n")
    runs = plan(read_sweep(sweep.file), tmp_path)
    assert [seed for name, seed in runs if name == "a_net"] == [0] and len(runs) == 10
    run = runs["a_net", 0]
    with pytest.raises(ValueError, match=r"'a_net' is tested as released and has no weights: set model\.init_cfg"):
        final_checkpoint(run)
    run.cfg.model.init_cfg = dict(type="Pretrained", checkpoint="timm://resnet50")
    assert final_checkpoint(run) == ("released", "timm://resnet50")
    sweep.file.write_text(SWEEP + "released = ['a_nut']\n")
    with pytest.raises(ValueError, match="released names 'a_nut', which is no cell; the nearest are: a_net"):
        read_sweep(sweep.file)


def test_a_folder_in_use_is_left_alone(sweep, tmp_path):
    import fcntl

    (run,) = plan(sweep, tmp_path, ["a_net"], [0]).values()
    run.folder.mkdir(parents=True)
    with open(run.folder / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (outcome,) = run_sweep([run])
    assert outcome.state == "failed" and "another process works in" in outcome.message


def only_run(sweep, folder):
    [run] = plan(sweep, folder, ["a_net"], [0]).values()
    return run


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_damaged_records_are_named(sweep, tmp_path, monkeypatch, content):
    """What a kill or a full disk leaves."""
    run = only_run(sweep, tmp_path)
    run.folder.mkdir(parents=True)
    (run.folder / "run.json").write_text(content)
    assert read_metrics(run) is None  # nothing has begun: the record is written anew
    monkeypatch.setattr("mmwsol.engine.sweeps._call", lambda *_: (run.folder / "train").mkdir())
    [_, outcome] = run_sweep([run])
    assert "training left no checkpoint" in outcome.message
    assert json.loads((run.folder / "run.json").read_text()) == run.record
    (run.folder / "run.json").write_text(content)
    [outcome] = run_sweep([run])
    assert f"'{run.folder}/run.json' is damaged: it" in outcome.message
    assert f"Delete it to go on, if the settings are as they were, or else {run.folder}." in outcome.message
    (run.folder / "run.json").write_text(json.dumps(run.record))
    (run.folder / "results.json").write_text(content)
    assert "results.json' is damaged: it" in summarize([run])[1][0]


@pytest.mark.parametrize("name", ["lock", "train.log"])
def test_links_in_a_sweep_are_not_followed(sweep, tmp_path, name):
    (tmp_path / "victim").write_text("mine")
    run = only_run(sweep, tmp_path / "runs")
    run.folder.mkdir(parents=True)
    (run.folder / name).symlink_to(tmp_path / "victim")
    for file in ("run.json", "a_net.py"):
        (run.folder / file).symlink_to(tmp_path / f"victim_{file}")
    outcome = list(run_sweep([run]))[-1]
    assert outcome.state == "failed" and f"{name}' is a link" in outcome.message
    assert [path.name for path in tmp_path.glob("victim*")] == ["victim"]
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_setting_that_every_stage_overrules_is_refused(sweep, tmp_path):
    """Settings merge into the base, but a stage keeps its own values: the cell would be another one in silence."""
    base = tmp_path / "a_net.py"
    stages = [dict(name="warm", train_cfg=dict(max_epochs=7)), dict(name="cam", train_cfg=dict(max_epochs=3))]
    base.write_text(f"{BASE}train_cfg = dict(max_epochs=9)\nstages = {stages}\n")
    file = tmp_path / "short.py"
    text = "base = 'a_net.py'\ncells = {{'short': {{'{}train_cfg.max_epochs': 1, 'model.width': 8}}}}\n"
    file.write_text(text.format(""))
    with pytest.raises(ValueError, match=r"a_net_short.*train_cfg.max_epochs changes nothing.*\(warm, cam\).*stages.N"):
        plan_runs(read_sweep(file), tmp_path)
    file.write_text(text.format("stages.1."))
    [run] = plan_runs(read_sweep(file), tmp_path)
    assert [stage.cfg.train_cfg.max_epochs for stage in stage_configs(run.cfg)] == [7, 1]


@pytest.mark.parametrize("path", sorted(config_root().glob("*/sweeps/*.py")), ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_every_setting_of_the_sweeps_has_an_effect(path, tmp_path):
    assert plan_runs(read_sweep(path), tmp_path)
