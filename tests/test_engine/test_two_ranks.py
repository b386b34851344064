"""Every method family on two ranks: as on one where the batch is the same, and always as one model on both."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from ranks import run_ranks

from mmwsol.compat import load_checkpoint_file
from mmwsol.datasets import Shapes
from mmwsol.engine.stages import run_stages, stage_configs
from mmwsol.utils.config import load_config

IMAGES, BATCH, SIZE = 8, 4, 64
ARCH = dict(embed_dims=24, num_layers=3, num_heads=4, feedforward_channels=48)
RANDOM = ("RandomFlip", "RevealRandomBox", "RandomCrop", "RandomResizedCrop", "ColorJitter")
# A config of every family, and whether a batch on two ranks is that on one: batch norm and drawn pixels differ.
SAME = {
    "ts-cam_small-vit_shapes": True,
    "sat_small-vit_shapes": True,
    "trt_small-vit_shapes": True,
    "cdtr_small-vit_shapes_noclip": False,
    "locloc_small-vit_shapes": False,
    "dips_small-vit_shapes": False,
}


@HOOKS.register_module(force=True)
class Witness(Hook):
    """Keep what a validation saw on this rank: statistics, and the map of a fixed picture."""

    def __init__(self, folder):
        self.folder = folder

    def before_val_epoch(self, runner):
        model = runner.model.module if hasattr(runner.model, "module") else runner.model
        training = model.training
        torch.manual_seed(5)
        with torch.no_grad():
            model.eval()
            image = torch.randn(1, 3, SIZE, SIZE)
            prediction = model.head.predict(model.extract_feat(image), torch.tensor([0]))
            model.train(training)
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        torch.save((buffers, prediction.maps), f"{self.folder}/{runner.rank}_{runner.epoch}.pt")


def config(name: str, folder) -> Config:
    """Shrink a config to a few images and one epoch a stage, without random transforms."""
    cfg = load_config(name)
    for key in ("train", "val", "test"):
        loader = cfg[f"{key}_dataloader"]
        loader.dataset.update(data_root=str(folder.parents[1] / "data"), num_images=IMAGES)
        loader.update(num_workers=0, persistent_workers=False)
    cfg.total_batch_size = cfg.train_dataloader.batch_size = BATCH
    cfg.val_dataloader.batch_size = 2
    cfg.custom_hooks = [dict(type="mmwsol.EpochSeedHook"), dict(type="Witness", folder=str(folder))]
    cfg.visualizer.vis_backends = []
    cfg.log_level = "ERROR"
    cfg.launcher = "pytorch" if get_world_size() > 1 else "none"
    for part in [cfg, *cfg.stages]:
        if part is not cfg:
            part.pop("total_batch_size", None)
        if part is cfg or "param_scheduler" in part:
            part.param_scheduler = []
        if part is cfg or "optim_wrapper" in part:  # Adam would blow rounding up
            part.optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.05))
        model = part.get("model") or {}
        if "backbone" in model or part is cfg:
            model.backbone.update(arch=ARCH, drop_path_rate=0.0)
            if SAME[name]:
                model.backbone.stem_channels = None  # has batch norm
        if "head" in model or part is cfg:
            model.head.update(shrunk_head(model.head))
        if "train_cfg" in part and part.train_cfg.get("type") != "mmwsol.OfflineLoop":
            part.train_cfg.max_epochs = 1
        pipeline = (part.get("train_dataloader") or {}).get("dataset", {}).get("pipeline")
        if pipeline:
            part.train_dataloader.dataset.pipeline = [t for t in pipeline if t.type.split(".")[-1] not in RANDOM]
    return cfg


def shrunk_head(head: dict) -> dict:
    changes = dict(in_channels=ARCH["embed_dims"])
    if head.get("type") in ("mmwsol.CATRHead", "mmwsol.CDTRHead"):
        changes.update(attn_shape=(3, 4), c_base=8, ocm_blocks=2)
    if head.get("type") == "mmwsol.LocLocHead":
        changes["classifier"] = dict(num_layers=1, num_heads=2, feedforward_channels=48, drop_path_rate=0.0)
    if head.get("type") == "mmwsol.DiPSHead":
        changes["channels"] = (8, 8)
    return changes


def train(folder, name: str, run: str) -> dict[str, torch.Tensor]:
    """Run all stages and return the weights of the last one."""
    work_dir = folder / run / name
    work_dir.mkdir(parents=True, exist_ok=True)
    checkpoints = run_stages(stage_configs(config(name, work_dir)), work_dir / "stages")
    return load_checkpoint_file(str(list(checkpoints.values())[-1]))["state_dict"]


def train_on_two(rank: int, folder) -> None:
    for name in SAME:
        train(folder, name, "two")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    for split in ("train", "val"):
        Shapes(data_root=str(folder / "data"), split=split, num_images=IMAGES)
    run_ranks(train_on_two, 2, folder)
    return folder


@pytest.mark.parametrize("name", SAME)
def test_ranks_validate_one_model(runs, name):
    """Batch norm collects other statistics on every rank, and mmengine leaves them there."""
    files = sorted((runs / "two" / name).glob("0_*.pt"))
    assert files
    for file in files:
        buffers, maps = torch.load(file)
        others, other_maps = torch.load(file.with_name(f"1{file.name[1:]}"))
        for key, value in buffers.items():
            assert torch.equal(value, others[key]) or value.isnan().all(), key
        assert torch.equal(maps, other_maps)


@pytest.mark.parametrize("name", [name for name, same in SAME.items() if same])
def test_one_batch_on_two_ranks_trains_the_same_model(runs, name):
    last = sorted((runs / "two" / name / "stages").glob("*/epoch_1.pth"), key=lambda path: path.stat().st_mtime)[-1]
    two = load_checkpoint_file(str(last))["state_dict"]
    one = train(runs, name, "one")
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(value, two[key], rtol=1e-4, atol=2e-6, msg=key, equal_nan=True)
