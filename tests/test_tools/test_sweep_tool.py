"""tools/sweep.py: runs that are killed and resumed, the table's numbers, failures."""

from __future__ import annotations

import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmwsol.engine.stage_markers import marked_settings, read_marker
from mmwsol.engine.stages import stage_configs
from mmwsol.engine.sweeps import plan_runs, run_sweep
from mmwsol.utils.sweep_files import read_sweep

ROOT = Path(__file__).resolve().parents[2]

METRICS = ["cls/top1", "loc/gt_known"]


def write_sweep(tiny_config, folder):
    """Two cells, one of them the base, of a shortened tiny config; few images, one epoch."""
    (folder / "tiny.py").write_text(
        f"_base_ = {str(tiny_config)!r}\n"
        "stages = None\n"
        "train_dataloader = dict(num_workers=0)\n"
        "custom_hooks = [dict(type='mmwsol.NumClassesHook')]\n"
    )
    file = folder / "sweep.py"
    file.write_text(
        "base = 'tiny.py'\n"
        "grid = {'train_dataloader.batch_size': {'': 4, 'batch-6': 6}}\n"
        "seeds = [0, 1]\n"
        f"metrics = {METRICS}\n"
        "paper = {'tiny_batch-6': {'cls/top1': 90.5}}\n"
        "figure = dict(x='train_dataloader.batch_size', y='cls/top1', x_label='batch')\n"
    )
    return file


@pytest.fixture
def quick(tool, monkeypatch):
    """Run train.py and test.py in this process: most of the time of a process of its own is that of imports."""
    real = subprocess.run

    def run(command, *args, **kwargs):
        script = Path(str(command[1])).name if isinstance(command, list) and len(command) > 1 else ""
        if script not in ("train.py", "test.py", "compare_methods.py"):
            return real(command, *args, **kwargs)
        script = os.path.relpath(command[1], ROOT / "tools")
        try:
            tool(script, *command[2:])
        except (Exception, SystemExit) as error:
            kwargs["stdout"].write(f"{type(error).__name__}: {error}\n")
            return subprocess.CompletedProcess(command, 1)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)


def test_killed_resumed_and_tabulated(tiny_config, tool, quick, tmp_path, capsys):
    file = write_sweep(tiny_config, tmp_path)
    first, second = tmp_path / "runs/tiny/seed-0", tmp_path / "runs/tiny/seed-1"
    tool("sweep.py", file, "tiny", "--seeds", 0, "--work-dir", "runs")
    before = (first / "results.json").stat().st_mtime_ns

    # a process of its own goes on with the next seed, and is killed while that trains
    command = [sys.executable, "-W", "ignore", str(ROOT / "tools/sweep.py"), str(file), "--work-dir", "runs"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tiny_config.parent), str(ROOT)])}
    options = dict(cwd=tmp_path, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
    with subprocess.Popen(command, **options) as process:
        try:
            deadline = time.monotonic() + 300
            while not (second / "train").exists():
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert not (second / "results.json").exists()

    capsys.readouterr()
    tool("sweep.py", file, "--work-dir", "runs", "--out", "out")
    assert (first / "results.json").stat().st_mtime_ns == before
    output = capsys.readouterr().out
    assert output.startswith("tiny, seed 0: skipped (was finished before)\n")
    assert "tiny, seed 1: finished (last checkpoint, epoch_1.pth)\n" in output

    rows = {(row["cell"], row["metric"]): row for row in csv.DictReader((tmp_path / "out/table.csv").open())}
    table, latex = ((tmp_path / f"out/table.{ending}").read_text() for ending in ("md", "tex"))
    assert set(rows) == {(cell, metric) for cell in ("tiny", "tiny_batch-6") for metric in METRICS}
    for (cell, metric), row in rows.items():
        results = [json.loads((tmp_path / f"runs/{cell}/seed-{seed}/results.json").read_text()) for seed in (0, 1)]
        values = [result["metrics"][metric] for result in results]
        mean, std = sum(values) / 2, statistics.stdev(values)
        assert [float(row["mean"]), float(row["std"])] == pytest.approx([mean, std]) and row["n"] == "2"
        assert f"{mean:.2f} ± {std:.2f}" in table and rf"{mean:.2f} $\pm$ {std:.2f}" in latex
    assert rows["tiny_batch-6", "cls/top1"]["paper"] == "90.5" and rows["tiny", "cls/top1"]["paper"] == ""
    assert (tmp_path / "out/figure.png").stat().st_size > 5000 and (tmp_path / "out/figure.pdf").is_file()
    seeds = [(tmp_path / f"runs/tiny_batch-6/seed-{seed}/tiny_batch-6.py").read_text() for seed in (0, 1)]
    assert "seed=0" in seeds[0] and "seed=1" in seeds[1] and "batch_size=6" in seeds[0]

    # the same command again does nothing; another setting is refused, and a failed cell does not stop the other
    tool("sweep.py", file, "--work-dir", "runs")
    assert capsys.readouterr().out.count("skipped") == 4
    file.write_text(file.read_text().replace("'batch-6': 6", "'batch-6': 5"))
    with pytest.raises(SystemExit, match=r"2 of 4 runs failed: tiny_batch-6, seed 0; tiny_batch-6, seed 1"):
        tool("sweep.py", file, "--work-dir", "runs")
    output = capsys.readouterr().out
    assert output.count("tiny, seed 1: skipped") == 1
    assert "config.train_dataloader.batch_size (6 -> 5)" in output and "| tiny_batch-6 | 0 |" in output


PAGE = """
released = ['tiny']
tests = {'published': ['--protocol', 'wsol_v1', 'tscam', '--threshold', 'best', '--cfg-options', 'randomness.seed=7']}
page = dict(
    title='Tiny',
    text='Twelve pictures.',
    columns={'Cls@1': 'cls/top1', 'GT-known': 'loc/gt_known', 'V1': 'published/wsol_v1/max_box_acc'},
    against='tiny',
    metric='LocAccuracy',
    curves=('published', 'MaxBoxAcc'),
    images=2,
    names={'tiny_batch-6': 'six'})
"""

CALIBRATED = """
model = dict(
    init_cfg=dict(type='Pretrained', checkpoint={weights!r}),
    map_to_box=dict(_delete_=True, type='mmwsol.ContourBox', preset='tscam'))
val_evaluator = test_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(
        type='mmwsol.LocAccuracy', map_to_box='model',
        threshold=dict(grid=0.1, select_on='val', select_by='gt_known')),
    dict(type='mmwsol.LocBaselines'),
]
custom_hooks = [dict(type='mmwsol.ThresholdCalibrationHook')]
"""


def test_page(tiny_config, tool, quick, tmp_path, capsys, monkeypatch):
    """A benchmark: a cell as released, further tests, the page; only a test that changed is run again."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tiny_config.parent), str(ROOT)]))  # of the hook
    file = write_sweep(tiny_config, tmp_path)
    with (tmp_path / "tiny.py").open("a") as config:
        config.write(CALIBRATED.format(weights=str(tmp_path / "weights.pth")))
    init_default_scope("mmpretrain")
    model = MODELS.build(dict(Config.fromfile(tmp_path / "tiny.py").model, init_cfg=None))
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    plain = file.read_text()
    file.write_text(plain + PAGE)
    tool("sweep.py", file, "--work-dir", "runs", "--out", "out")
    page = (tmp_path / "out/page.md").read_text()

    def read(path):
        return json.loads((tmp_path / "runs" / path).read_text())

    def cells(name):
        return next(line for line in page.splitlines() if line.startswith(f"| {name} |")).strip("| ").split(" | ")

    assert not (tmp_path / "runs/tiny/seed-1").exists() and not (tmp_path / "runs/tiny/seed-0/train").exists()
    own, published = (read(f"tiny/seed-0/{name}.json")["metrics"] for name in ("results", "published"))
    figures = [own["cls/top1"], own["loc/gt_known"], published["wsol_v1/max_box_acc"]]
    assert cells("tiny")[:7] == ["tiny", "1", *(f"{figure:.1f}" for figure in figures), "0.0", "0.0"]
    cost = read("tiny_batch-6/cost.json")
    millions = f"{cost['parameters'] / 1e6:.2f} M"
    assert cells("tiny")[7:] == [millions, "–", "–", "–"]
    assert cells("six")[7:] == [millions, millions, f"{cost['train']:.2f}", f"{cost['predict']:.2f}"]
    whole = own["baseline/whole_frame_gt_known"]
    assert cells("whole frame")[3] == f"{whole:.1f}"

    hits = {}
    for run in ("tiny/seed-0", "tiny_batch-6/seed-0", "tiny_batch-6/seed-1"):
        images = read(f"{run}/results.json")["predictions"]
        hits[run] = [image["evaluated"]["LocAccuracy"]["iou"] >= 0.5 for image in images]
    base, *others = hits.values()
    pairs = [list(zip(base, other, strict=True)) for other in others]
    changes = [statistics.fmean(pair.count(change) for pair in pairs) for change in ((False, True), (True, False))]
    assert cells("six")[1] == "2" and cells("six")[5:7] == [f"{change:.1f}" for change in changes]
    assert "Not drawn" not in page
    for name in ("curves", "sheet"):
        assert f"]({name}.png)" in page and cv2.imread(str(tmp_path / f"out/{name}.png")) is not None

    run = tmp_path / "runs/tiny/seed-0"
    times = {path: path.stat().st_mtime_ns for path in run.glob("*.json")}
    file.write_text(plain + PAGE.replace("'best'", "'0.3'"))
    capsys.readouterr()
    (tmp_path / "out/page.md").unlink()
    tool("sweep.py", file, "tiny", "--work-dir", "runs", "--out", "out")
    said = capsys.readouterr().out
    assert "tiny, seed 0: finished (released checkpoint, weights.pth)" in said
    assert "The page of all cells: the same command without cells" in said and not (tmp_path / "out/page.md").exists()
    changed = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed - {"run.json"} == {"published.json", "published.options.json"}
    assert read("tiny/seed-0/published.json")["protocol"]["LocAccuracy"]["threshold"] == [0.3]
    (run / "published.options.json").unlink()  # a kill between results and options
    tool("sweep.py", file, "tiny", "--work-dir", "runs", "--out", "out")
    assert (run / "published.options.json").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("against='tiny'", "against='tony'"), "has no cell 'tony'; the nearest are: tiny"),
        (("title='Tiny',", ""), "page needs title"),
        (("images=2", "image=2"), "unknown key 'image' of page; the nearest are: images"),
        (("images=2", "images=0"), "page.images must be a number of photographs, got 0"),
        (("curves=('published'", "curves=('publisht'"), "must be a test, one of"),
        (("tests = {'published'", "tests = {'train'"), "tests: 'train' must be"),
    ],
)
def test_page_errors(change, message, tiny_config, tool, tmp_path):
    file = write_sweep(tiny_config, tmp_path)
    assert change[0] in PAGE
    file.write_text(file.read_text() + PAGE.replace(*change))
    with pytest.raises(SystemExit, match=message):
        tool("sweep.py", file, "--work-dir", "runs")


def test_failed_cell_is_named(tiny_config, tool, quick, tmp_path, capsys):
    file = write_sweep(tiny_config, tmp_path)
    options = ["--seeds", 3, "--cfg-options", "model.head.no_such_option=1"]
    with pytest.raises(SystemExit, match="1 of 1 runs failed: tiny, seed 3"):
        tool("sweep.py", file, "tiny", "--work-dir", "runs", *options)
    output = capsys.readouterr().out
    assert "train.py ended with 1" in output and "no_such_option" in output and "runs/tiny/seed-3/train.log" in output


def test_errors(tiny_config, tool, tmp_path):
    file = write_sweep(tiny_config, tmp_path)
    with pytest.raises(SystemExit, match=r"has no cell 'tiny_batch-7'; the nearest are: tiny_batch-6"):
        tool("sweep.py", file, "tiny_batch-7")
    with pytest.raises(SystemExit, match=r"randomness\.seed=.* use --seeds"):
        tool("sweep.py", file, "--cfg-options", "randomness.seed=1")
    (tmp_path / "tiny.py").unlink()
    with pytest.raises(SystemExit, match=r"FileNotFoundError: .*the base 'tiny\.py' is neither a file beside it nor"):
        tool("sweep.py", file)
    assert not (tmp_path / "work_dirs").exists()


def test_equal_first_stages_are_trained_once(tiny_config, tool, quick, tmp_path):
    """Methods that are compared share their pretraining; what comes out is what each gives alone."""
    stages = "stages = [dict(name='warm', train_cfg=dict(max_epochs=1)), dict(name='cam', {})]\n"
    for name, options in (("one", "train_cfg=dict(max_epochs=2)"), ("two", "train_cfg=dict(max_epochs=1)")):
        text = f"_base_ = {str(tiny_config)!r}\ntrain_dataloader = dict(num_workers=0)\n" + stages.format(options)
        (tmp_path / f"{name}.py").write_text(text + "custom_hooks = [dict(type='mmwsol.EpochSeedHook')]\n")
    file = tmp_path / "sweep.py"
    file.write_text("bases = ['one.py', 'two.py']\nseeds = [0, 1]\nmetrics = ['loc/gt_known']\n")
    tool("sweep.py", file, "--work-dir", "runs")
    tool("sweep.py", file, "two", "--work-dir", "alone")

    def read(path):
        return json.loads((tmp_path / path).read_text())

    for seed in (0, 1):
        first, second = (f"runs/{name}/seed-{seed}/train/warm/stage_complete.json" for name in ("one", "two"))
        assert read(first)["id"] == read(second)["id"] != read(second.replace("runs", "alone"))["id"]
        results = [read(f"{work_dir}/two/seed-{seed}/results.json") for work_dir in ("runs", "alone")]
        assert results[0]["metrics"] == results[1]["metrics"]
        assert results[0]["predictions"] == results[1]["predictions"]
    ids = {read(f"runs/one/seed-{seed}/train/warm/stage_complete.json")["id"] for seed in (0, 1)}
    assert len(ids) == 2


def test_stages_are_copied_with_those_before_them(tmp_path, monkeypatch):
    """A second stage comes from the run whose first stage it was trained behind."""
    stages = "stages = [dict(name='pre'), dict(name='mid'), dict(name='end')]\n"
    base = "model = dict(a=0, b=0)\ntrain_cfg = dict(max_epochs=1)\nrandomness = dict(seed=0)\n"
    (tmp_path / "net.py").write_text(base + stages)
    first, second = "{'x': dict(a=1), 'y': dict(a=2)}", "{'p': dict(b=1), 'q': dict(b=2)}"
    grid = f"grid = {{'stages.0.model': {first}, 'stages.1.model': {second}}}"
    (tmp_path / "sweep.py").write_text(f"base = 'net.py'\n{grid}\n")

    def train(run, gpus, lock):
        previous = None
        for stage in stage_configs(run.cfg):
            folder = run.folder / "train" / stage.name
            marker = read_marker(folder)
            if marker is None:
                folder.mkdir(parents=True)
                name = f"{run.cell.name}/{stage.name}"
                (folder / "stage_complete.json").write_text(json.dumps(dict(
                    stage=stage.name, id=name, previous_id=previous, last=None, best=None,
                    config=marked_settings(stage.cfg))))  # fmt: skip
                marker = read_marker(folder)
            assert marker["previous_id"] == previous
            previous = marker["id"]
        return ""

    monkeypatch.setattr("mmwsol.engine.sweeps._execute", train)
    runs = plan_runs(read_sweep(tmp_path / "sweep.py"), tmp_path / "runs")
    outcomes = [outcome for outcome in run_sweep(runs) if outcome.state != "started"]
    assert [outcome.state for outcome in outcomes] == ["finished"] * 4, outcomes
    ids = [read_marker(run.folder / "train/pre")["id"] for run in runs]
    assert ids == ["net_x_p/pre", "net_x_p/pre", "net_y_p/pre", "net_y_p/pre"]
