"""Numbers of LocLoc's training and evaluation that its code fixes: learning rates, boxes, overlaps, ground truth."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope

from mmwsol.engine.stages import stage_configs
from mmwsol.evaluation.functional import box_iou, gt_to_frame
from mmwsol.models.box_rules import ContourBox

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "locloc"
RATES = {
    "cub": {0: 1e-6, 1: 1e-6, 2: 1.58e-5, 5: 6.02e-5, 6: 7.459987e-5, 50: 4.352085e-5, 99: 1.006413e-5},
    "ilsvrc": {6: 1.465740e-4, 25: 8.439534e-5},
}


def stages(name: str) -> dict[str, Config]:
    return {stage.name: stage.cfg for stage in stage_configs(Config.fromfile(CONFIGS / f"locloc_deit-s_{name}.py"))}


@pytest.mark.parametrize("name", RATES)
def test_learning_rates_of_the_classifier(name):
    cfg = stages(name)["classifier"]
    init_default_scope(cfg.default_scope)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    scheduler = PARAM_SCHEDULERS.build(dict(cfg.param_scheduler, optimizer=optimizer))
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    for epoch, rate in RATES[name].items():
        assert rates[epoch] == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize(("name", "rate", "batch"), [("cub", 5e-4, 256), ("ilsvrc", 1e-3, 512)])
def test_generator_is_trained_at_a_constant_rate(name, rate, batch):
    cfg = stages(name)["generator"]
    assert cfg.optim_wrapper.optimizer.lr == rate == 1e-3 * batch / 512
    assert cfg.param_scheduler == [] and cfg.train_cfg.max_epochs == 20
    assert cfg.train_dataloader.batch_size == batch and cfg.train_dataloader.sampler.type == "DefaultSampler"


def test_one_dimensional_parameters_do_not_decay():
    cfg = stages("cub")["classifier"]
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3), torch.nn.LayerNorm(4))
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decays = {tuple(p.shape): group["weight_decay"] for group in groups for p in group["params"]}
    assert decays == {(3, 2, 1, 1): 0.05, (3,): 0.0, (4,): 0.0}


def test_boxes():
    rule = ContourBox(preset="locloc")
    blobs = np.zeros((8, 8), np.float32)
    blobs[2:5, 1:6] = 1
    blobs[6:, 7] = 1
    pixel = np.zeros((8, 8), np.float32)
    pixel[0, 0] = 1
    half = np.full((8, 8), 0.5, np.float32)
    half[0, 0] = 1  # 127 > int(.5 * 255) is false
    for scoremap, tau, box in (
        (blobs, 0.5, [1, 2, 6, 5]),
        (pixel, 0.5, [0, 0, 1, 1]),
        (np.zeros((8, 8), np.float32), 0.5, [0, 0, 1, 1]),
        (half, 0.5, [0, 0, 1, 1]),
        (half, 0.49, [0, 0, 8, 8]),
    ):
        assert rule.boxes(scoremap, tau)[0].tolist() == box
    square = np.zeros((112, 112), np.float32)
    square[28:84, 14:70] = 1
    row, column = np.mgrid[:112, :112]
    bump = np.exp(-(((row - 50) / 20) ** 2 + ((column - 70) / 12) ** 2)).astype(np.float32)
    for scoremap, tau, box in (
        (square, 0.45, [28, 56, 140, 168]),
        (square, 0.5, [28, 56, 140, 168]),
        (square, 0.53, [28, 56, 140, 168]),
        (bump, 0.5, [121, 68, 161, 134]),
        (bump, 0.45, [120, 65, 162, 137]),
        (bump, 0.52, [122, 69, 160, 133]),
        (bump, 0.3, [115, 57, 167, 145]),
    ):
        assert ContourBox(preset="locloc", threshold=tau)(scoremap[None], (224, 224))[0].tolist() == box


def test_overlap_and_ground_truth():
    assert box_iou([0, 0, 10, 10], [0, 0, 10, 5], plus_one=False)[0, 0] == 0.5
    assert box_iou([0, 0, 10, 10], [0, 0, 10, 5], plus_one=True)[0, 0] == pytest.approx(0.54545, abs=1e-5)
    for (width, height), (x, y, w, h), expected in (
        ((500, 335), (60, 27, 325, 304), [0, 4.63283582, 214.20895522, 224]),
        ((335, 500), (60, 27, 200, 304), [29.85074627, 0, 182.68656716, 172.94328358]),
    ):
        ours = gt_to_frame([x, y, x + w, y + h], (height, width), (224, 224), "short")[0]
        np.testing.assert_allclose(ours, expected, atol=1e-8)
