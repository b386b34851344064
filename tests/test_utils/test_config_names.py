"""Configs by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmwsol.utils import config as module
from mmwsol.utils.config import config_root, find_config, list_configs, load_config

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
