"""The SAT configs train what the paper and the official code train: parameters, decay groups, frozen parts, rates."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmwsol.engine.stages import stage_configs
from mmwsol.registry import MODELS
from mmwsol.utils.config import load_config


def config(name: str) -> Config:
    return load_config(name.rpartition("/")[2])


def build(cfg: Config) -> torch.nn.Module:
    """Build the whole model without its weights."""
    init_default_scope(cfg.default_scope)
    cfg.model.init_cfg = None
    with torch.device("meta"):
        return MODELS.build(cfg.model)


def count(parameters) -> int:
    return sum(parameter.numel() for parameter in parameters)


@pytest.mark.parametrize(
    ("arch", "cub", "ilsvrc"),
    [("t", 5_870_600, 7_253_800), ("s", 22_357_832, 25_123_432), ("b", 87_182_792, 92_713_192)],
)
def test_number_of_parameters(arch, cub, ilsvrc):
    cfg = config(f"sat/sat_deit-{arch}_cub")
    assert count(build(cfg).parameters()) == cub
    cfg.model.head.num_classes = 1000
    assert count(build(cfg).parameters()) == ilsvrc


def test_tokens_and_position_embeddings_decay():
    cfg = config("sat/sat_deit-s_cub")
    model = build(cfg)
    optim = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {0.05: [], 0.0: []}
    for group in optim.param_groups:
        assert group["lr"] == 1e-4 and group["betas"] == (0.9, 0.999) and group["eps"] == 1e-8
        groups[group["weight_decay"]] += group["params"]
    assert (len(groups[0.05]), count(groups[0.05])) == (54, 22_296_576)
    assert (len(groups[0.0]), count(groups[0.0])) == (100, 61_256)
    decayed = {names[id(parameter)] for parameter in groups[0.05]}
    assert {f"backbone.{name}" for name in ("cls_token", "loc_token", "pos_embed", "loc_embed")} <= decayed


@pytest.mark.parametrize(
    ("row", "frozen", "cub_rate", "ilsvrc_rate"),
    [("b", 5_322_240, 24, 21), ("c", 10_634_112, 48, 42), ("d", 15_970_176, 71, 64), ("e", 20_329_344, 91, 81)],
)
def test_frozen_parts_of_table_8(row, frozen, cub_rate, ilsvrc_rate):
    for data, rate in (("cub", cub_rate), ("ilsvrc", ilsvrc_rate)):
        name = f"sat_deit-s_{data}_freeze-{row}"
        parameters = list(build(config(f"sat/{name}")).parameters())
        assert count(p for p in parameters if not p.requires_grad) == frozen
        assert round(100 * frozen / count(parameters)) == rate
        for shots in (1, 3, 5, 10):
            few = config(f"sat_deit-s_{data}_{shots}-shot_freeze-{row}")
            assert few.model == config(f"sat/{name}").model
            assert few.train_dataloader.dataset.dataset.k_shot == shots


@pytest.mark.parametrize(
    ("name", "rate", "epochs", "batch", "target", "sync", "threshold"),
    [("cub", 1e-4, 30, 256, 0.25, True, 0.4), ("ilsvrc", 1.5e-5, 5, 512, 0.35, False, 0.3)],
)
def test_schedule(name, rate, epochs, batch, target, sync, threshold):
    cfg = config(f"sat/sat_deit-s_{name}")
    assert cfg.optim_wrapper.optimizer.lr == rate and cfg.param_scheduler == []  # the same rate to the end
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == batch
    assert cfg.train_dataloader.get("drop_last", False) == (name == "ilsvrc")
    area, norm = cfg.model.head.map_losses.loss_area, cfg.model.head.map_losses.loss_norm
    assert (area.target, area.sync, area.get("loss_weight", 1)) == (target, sync, 1)
    assert (norm.kernel, norm.kernel_size, norm.sigma, norm.get("loss_weight", 1)) == ("nsig", 3, 6, 1)
    assert cfg.model.map_to_box.threshold == threshold and cfg.test_evaluator[-1].threshold == "model"
    cropped = [t.type for t in cfg.test_dataloader.dataset.pipeline]
    assert cropped == ["mmwsol.LoadImage", "mmwsol.Resize", "mmwsol.CenterCrop", "mmwsol.PackLocInputs"]
    assert cfg.test_dataloader.dataset.pipeline == cfg.val_dataloader.dataset.pipeline


@pytest.mark.parametrize(
    ("ours", "tscam"),
    [
        ("quickstart/sat_small-vit_shapes", "quickstart/ts-cam_small-vit_shapes"),
        ("sat/sat_small-vit_tiny-imagenet-20", "ts-cam/ts-cam_small-vit_tiny-imagenet-20"),
    ],
)
def test_small_runs_compare_with_ts_cam(ours, tscam):
    """The same first stage, then the same epochs, rates and data."""
    (first, second), (their_first, their_second) = (stage_configs(config(name)) for name in (ours, tscam))
    assert first.name == their_first.name and first.cfg.to_dict() == their_first.cfg.to_dict()
    second.cfg.model = their_second.cfg.model
    assert second.cfg.to_dict() == their_second.cfg.to_dict()
