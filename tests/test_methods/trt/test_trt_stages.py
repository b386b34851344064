"""TRT's stages: one follows from the other, resuming changes nothing, and the last one changes the CAM branch alone."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS

from mmwsol.compat import load_checkpoint_file
from mmwsol.engine.stages import run_stages, stage_configs
from mmwsol.engine.wrappers import CPUDistributedDataParallel
from mmwsol.structures import LocDataSample

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
CAM = ("backbone.cam.", "head.cam_conv.")


class Stopped(Exception):
    """A run was stopped on purpose."""


@HOOKS.register_module(force=True)
class TRTWatchHook(Hook):
    """Stop where asked to, and note which parts drop paths."""

    stop_at: set[str] = set()
    dropping: dict[str, set[str]] = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        stage = runner.work_dir.split("/")[-1]
        for name, module in runner.model.named_modules():
            if getattr(module, "drop_prob", 0) > 0 and module.training:
                self.dropping.setdefault(stage, set()).add(".".join(name.split(".")[:2]))
        place = f"{stage}/{runner.iter}"
        if place in self.stop_at:
            self.stop_at.remove(place)
            raise Stopped(place)


def config(data_root) -> Config:
    pipeline = [dict(type="mmwsol.LoadImage"), dict(type="mmwsol.RandomFlip"), dict(type="mmwsol.PackLocInputs")]
    dataset = dict(type="mmwsol.Shapes", data_root=str(data_root), image_size=32, pipeline=pipeline)
    loader = dict(batch_size=4, num_workers=0, dataset=dict(dataset, split="train", num_images=12))
    trt = dict(type="mmwsol.TRTViT", tpsm=dict(u=0.6), cam_layer=-1)
    return Config(
        dict(
            default_scope="mmpretrain",
            model=dict(
                type="mmwsol.ImageLocalizer",
                backbone=dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8, drop_path_rate=0.3),
                head=dict(type="mmwsol.ClsTokenHead", num_classes=10, in_channels=16),
            ),
            train_dataloader=dict(loader, sampler=dict(type="DefaultSampler", shuffle=True)),
            train_cfg=dict(by_epoch=True, max_epochs=2),
            optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05)),
            param_scheduler=dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True),
            custom_hooks=[dict(type="mmwsol.EpochSeedHook"), dict(type="TRTWatchHook")],
            randomness=dict(seed=1),
            log_level="ERROR",
            stages=[
                dict(name="pretrain", train_cfg=dict(max_epochs=1)),
                dict(
                    name="tpsm",
                    model=dict(
                        backbone=dict(trt, with_cam=True),
                        head=dict(type="mmwsol.TRTHead", train_part="tpsm"),
                    ),
                ),
                dict(
                    name="cam",
                    model=dict(backbone=trt, head=dict(type="mmwsol.TRTHead", train_part="cam")),
                ),
            ],
        )
    )


def weights(path) -> dict[str, torch.Tensor]:
    return load_checkpoint_file(str(path))["state_dict"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Train all stages without a break: the config, the folder, what dropped paths."""
    folder = tmp_path_factory.mktemp("trt")
    cfg = config(folder / "shapes")
    TRTWatchHook.dropping = {}
    run_stages(stage_configs(cfg), folder / "run")
    return cfg, folder / "run", copy.deepcopy(TRTWatchHook.dropping)


def test_scoring_stage_carries_the_pretrained_block(whole):
    _, folder, _ = whole
    start, end = weights(folder / "pretrain/epoch_1.pth"), weights(folder / "tpsm/epoch_2.pth")
    copies = {"backbone.cam.block.": "backbone.layers.2.", "backbone.cam.norm.": "backbone.ln1."}
    carried = [name for name in end if name.startswith("backbone.cam.")]
    assert len(carried) == 14
    for name in carried:
        (branch,) = [branch for branch in copies if name.startswith(branch)]
        assert torch.equal(end[name], start[name.replace(branch, copies[branch])]), name
    moved = [name for name in end if name in start and not torch.equal(end[name], start[name])]
    assert {"backbone.cls_token", "backbone.layers.0.attn.qkv.weight", "head.fc.weight"} <= set(moved)


def test_last_stage_changes_the_cam_branch_alone(whole):
    _, folder, dropping = whole
    start, end = weights(folder / "tpsm/epoch_2.pth"), weights(folder / "cam/epoch_2.pth")
    assert set(end) - set(start) == {"head.cam_conv.weight", "head.cam_conv.bias"}
    assert set(start) <= set(end)
    for name, value in start.items():  # parameters and buffers
        assert torch.equal(value, end[name]) != name.startswith(CAM), name
    assert dropping["cam"] == {"backbone.cam"}
    assert {"backbone.layers", "backbone.last_block", "backbone.tpsm"} <= dropping["tpsm"]


def test_resuming_in_both_stages_changes_nothing(whole, tmp_path):
    cfg, folder, _ = whole
    TRTWatchHook.stop_at = {"tpsm/4", "cam/4"}  # 3 iterations an epoch: in the middle of the second
    with pytest.raises(Stopped, match="tpsm/4"):
        run_stages(stage_configs(cfg), tmp_path)
    with pytest.raises(Stopped, match="cam/4"):
        run_stages(stage_configs(cfg), tmp_path, resume="auto")
    assert not (tmp_path / "cam/epoch_2.pth").exists()
    run_stages(stage_configs(cfg), tmp_path, resume="auto")
    for stage in ("tpsm", "cam"):
        expected, resumed = (weights(f / stage / "epoch_2.pth") for f in (folder, tmp_path))
        assert expected.keys() == resumed.keys()
        for name, value in expected.items():
            assert torch.equal(value, resumed[name]), (stage, name)


@pytest.fixture
def one_rank(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def take_two_steps(part: str, thaw: str | None = None) -> None:
    """Train under DistributedDataParallel, which complains of unused parameters in the second step."""
    torch.manual_seed(0)
    backbone = dict(type="mmwsol.TRTViT", arch=ARCH, img_size=32, patch_size=8, with_cam=True)
    head = dict(type="mmwsol.TRTHead", num_classes=10, in_channels=16, train_part=part)
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    if thaw:
        model.get_submodule(thaw).requires_grad_(True)
    optim = build_optim_wrapper(model, dict(optimizer=dict(type="SGD", lr=0.1)))
    wrapped = CPUDistributedDataParallel(model).train()
    pictures = list(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    for _ in range(2):
        wrapped.train_step(dict(inputs=pictures, data_samples=[LocDataSample().set_gt_label(i) for i in (1, 2)]), optim)


@pytest.mark.parametrize("part", ["tpsm", "cam", "joint"])
def test_no_trained_parameter_is_unused(one_rank, part):
    take_two_steps(part)


@pytest.mark.parametrize(("part", "thaw"), [("tpsm", "backbone.cam"), ("cam", "backbone.tpsm"), ("cam", "head.fc")])
def test_without_freezing_there_would_be_unused_parameters(one_rank, part, thaw):
    with pytest.raises(RuntimeError, match="parameters that were not used in producing loss"):
        take_two_steps(part, thaw)
