"""The batch of all ranks together, and each rank's share of it."""

from __future__ import annotations

import json

import pytest
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from ranks import run_ranks
from toy import toy_config

from mmwsol.engine.batch_size import rank_config
from mmwsol.engine.stages import run_stages, stage_configs
from mmwsol.utils.config import load_config


@HOOKS.register_module(force=True)
class BatchRecorder(Hook):
    """Write what a Runner trains with: its images an iteration, its learning rate, the totals in its config."""

    def __init__(self, path):
        self.path = path

    def before_train(self, runner):
        loader = runner.train_dataloader
        self.seen = dict(batch_size=loader.batch_size, iterations=len(loader), lr=runner.optim_wrapper.get_lr()["lr"])
        self.seen["config"] = [runner.cfg.train_dataloader.batch_size, runner.cfg.get("total_batch_size")]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen.setdefault("images", []).append(len(data_batch["inputs"]))

    def after_train(self, runner):
        with open(f"{self.path}_{runner.rank}.json", "w") as file:
            json.dump(self.seen, file)


def config(folder, total):
    cfg = toy_config(total_batch_size=total, auto_scale_lr=dict(base_batch_size=2, enable=True))
    cfg.train_dataloader.batch_size = total
    cfg.custom_hooks = [dict(type="BatchRecorder", path=str(folder / "seen"))]
    return cfg


def train_and_refuse(rank, folder):
    run_stages(stage_configs(config(folder, 4)), folder / "run")
    cfg = config(folder, 3)
    cfg.stages = [dict(name="even", total_batch_size=2), dict(name="odd")]
    with pytest.raises(ValueError, match="total_batch_size=3 cannot be divided by 2 ranks.*total_batch_size=2 or 4"):
        run_stages(stage_configs(cfg), folder / "odd")
    assert not (folder / "odd").exists()  # before the stage that could be run


def test_two_ranks_share_the_batch(tmp_path):
    run_ranks(train_and_refuse, 2, tmp_path)
    for rank in range(2):
        seen = json.loads((tmp_path / f"seen_{rank}.json").read_text())
        assert seen["batch_size"] == 2 and seen["images"] == [2] and seen["iterations"] == 1
        # The rate is that of the whole batch. The config of a rank is one of mmengine, with the batch of one process.
        assert seen["lr"] == [pytest.approx(0.02)] and seen["config"] == [2, None]


def test_one_process_has_the_whole_batch(tmp_path):
    assert get_world_size() == 1
    run_stages(stage_configs(config(tmp_path, 4)), tmp_path / "run")
    seen = json.loads((tmp_path / "seen_0.json").read_text())
    assert seen["batch_size"] == 4 and seen["lr"] == [pytest.approx(0.02)] and seen["config"] == [4, 4]


@pytest.mark.parametrize(
    ("total", "batch_size", "ranks", "message"),
    [
        (128, 128, 3, "total_batch_size=128 cannot be divided by 3 ranks.*total_batch_size=126 or 129"),
        (2, 2, 4, "total_batch_size=2 cannot be divided by 4 ranks.*total_batch_size=4,"),
        (128, 64, 2, "train_dataloader.batch_size=64 differs from total_batch_size=128"),
        ("128", "128", 2, "total_batch_size must be a positive integer, got '128'"),
        (0, 0, 1, "total_batch_size must be a positive integer, got 0"),
    ],
)
def test_errors(total, batch_size, ranks, message):
    with pytest.raises(ValueError, match=message):
        rank_config(Config(dict(total_batch_size=total, train_dataloader=dict(batch_size=batch_size))), ranks)


def test_without_a_total_the_batch_is_that_of_a_process():
    cfg = Config(dict(train_dataloader=dict(batch_size=5)))
    assert rank_config(cfg, 3) is cfg
    assert rank_config(Config(dict(total_batch_size=5)), 3).total_batch_size == 5  # nothing is trained


@pytest.mark.parametrize(
    ("name", "per_gpu", "rate"),
    [
        # images a GPU and --lr of the official command lines, all on 4 GPUs; the codes multiply --lr by batch / 512
        ("catr_deit-s_cub_official", 128, 5e-5),
        ("catr_deit-s_ilsvrc_official", 128, 5e-4),
        ("cdtr_deit-s_cub_official", 128, 5e-5),
        ("cdtr_deit-s_ilsvrc_official", 64, 5e-4),
    ],
)
def test_official_configs_on_the_official_number_of_gpus(name, per_gpu, rate):
    [stage] = stage_configs(load_config(name))
    assert rank_config(stage.cfg, 4).train_dataloader.batch_size == per_gpu
    assert stage.cfg.optim_wrapper.optimizer.lr == pytest.approx(rate * per_gpu * 4 / 512)
    assert stage.cfg.auto_scale_lr.base_batch_size == 4 * per_gpu  # --auto-scale-lr changes nothing


def test_the_command_line_sets_the_batch():
    cfg = load_config("ts-cam_deit-s_cub", {"total_batch_size": 64})
    assert rank_config(cfg, 2).train_dataloader.batch_size == 32
    with pytest.raises(ValueError, match="train_dataloader.batch_size=64 contradicts total_batch_size=128"):
        load_config("ts-cam_deit-s_cub", {"train_dataloader.batch_size": 64})
