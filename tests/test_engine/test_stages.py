"""Stages: merging, order, skipping, resuming, and what is refused."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from toy import toy_config

from mmwsol.compat import load_checkpoint_file
from mmwsol.engine.last_checkpoint import latest_checkpoint
from mmwsol.engine.stage_markers import MARKER
from mmwsol.engine.stages import run_stages, select_stage, stage_configs
from mmwsol.utils.config import merge_options

TWO = [
    dict(name="first"),
    dict(name="second", optim_wrapper=dict(optimizer=dict(lr=0.0)), train_cfg=dict(max_epochs=2)),
]


def two_stages(**changes):
    return stage_configs(toy_config(stages=copy.deepcopy(TWO), **changes))


def weights(path):
    return load_checkpoint_file(str(path))["state_dict"]


def test_merge_follows_the_rules_of_configs():
    cfg = Config(
        dict(
            model=dict(type="A", head=dict(type="H", x=1), neck=dict(type="N", y=2)),
            hooks=[1, 2],
            load_from="pretrained.pth",
            stages=[
                dict(name="one", model=dict(head=dict(x=5))),
                dict(name="two", init_from="best", model=dict(neck=dict(_delete_=True, type="M")), hooks=[3]),
                dict(name="three", load_from="own.pth"),
            ],
        )
    )
    text = cfg.pretty_text
    one, two, three = stage_configs(cfg)
    assert cfg.pretty_text == text
    assert one.cfg.model.to_dict() == dict(type="A", head=dict(type="H", x=5), neck=dict(type="N", y=2))
    assert two.cfg.model.to_dict() == dict(type="A", head=dict(type="H", x=1), neck=dict(type="M"))
    assert (one.cfg.hooks, two.cfg.hooks) == ([1, 2], [3])
    assert "stages" not in one.cfg
    assert [s.init_from for s in (one, two, three)] == ["none", "best", "none"]
    assert [s.cfg.load_from for s in (one, two, three)] == ["pretrained.pth", None, "own.pth"]
    # the command line wins over the overrides of a stage
    options = {"model.head.x": 9, "stages.1.hooks": [4]}
    cfg.merge_from_dict(options)
    one, two, three = stage_configs(cfg, options)
    assert [s.cfg.model.head.x for s in (one, two, three)] == [9, 9, 9]
    assert [s.cfg.hooks for s in (one, two, three)] == [[1, 2], [4], [1, 2]]


STAGED = dict(
    total_batch_size=8,
    train_dataloader=dict(batch_size=8),
    model=dict(type="A", head=dict(type="H", x=1)),
    train_cfg=dict(by_epoch=True, max_epochs=3),
    stages=[
        dict(name="masks", total_batch_size=4, train_cfg=dict(_delete_=True, type="Offline")),
        dict(name="train", model=dict(head=dict(decoder=dict(width=2)))),
    ],
)


def with_options(**options):
    """The stages of STAGED as the tools make them; ``__`` stands for a dot."""
    options = {key.replace("__", "."): value for key, value in options.items()}
    cfg = Config(copy.deepcopy(STAGED))
    merge_options(cfg, options)
    return [stage.cfg for stage in stage_configs(cfg, options)]


def test_options_reach_the_stages_that_have_the_key():
    masks, train = with_options(train_cfg__max_epochs=1)
    assert masks.train_cfg == dict(type="Offline")
    assert train.train_cfg == dict(by_epoch=True, max_epochs=1)
    masks, train = with_options(model__head__decoder__width=5)
    assert "decoder" not in masks.model.head and train.model.head.decoder.width == 5
    # a new setting of a part goes to the stages that have the part, in any place if it is the Runner's own
    masks, train = with_options(model__head__decoder__bias=True)
    assert "decoder" not in masks.model.head and train.model.head.decoder == dict(width=2, bias=True)
    masks, train = with_options(auto_scale_lr__base_batch_size=2, resume=True)
    assert masks.auto_scale_lr == train.auto_scale_lr == dict(base_batch_size=2)
    assert masks.resume is train.resume is True
    # a new part has a type
    for cfg in with_options(model__init_cfg__checkpoint="a.pth", model__init_cfg__type="Pretrained"):
        assert cfg.model.init_cfg == dict(type="Pretrained", checkpoint="a.pth")


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        (
            "model__head__decodr__width",
            ["in masks, model.head has type, x;", "in train, model.head has decoder,"],
        ),
        ("model__head__x__y", ["in masks, train, model.head.x is 1"]),
        ("total_batch_sise", ["in masks, the config has model, total_batch_size, train_cfg, train_dataloader"]),
        ("optm_wrapper__optimizer__lr", ["the config has model,"]),
    ],
)
def test_options_that_reach_no_stage(key, parts):
    with pytest.raises(ValueError, match="--cfg-options .*: no stage has this key") as error:
        with_options(**{key: 1})
    for part in parts:
        assert part in str(error.value)


def test_batch_size_of_stages():
    assert [c.train_dataloader.batch_size for c in with_options()] == [4, 8]
    assert [c.train_dataloader.batch_size for c in with_options(total_batch_size=6)] == [6, 6]
    assert [c.train_dataloader.batch_size for c in with_options(stages__0__total_batch_size=2)] == [2, 8]
    with pytest.raises(ValueError, match="train_dataloader.batch_size=2 contradicts total_batch_size=8"):
        with_options(train_dataloader__batch_size=2)
    with pytest.raises(ValueError, match="batch_size=2 contradicts total_batch_size=6"):
        with_options(train_dataloader__batch_size=2, total_batch_size=6)
    both = dict(name="a", total_batch_size=4, train_dataloader=dict(batch_size=2))
    with pytest.raises(ValueError, match="stage 'a' has total_batch_size=4 and train_dataloader.batch_size=2"):
        stage_configs(Config(dict(STAGED, stages=[both])))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([dict(model=1)], r"stages\[0\].name must be a folder name, got None"),
        ([dict(name="a/b")], "got 'a/b'"),
        ([dict(name="a"), dict(name="a")], "two stages are called 'a'"),
        ([dict(name="a"), dict(name="b", init_from="first")], "init_from of stage 'b'"),
    ],
)
def test_bad_stages(stages, message):
    with pytest.raises(ValueError, match=message):
        stage_configs(Config(dict(stages=stages)))


def test_select_stage():
    stages = two_stages()
    assert select_stage(stages, None).name == "second"
    assert select_stage(stages, "first").name == "first"
    with pytest.raises(ValueError, match="no such stage; this config has first, second"):
        select_stage(stages, "frist")
    with pytest.raises(ValueError, match="this config has no stages"):
        select_stage(stage_configs(toy_config()), "first")


def test_run_skip_and_refuse(tmp_path):
    checkpoints = run_stages(two_stages(), tmp_path)
    assert checkpoints == {
        "first": str(tmp_path / "first/epoch_1.pth"),
        "second": str(tmp_path / "second/epoch_2.pth"),
    }
    before, after = weights(checkpoints["first"]), weights(checkpoints["second"])
    for name, value in before.items():  # lr=0: the second stage ends where it started
        assert torch.equal(value, after[name])
    logs = sorted(p.name for p in (tmp_path / "second").rglob("*.log"))
    assert len(logs) == 1

    # complete stages are not run again, also after a move and with other settings of no weight
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("first", "second"):
        shutil.move(tmp_path / name, moved / name)
    stamp = (moved / "second/epoch_2.pth").stat().st_mtime_ns
    again = two_stages(env_cfg=dict(dist_cfg=dict(backend="gloo")))
    assert run_stages(again, moved)["second"] == str(moved / "second/epoch_2.pth")
    assert run_stages(again, moved, only="second")["second"] is not None
    assert (moved / "second/epoch_2.pth").stat().st_mtime_ns == stamp

    # a changed config is refused by name of the setting, with a way out
    changed = two_stages()
    changed[0].cfg.optim_wrapper.optimizer.lr = 0.5
    with pytest.raises(ValueError) as error:
        run_stages(changed, moved)
    for part in ("'first'", "optim_wrapper.optimizer.lr (0.01 -> 0.5)", "Delete", "--work-dir"):
        assert part in str(error.value)
    run_stages(changed, moved, only="second")  # asked for: goes on with the old one

    # a first stage that was trained anew makes the second one stale
    shutil.rmtree(moved / "first")
    with pytest.raises(ValueError, match="'second' .* was trained before stage 'first' was run again"):
        run_stages(two_stages(), moved)


def test_one_stage_needs_the_one_before(tmp_path):
    with pytest.raises(ValueError, match="'second' starts from stage 'first', which is not complete"):
        run_stages(two_stages(), tmp_path, only="second")
    run_stages(two_stages(), tmp_path, only="first")
    assert not (tmp_path / "second").exists()
    Path(tmp_path / "first/epoch_1.pth").unlink()
    with pytest.raises(ValueError, match="epoch_1.pth does not exist"):
        run_stages(two_stages(), tmp_path)


def test_resume_path_of_another_stage(tmp_path):
    run_stages(two_stages(), tmp_path, only="first")
    path = str(tmp_path / "first/epoch_1.pth")
    with pytest.raises(ValueError, match="belongs to stage 'first'"):
        run_stages(two_stages(), tmp_path, resume=path)
    with pytest.raises(FileNotFoundError, match="--resume nowhere.pth"):
        run_stages(two_stages(), tmp_path, resume="nowhere.pth")


def test_best_checkpoint_and_preparation(tmp_path):
    """A loop that saves nothing hands on the weights it got; 'best' is what save_best wrote."""
    stages = [
        dict(name="first", default_hooks=dict(checkpoint=dict(type="CheckpointHook", save_best="toy/acc"))),
        dict(name="masks", init_from="best", train_cfg=dict(_delete_=True, type="StageToyPreparation")),
        dict(name="last", init_from="last", optim_wrapper=dict(optimizer=dict(lr=0.0))),
    ]
    checkpoints = run_stages(stage_configs(toy_config(stages=stages)), tmp_path)
    best = str(tmp_path / "first/best_toy_acc_epoch_1.pth")
    assert checkpoints["masks"] == best
    assert torch.equal(weights(checkpoints["last"])["head.weight"], weights(best)["head.weight"])
    assert json.loads((tmp_path / "first" / MARKER).read_text())["best"] == Path(best).name

    stages = [dict(name="first"), dict(name="second", init_from="best")]
    with pytest.raises(ValueError, match="best checkpoint of stage 'first'.*Set default_hooks.checkpoint.save_best"):
        run_stages(stage_configs(toy_config(stages=stages)), tmp_path / "other")


def test_resume_repeats_the_uninterrupted_run(tmp_path):
    """Plain config; needs EpochSeedHook, since data and model are random."""
    cfg = toy_config()
    cfg.train_cfg.max_epochs = 3
    whole = weights(run_stages(stage_configs(cfg), tmp_path / "whole")[""])
    part = tmp_path / "part"
    run_stages(stage_configs(cfg), part)
    (part / "epoch_3.pth").unlink()
    (part / "epoch_2.pth").write_bytes((part / "epoch_2.pth").read_bytes()[:-100])  # killed while writing
    assert latest_checkpoint(part) == str(part / "epoch_1.pth")
    torch.rand(7)  # another random state than at the start
    again = weights(run_stages(stage_configs(cfg), part, resume="auto")[""])
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name
    assert latest_checkpoint(tmp_path / "nothing") is None


def test_names_that_only_helped_to_write_a_config_may_change(tmp_path):
    run_stages(two_stages(second_pipeline=[dict(type="A")]), tmp_path)
    stamp = (tmp_path / "second/epoch_2.pth").stat().st_mtime_ns
    run_stages(two_stages(second_pipeline=[dict(type="B")], data_root="elsewhere"), tmp_path)
    assert (tmp_path / "second/epoch_2.pth").stat().st_mtime_ns == stamp
