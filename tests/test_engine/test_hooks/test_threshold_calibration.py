"""The threshold chosen on val reaches the model, the checkpoints on disk, the test and every rank."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from ranks import run_ranks

from mmwsol.compat import load_checkpoint_file
from mmwsol.datasets import Shapes
from mmwsol.engine import ThresholdCalibrationHook
from mmwsol.evaluation.metrics import LocAccuracy

KEY = "map_to_box.threshold"
RULE = dict(type="mmwsol.ContourBox", preset="tscam")
SEARCH = dict(
    type="mmwsol.LocAccuracy",
    map_to_box=RULE,
    threshold=dict(grid=[0.2, 0.35, 0.57, 0.7, 0.8], select_by="gt_known", select_on="val"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("shapes"))
    for split in ("train", "val"):
        Shapes(data_root=folder, split=split, num_images=6, image_size=32)
    return folder


@pytest.fixture(autouse=True)
def one_thread_in_opencv():
    """OpenCV's own threads do not survive a fork and can block the child; mmengine's Runner turns them off too."""
    number = cv2.getNumThreads()
    cv2.setNumThreads(0)
    yield
    cv2.setNumThreads(number)


def config(data, work_dir, **settings) -> Config:
    pipeline = [dict(type="mmwsol.LoadImage"), dict(type="mmwsol.PackLocInputs")]
    loaders = {
        f"{split}_dataloader": dict(
            batch_size=2,
            num_workers=0,
            dataset=dict(
                type="mmwsol.Shapes",
                data_root=data,
                split="train" if split == "train" else "val",
                num_images=6,
                image_size=32,
                pipeline=pipeline,
            ),
            sampler=dict(type="DefaultSampler", shuffle=False),
        )
        for split in ("train", "val", "test")
    }
    base = dict(
        default_scope="mmpretrain",
        work_dir=str(work_dir),
        model=dict(
            type="mmwsol.ImageLocalizer",
            backbone=dict(
                type="mmwsol.TapViT",
                img_size=32,
                patch_size=8,
                arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=32),
            ),
            head=dict(type="mmwsol.ConvCAMHead", num_classes=10, in_channels=16),
            map_to_box=RULE,
        ),
        **loaders,
        val_evaluator=[SEARCH, dict(type="mmwsol.LocAccuracy", prefix="own")],
        test_evaluator=[SEARCH, dict(type="mmwsol.LocAccuracy", prefix="own")],
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=3e-2)),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        val_cfg=dict(),
        test_cfg=dict(),
        default_hooks=dict(
            checkpoint=dict(type="CheckpointHook", interval=1, save_best="loc/gt_known", rule="greater")
        ),
        custom_hooks=[dict(type="mmwsol.ThresholdCalibrationHook")],
        env_cfg=dict(dist_cfg=dict(backend="gloo")),
        randomness=dict(seed=0),
        log_level="ERROR",
    )
    return Config(base | settings)


def expected(runner) -> float:
    """Search once more by hand: the first best threshold of the validation set."""
    metric = LocAccuracy(**{k: v for k, v in SEARCH.items() if k != "type"})
    metric.start_search()
    model = runner.model.eval()
    with torch.no_grad():
        for batch in runner.val_dataloader:
            metric.process(None, [sample.to_dict() for sample in model.val_step(batch)])
    return metric.evaluate(6)["loc/threshold"]


def stored(path) -> float:
    return float(load_checkpoint_file(str(path))["state_dict"][KEY])


@pytest.mark.parametrize("rule", [RULE, dict(type="mmwsol.ComponentBox", preset="sat")])
def test_metrics_take_the_rule_of_the_model(data, tmp_path, rule):
    """map_to_box='model' gives the numbers of the same rule, written down, in validation and test."""
    values = []
    for name, given in (("model", "model"), ("written", rule)):
        search = dict(SEARCH, map_to_box=given)
        at_it = dict(type="mmwsol.MaxBoxAcc", map_to_box=given, threshold="model", prefix="calibrated")
        cfg = config(data, tmp_path / name, val_evaluator=[search], test_evaluator=[search, at_it])
        cfg.model.map_to_box = rule
        runner = Runner.from_cfg(cfg)
        runner.train()
        values.append((runner.message_hub.get_scalar("val/loc/threshold").current(), runner.test()))
        searching, at_model = runner.test_evaluator.metrics
        values[-1] += ({**searching.description, "name": ""}, at_model.description)
    assert values[0] == values[1]
    assert values[0][2]["box_rule"]["type"] == values[0][3]["box_rule"]["type"] == rule["type"].split(".")[1]


def test_the_rule_of_the_model_needs_the_hook(data, tmp_path):
    metrics = [
        dict(SEARCH, map_to_box="model", threshold=dict(grid=0.1, select_by="gt_known", select_on="test")),
        dict(type="mmwsol.MaxBoxAcc", map_to_box="model"),
    ]
    for metric in metrics:
        cfg = config(data, tmp_path, custom_hooks=[], test_evaluator=[metric])
        cfg.model.map_to_box = dict(RULE, threshold=0.2)
        with pytest.raises(ValueError, match="map_to_box='model' needs mmwsol.ThresholdCalibrationHook among"):
            Runner.from_cfg(cfg).test()
    with pytest.raises(ValueError, match=r"map_to_box='model' needs a search, threshold=dict\(grid"):
        LocAccuracy(map_to_box="model", threshold=0.3)
    with pytest.raises(ValueError, match="map_to_box must be the config of a box rule, 'model' or None, got 'modle'"):
        LocAccuracy(map_to_box="modle")


def test_checkpoints_hold_the_threshold_and_the_test_uses_it(data, tmp_path):
    runner = Runner.from_cfg(config(data, tmp_path))
    thresholds = []
    keep = runner.model.map_to_box.threshold
    spy = Hook()
    spy.after_val_epoch = lambda runner, metrics: thresholds.append(metrics["loc/threshold"])
    runner.register_hook(spy)
    runner.train()
    assert len(thresholds) == 2 and float(keep) == thresholds[-1] == expected(runner)
    assert keep.dtype == torch.float64
    [best] = tmp_path.glob("best_loc_gt_known_*.pth")
    assert stored(tmp_path / "epoch_1.pth") == thresholds[0]
    assert stored(tmp_path / "epoch_2.pth") == thresholds[1]
    assert stored(best) == thresholds[int(best.stem[-1]) - 1]
    assert not list(tmp_path.glob("*.amending"))
    assert load_checkpoint_file(str(tmp_path / "epoch_1.pth"))["optimizer"]["state"]

    # A new run from another threshold in memory: that of the file counts, at test and for load_from.
    path = tmp_path / "epoch_2.pth"
    content = load_checkpoint_file(str(path))
    content["state_dict"][KEY].fill_(0.35)
    torch.save(content, path)
    tester = Runner.from_cfg(config(data, tmp_path / "test", load_from=str(path)))
    values = tester.test()
    assert float(tester.model.map_to_box.threshold) == 0.35
    [searching, own] = tester.test_evaluator.metrics
    assert searching.description["threshold"] == own.description["threshold"] == 0.35
    assert searching.description["threshold_source"] == "best gt_known on the validation set"
    assert "loc/threshold" not in values
    assert values["loc/gt_known"] == values["own/gt_known"]
    assert searching.curve["gt_known"][1] == values["loc/gt_known"] and len(searching.curve["gt_known"]) == 5


def test_averaged_weights_carry_it_too(data, tmp_path):
    hooks = [dict(type="EMAHook", momentum=0.5), dict(type="mmwsol.ThresholdCalibrationHook")]
    runner = Runner.from_cfg(config(data, tmp_path, custom_hooks=hooks, train_cfg=dict(by_epoch=True, max_epochs=1)))
    runner.train()
    threshold = float(runner.model.map_to_box.threshold)
    assert threshold in SEARCH["threshold"]["grid"]
    for path in (tmp_path / "epoch_1.pth", *tmp_path.glob("best*.pth")):
        assert stored(path) == threshold, path
    ema = load_checkpoint_file(str(tmp_path / "epoch_1.pth"))["ema_state_dict"]
    assert float(ema[f"module.{KEY}"]) == threshold


def test_validation_alone_touches_no_file(data, tmp_path):
    runner = Runner.from_cfg(config(data, tmp_path, train_cfg=dict(by_epoch=True, max_epochs=1, val_interval=5)))
    runner.train()  # validates after the last epoch
    path = tmp_path / "epoch_1.pth"
    before = path.read_bytes()
    again = Runner.from_cfg(config(data, tmp_path / "val", load_from=str(path), default_hooks={}))
    again.val()
    assert float(again.model.map_to_box.threshold) == stored(path)
    assert path.read_bytes() == before


def test_the_checkpoint_of_the_original_stays(tmp_path):
    """The state of a copied run names the original's last checkpoint."""
    for name in ("original", "copied"):
        (tmp_path / name).mkdir()
        content = dict(meta=dict(epoch=1, iter=3), state_dict={KEY: torch.tensor(0.25)})
        torch.save(content, tmp_path / name / "epoch_1.pth")
    info = dict(last_ckpt=str(tmp_path / "original/epoch_1.pth"))
    hub = SimpleNamespace(runtime_info=info)
    runner = SimpleNamespace(message_hub=hub, work_dir=str(tmp_path / "copied"), hooks=[], epoch=1, iter=3)
    ThresholdCalibrationHook._amend(runner, 0.5)
    assert [stored(tmp_path / name / "epoch_1.pth") for name in ("original", "copied")] == [0.25, 0.5]
    runner.work_dir = str(tmp_path / "new")  # resumed from another folder: nothing of its own is there
    ThresholdCalibrationHook._amend(runner, 0.75)
    assert [stored(tmp_path / name / "epoch_1.pth") for name in ("original", "copied")] == [0.25, 0.5]


def test_wrong_configurations_are_named(data, tmp_path):
    def fails(message, **settings):
        with pytest.raises(ValueError, match=message):
            Runner.from_cfg(config(data, tmp_path, **settings)).train()

    fails("0 metrics of val_evaluator search", val_evaluator=[dict(type="mmwsol.LocAccuracy")])
    fails("2 metrics of val_evaluator search", val_evaluator=[SEARCH, dict(SEARCH, prefix="b")])
    other = dict(SEARCH, map_to_box=dict(type="mmwsol.ContourBox", preset="wsol"))
    fails("give both the same map_to_box", val_evaluator=[other])
    model = config(data, tmp_path).model
    model.map_to_box = dict(RULE, threshold=0.1)
    fails("was given a threshold", model=model)
    with pytest.raises(ValueError, match="has no threshold: give threshold=, or calibrate it on val"):
        Runner.from_cfg(config(data, tmp_path)).test()


def train_and_test(rank, folder, data):
    cfg = config(
        data, folder / "run", launcher="pytorch", model_wrapper_cfg=dict(type="mmwsol.CPUDistributedDataParallel")
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    values = runner.test()
    record = [float(runner.model.module.map_to_box.threshold), values["loc/gt_known"], values["own/gt_known"]]
    (folder / f"{rank}.json").write_text(json.dumps(record))


def test_two_ranks_agree(data, tmp_path):
    run_ranks(train_and_test, 2, tmp_path, data)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert first[0] in SEARCH["threshold"]["grid"] and first[1] == first[2]
    assert stored(tmp_path / "run/epoch_2.pth") == first[0]
