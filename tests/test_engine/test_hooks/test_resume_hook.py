"""Resuming under changed facts, from cut checkpoints, and beside other runs' files."""

from __future__ import annotations

import copy
import shutil
import uuid

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from toy_run import toy_settings

from mmwsol.compat import load_checkpoint_file
from mmwsol.engine.hooks.resume_hook import check_tensors
from mmwsol.engine.stages import run_stages, stage_configs


def run(folder, resume=None, **options):
    cfg = Config(copy.deepcopy(toy_settings()))
    cfg.merge_from_dict(options)
    cfg.experiment_name = uuid.uuid4().hex  # mmengine keeps message hubs by name
    return run_stages(stage_configs(cfg), folder, resume)[""]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two epochs with a cosine."""
    folder = tmp_path_factory.mktemp("trained")
    run(folder)
    return folder


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train_dataloader.batch_size": 4}, "total batch size 2 -> 4; iterations per epoch 2 -> 1"),
        (
            {"optim_wrapper.optimizer.lr": 0.5},
            r"base_values \[0.01\] -> \[0.5\].*initial_lr of the optimizer 0.01 -> 0.5",
        ),
        ({"train_cfg.max_epochs": 4}, r"CosineAnnealingLR\) T_max 4 -> 8"),
        ({"randomness.seed": 7}, "seed 1 -> 7"),
        ({"param_scheduler": []}, "1 -> 0 parts of param_scheduler"),
        ({"optim_wrapper.accumulative_counts": 2}, "accumulative counts 1 -> 2"),
    ],
)
def test_changed_facts_are_refused(trained, tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        run(tmp_path / "b", str(trained / "epoch_1.pth"), **options)


def test_what_is_right_goes_on(trained, tmp_path):
    again = run(tmp_path / "b", str(trained / "epoch_1.pth"), **{"randomness.seed": None})
    ours, theirs = (load_checkpoint_file(str(path))["state_dict"] for path in (again, trained / "epoch_2.pth"))
    for name in ours:  # the seed of the checkpoint counts
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=0)


def test_longer_without_a_schedule(tmp_path):
    run(tmp_path, param_scheduler=None)
    assert run(tmp_path, "auto", **{"param_scheduler": None, "train_cfg.max_epochs": 3}).endswith("epoch_3.pth")
    with pytest.raises(ValueError, match="has 3 epochs, .*max_epochs is 1"):
        run(tmp_path, "auto", **{"param_scheduler": None, "train_cfg.max_epochs": 1})


def test_files_of_another_run_stay(trained, tmp_path):
    before = {path.name: path.read_bytes() for path in trained.glob("*.pth")}
    assert any(name.startswith("best_") for name in before)
    run(tmp_path / "b", str(trained / "epoch_1.pth"))
    copied = tmp_path / "copied"
    shutil.copytree(trained, copied)
    (copied / "epoch_2.pth").unlink()  # last_checkpoint names that of the original
    assert run(copied, "auto") == str(copied / "epoch_2.pth")
    assert {path.name: path.read_bytes() for path in trained.glob("*.pth")} == before
    assert any(path.name.startswith("best_") for path in (tmp_path / "b").glob("*.pth"))


def test_no_checkpoint_left_is_said(trained, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(trained, copied)
    for path in copied.glob("epoch_*.pth"):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match="no epoch_.* that can be read"):
        run(copied, "auto")
    assert run(tmp_path / "new", "auto").endswith("epoch_2.pth")  # nothing was saved: from the start


def test_best_checkpoint_cannot_be_resumed(trained, tmp_path):
    (best,) = trained.glob("best_*.pth")
    with pytest.raises(ValueError, match="weights alone"):
        run(tmp_path / "b", str(best))


def test_cut_weights():
    init_default_scope("mmpretrain")
    arch = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=8)
    backbone = dict(type="mmwsol.TapViT", arch=arch, img_size=16, patch_size=8)
    head = dict(type="mmwsol.ConvCAMHead", num_classes=3, in_channels=8)
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    weights = model.state_dict()
    for complete in (True, False):
        check_tensors(model, dict(state_dict=weights), complete)
        few = dict(list(weights.items())[:5])
        with pytest.raises(ValueError, match=r"has only \d+ of the \d+ tensors .* random values"):
            check_tensors(model, dict(state_dict=few), complete)
    without_head = {name: value for name, value in weights.items() if name.startswith("backbone.")}
    check_tensors(model, dict(state_dict=without_head), complete=False)
    with pytest.raises(ValueError, match="tensors of the model"):
        check_tensors(model, dict(state_dict=without_head), complete=True)
