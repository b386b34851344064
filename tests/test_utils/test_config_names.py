"""Configs by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmwsol.utils import config as module
from mmwsol.utils.config import config_root, find_config, list_configs, load_cell, load_config
from mmwsol.utils.sweep_files import read_sweep

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_names_of_the_checkout():
    names = list_configs()
    assert "ts-cam_deit-s_cub" in names
    assert "default_runtime" not in names
    assert "faster-rcnn_r50_cub" not in names  # of mmdet
    path = find_config("ts-cam_deit-s_cub")
    assert path == find_config("ts-cam_deit-s_cub.py") == find_config(path)
    assert path.is_relative_to(config_root())
    cfg = load_config("ts-cam_deit-s_cub", {"model.head.num_classes": 7})
    assert cfg.model.head.num_classes == 7


def test_unknown_names():
    with pytest.raises(FileNotFoundError, match="nearest are: .*ts-cam_deit-s_cub"):
        find_config("ts-cam_deit-s_cup")
    with pytest.raises(FileNotFoundError, match="'no/ts-cam_deit-s_cub.py' is neither"):
        find_config("no/ts-cam_deit-s_cub.py")  # a path is never guessed


def test_wheel(tmp_path, monkeypatch):
    """An installed package has its configs inside; a stray folder beside it is not taken."""
    package = tmp_path / "site-packages" / "mmwsol"
    (package / "utils").mkdir(parents=True)
    (tmp_path / "site-packages" / "configs").mkdir()
    monkeypatch.setattr(module, "__file__", str(package / "utils" / "config.py"))
    with pytest.raises(FileNotFoundError, match="no configs"):
        config_root()
    shutil.copytree(CONFIGS, package / ".mim" / "configs")
    assert config_root() == (package / ".mim" / "configs").resolve()
    assert find_config("ts-cam_deit-s_cub").is_relative_to(package)
    assert "ts-cam_deit-s_cub" in list_configs()


OWN = """_base_ = ['mmwsol::{name}']
model = dict(head=dict(num_classes=7))
width = {{{{_base_.model.head.in_channels}}}}
"""


@pytest.mark.parametrize("name", ["ts-cam/ts-cam_deit-s_cub.py", "ts-cam_deit-s_cub", "sat/sat_deit-s_cub.py"])
def test_base_from_any_folder(name, tmp_path, monkeypatch):
    """A config of the user names one of this package, folders with hyphens too, in our loader and in mmengine's."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OWN.format(name=name))
    shipped = load_config(Path(name).stem)
    for cfg in (load_config("mine.py"), Config.fromfile("mine.py")):
        assert cfg.model.head.num_classes == 7
        assert cfg.width == shipped.model.head.in_channels
        assert cfg.model.backbone == shipped.model.backbone
        assert cfg.train_dataloader == shipped.train_dataloader
        assert "_scope_" not in str(cfg)
    assert find_config(f"mmwsol::{name}") == find_config(Path(name).stem)
    assert load_config(f"mmwsol::{name}").to_dict() == shipped.to_dict()


FOREIGN = """import sys
from mmengine.config import Config
for name in ('plain.py', 'hyphen.py'):
    try:
        Config.fromfile(name)
    except Exception as error:
        print(error)
whole = Config.fromfile('whole.py')  # its custom_imports import mmwsol
print(whole.to_dict() == Config.fromfile('hyphen.py').to_dict(), len(Config.fromfile('plain.py')) > 10)
"""


def test_base_in_a_program_that_does_not_know_mmwsol(tmp_path):
    """mmengine alone refuses the base, as the README's table of errors says; a whole config, or an import, helps."""
    for name, base in (("plain", "sat/sat_deit-s_cub.py"), ("hyphen", "ts-cam/ts-cam_deit-s_cub.py")):
        (tmp_path / f"{name}.py").write_text(f"_base_ = ['mmwsol::{base}']\n")
    (tmp_path / "whole.py").write_text(load_config(tmp_path / "hyphen.py").pretty_text)
    environment = {**os.environ, "PYTHONPATH": str(CONFIGS.parent), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", FOREIGN], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    plain, hyphen, last = done.stdout.splitlines()
    assert "mmengine does not support to load mmwsol config" in plain
    assert "`_get_package_and_cfg_path`" in hyphen
    assert last == "True True"


def test_unknown_base(tmp_path):
    (tmp_path / "mine.py").write_text("_base_ = 'mmwsol::ts-cam/ts-cam_deit-s_cup.py'\n")
    with pytest.raises(FileNotFoundError, match="'mmwsol::ts-cam/ts-cam_deit-s_cup.py' .* ts-cam_deit-s_cub"):
        load_config(tmp_path / "mine.py")


def test_base_of_a_cell(tmp_path):
    """A sweep of the user, over a config of this package."""
    (tmp_path / "sweeps").mkdir()
    file = tmp_path / "sweeps" / "mine.py"
    file.write_text("base = 'mmwsol::sat/sat_deit-s_cub.py'\ngrid = {'total_batch_size': {'batch-8': 8}}\n")
    assert load_cell(read_sweep(file).cells[0]).total_batch_size == 8
