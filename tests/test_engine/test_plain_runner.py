"""A config of several stages in a plain Runner, and in run_stages as a notebook calls it."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from toy import toy_config

from mmwsol.compat import load_checkpoint_file
from mmwsol.engine import run_stages, stage_configs

HOOK = dict(stages=dict(type="mmwsol.StagesHook"))
STAGES = [dict(name="first"), dict(name="last", optim_wrapper=dict(optimizer=dict(lr=0.0)))]
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("method", ["train", "val", "test"])
def test_plain_runner_is_stopped(tmp_path, method):
    cfg = toy_config(default_hooks=HOOK, stages=STAGES, work_dir=str(tmp_path))
    cfg.setdefault("test_dataloader", cfg.val_dataloader)
    cfg.setdefault("test_evaluator", cfg.val_evaluator)
    cfg.setdefault("test_cfg", dict())
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match="stages first, last, and a plain Runner would run none of them: train with"):
        getattr(runner, method)()
    assert not list(tmp_path.glob("*.pth"))


def test_the_stages_and_configs_without_any_run(tmp_path):
    cfg = toy_config(default_hooks=HOOK, stages=STAGES, work_dir=str(tmp_path / "staged"))
    found = run_stages(cfg)  # in its work_dir
    assert list(found) == ["first", "last"] and Path(found["last"]).parent == tmp_path / "staged" / "last"
    assert "state_dict" in load_checkpoint_file(found["last"])
    Runner.from_cfg(toy_config(default_hooks=HOOK, work_dir=str(tmp_path / "plain"))).train()
    assert list((tmp_path / "plain").glob("epoch_*.pth"))


def test_work_dir_of_run_stages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = toy_config(stages=STAGES)
    cfg.pop("work_dir", None)
    with pytest.raises(ValueError, match="comes from no file and has no work_dir: give run_stages a work_dir"):
        run_stages(Config(cfg.to_dict()))
    Path("mine.py").write_text(cfg.pretty_text)
    run_stages(Config(cfg.to_dict(), filename="mine.py"))
    assert (tmp_path / "work_dirs/mine/last/stage_complete.json").is_file()


def test_every_config_of_ours_has_it():
    cfg = Config.fromfile(ROOT / "configs/quickstart/sat_small-vit_shapes.py")
    assert cfg.stages and cfg.default_hooks.stages.type == "mmwsol.StagesHook"
    assert all("stages" not in stage.cfg for stage in stage_configs(cfg))
