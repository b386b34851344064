"""The command ``mmwsol`` as the door to the tools, in a checkout and in a wheel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmwsol.__main__ import TOOLS, main

ROOT = Path(__file__).resolve().parents[2]

# What a user of the wheel writes in an empty folder.
MINE = """_base_ = 'mmwsol::ts-cam/ts-cam_small-vit_tiny-imagenet-20.py'
dataset = dict(
    type='mmwsol.Shapes', data_root='shapes', num_images=4, image_size=64, pipeline={{_base_.test_pipeline}},
    _delete_=True)
stages = None
model = dict(head=dict(num_classes=10))
train_cfg = dict(max_epochs=1)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dataset)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(split='val', test_mode=True, **dataset))
test_dataloader = val_dataloader
total_batch_size = 2
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Lay out the package as its wheel does: what pyproject.toml includes, and nothing of the checkout."""
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    site = tmp_path_factory.mktemp("site-packages")
    for source, target in {**{name: name for name in build["packages"]}, **build["force-include"]}.items():
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copyfile
        copy(ROOT / source, site / target)
    return site


@pytest.mark.parametrize("name", TOOLS)
def test_help(name, capsys, monkeypatch):
    """Every tool answers under its name in the command."""
    monkeypatch.setattr(sys, "argv", ["mmwsol"])
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert not end.value.code
    assert f"usage: mmwsol {name} " in capsys.readouterr().out


def test_all_are_listed(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"    {name} " in shown for name in [*TOOLS, "infer", "list", "doctor"])


def test_wheel(installed, tmp_path):
    """Train and test in an empty folder, over a config of the wheel."""
    (tmp_path / "mine.py").write_text(MINE)
    env = {**os.environ, "PYTHONPATH": str(installed), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}

    def run(*words):
        command = [sys.executable, "-m", "mmwsol", *words]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    run("train", "mine.py")
    run("test", "mine.py", "work_dirs/mine/epoch_1.pth", "--out", "results.json")
    assert "loc/gt_known" in json.loads((tmp_path / "results.json").read_text())["metrics"]


def test_errors_name_the_command(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mmwsol"])
    with pytest.raises(SystemExit) as end:
        main(["train", "ts-cam_deit-s_cup"])
    assert "ts-cam_deit-s_cub" in str(end.value)
    with pytest.raises(SystemExit):
        main(["test"])
    assert "mmwsol test: error: the following arguments are required" in capsys.readouterr().err
