"""The TRT configs train and start as the official code does: schedules, batches, decay groups, initial weights."""

import json
from pathlib import Path

import pytest
import torch
from golden_case import GOLDEN_DIR
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmengine.runner import load_checkpoint
from mmpretrain.models.utils import resize_pos_embed

from mmwsol.engine.stages import select_stage, stage_configs
from mmwsol.methods.trt import TRTHead
from mmwsol.registry import MODELS
from mmwsol.utils import convert_official, load_pretrained
from mmwsol.utils.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "trt"
SETUP = json.loads((GOLDEN_DIR / "trt" / "train_setup.json").read_text())
INIT = json.loads((GOLDEN_DIR / "trt" / "pretrain_init.json").read_text())["cases"]
NAMES = [name for name in SETUP["lr_by_config"] if name.split("/")[1].startswith(("deit_trt", "deitpos", "deit_base"))]
WIDTH = 24


def stage_of(official: str) -> Config:
    """Find the stage of our configs that does what an official settings file says."""
    data, name = official.split("/")
    size = "-384" if "_384" in name else ""
    variant = {"deitpos": "_topk", "deit_base": "_attention-only"}.get(name.split("_tscam")[0].split("_patch")[0], "")
    cfg = load_config(f"trt_deit-b{size}_{data.lower()}{variant}")
    stages = stage_configs(cfg)
    return select_stage(stages, None if len(stages) == 1 else "cam" if "_fuse_" in name else "tpsm").cfg


@pytest.mark.parametrize("official", NAMES)
def test_schedule(official):
    expected, cfg = SETUP["lr_by_config"][official], stage_of(official)
    init_default_scope(cfg.default_scope)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    scheduler = PARAM_SCHEDULERS.build(dict(cfg.param_scheduler, optimizer=optimizer))
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    assert rates == pytest.approx(expected["lr_per_epoch"], rel=1e-9)
    assert cfg.train_cfg.max_epochs == expected["epochs"]
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == expected["train_batch"]
    assert cfg.model.head.num_classes == expected["classes"]
    tpsm = cfg.model.backbone.get("tpsm", {})
    assert (tpsm.get("u"), tpsm.get("topk")) == (expected["u"], expected["select_num"])
    resize, crop = cfg.train_dataloader.dataset.pipeline[1:3]
    if official.startswith("CUB"):
        assert cfg.model.map_to_box.threshold == expected["cam_thr_yaml"]
        assert resize.scale == (expected["resize"],) * 2 and crop.crop_size == expected["crop"]
    else:  # the command line overrules the file's threshold, timm's augmentation its sizes
        assert cfg.model.map_to_box.threshold == 0.12
        assert resize.scale == expected["crop"] and resize.crop_ratio_range == (0.8, 1.0)
        # the second stage does not use the smoothing of its file
        smoothing = None if "_fuse_" in official else expected["smoothing"]
        assert cfg.model.head.get("loss", {}).get("label_smooth_val") == smoothing


def test_there_are_schedules():
    assert len(NAMES) >= 9


def official_to_ours(name: str, depth: int) -> str:
    (ours,) = convert_official({name: 0}, "trt")
    return ours.replace(f"backbone.layers.{depth - 1}.", "backbone.last_block.")


@pytest.mark.parametrize(("stage", "key"), [("tpsm", "stage1"), ("cam", "stage2 (camfuse_block handed over)")])
def test_decay_groups(stage, key):
    cfg = select_stage(stage_configs(Config.fromfile(CONFIGS / "trt_deit-b_cub.py")), stage).cfg
    cfg.model.init_cfg = None
    cfg.model.backbone.arch = dict(embed_dims=12, num_layers=3, num_heads=3, feedforward_channels=48)
    cfg.model.head.in_channels = 12
    model = MODELS.build(cfg.model)
    optim = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    expected = SETUP["optimizer_groups"][key]
    prefix = "camfuse_block." if stage == "cam" else ""
    groups = optim.optimizer.param_groups
    for group in expected["groups"]:
        ours = {names[id(p)] for g in groups if g["weight_decay"] == group["weight_decay"] for p in g["params"]}
        assert ours == {official_to_ours(prefix + name, 3) for name in group["names"]}
    assert sum(len(g["params"]) for g in groups) == sum(len(g["names"]) for g in expected["groups"])
    options = groups[0]
    assert list(options["betas"]) == expected["betas"] and options["eps"] == expected["eps"]
    assert type(optim.optimizer).__name__ == expected["type"] and options["lr"] == expected["lr"]


def deit_release(seed: int, tokens: int = 197, classes: int = 1000) -> dict[str, torch.Tensor]:
    """Random weights with the names of facebookresearch/deit, 12 blocks, narrow."""
    torch.manual_seed(seed)
    shapes = {"cls_token": (1, 1, WIDTH), "pos_embed": (1, tokens, WIDTH)}
    layers = {"patch_embed.proj": (WIDTH, 3, 16, 16), "norm": (WIDTH,), "head": (classes, WIDTH)}
    for i in range(12):
        layers |= {
            f"blocks.{i}.norm1": (WIDTH,),
            f"blocks.{i}.attn.qkv": (3 * WIDTH, WIDTH),
            f"blocks.{i}.attn.proj": (WIDTH, WIDTH),
            f"blocks.{i}.norm2": (WIDTH,),
            f"blocks.{i}.mlp.fc1": (2 * WIDTH, WIDTH),
            f"blocks.{i}.mlp.fc2": (WIDTH, 2 * WIDTH),
        }
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def shrunk(config: str, stage: str, classes: int = 200, checkpoint: Path | None = None) -> torch.nn.Module:
    """Build the narrow model of a stage."""
    cfg = select_stage(stage_configs(Config.fromfile(CONFIGS / f"{config}.py")), stage).cfg
    cfg.model.backbone.arch = dict(embed_dims=WIDTH, num_layers=12, num_heads=3, feedforward_channels=2 * WIDTH)
    cfg.model.head.update(in_channels=WIDTH, num_classes=classes)
    if checkpoint:
        cfg.model.init_cfg.checkpoint = str(checkpoint)
    else:
        cfg.model.init_cfg = None
    torch.manual_seed(7)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


@pytest.mark.parametrize("case", [name for name in INIT if "stage-1" not in name])
def test_pretrained_start(case, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger, "info", lambda self, message, *args: lines.append(str(message)))
    expected = INIT[case]
    mismatch = "mismatch" in case  # a file for 224 in a model for 384
    large = "384" in case
    release = deit_release(0, 577 if large and not mismatch else 197)
    torch.save({"model": release}, tmp_path / "deit.pth")
    stage = "cam" if "_fuse_" in case else "tpsm"
    classes = 1000 if "K1000" in case else 200
    model = shrunk("trt_deit-b-384_cub" if large else "trt_deit-b_cub", stage, classes)
    load_pretrained(model, str(tmp_path / "deit.pth"))

    state = model.state_dict()
    copied, fresh = expected["copied_from_other_name"], set(expected["fresh"])
    names = {*release, *copied, *fresh}
    assert {official_to_ours(name, 12) for name in names} == set(state) and len(state) == expected["n_keys"]
    same = {n for n in release if state[official_to_ours(n, 12)].shape == release[n].shape}
    same = {n for n in same if torch.equal(state[official_to_ours(n, 12)], release[n])}
    assert len(same) == expected["n_copied_same_name"]
    for name, source in copied.items():
        assert torch.equal(state[official_to_ours(name, 12)], release[source]), name
    if mismatch:  # the official code leaves position embeddings of another size random: here they are resized
        fresh.remove("pos_embed")
        resized = resize_pos_embed(release["pos_embed"], (14, 14), (24, 24), "bicubic", 1)
        torch.testing.assert_close(state["backbone.pos_embed"], resized)
        assert any("Resize the pos_embed" in line for line in lines)
    [report] = [line for line in lines if line.startswith("Left at their initialization: ")]
    assert set(report.split(": ")[1].rstrip(".").split(", ")) == {official_to_ours(name, 12) for name in fresh}


@pytest.mark.parametrize("case", [name for name in INIT if "stage-1" in name])
def test_cam_stage_at_384(case, tmp_path):
    """All comes from the first stage but the CAM branch, which comes from DeiT-B at 224."""
    expected = INIT[case]
    release = deit_release(0)
    torch.save({"model": release}, tmp_path / "deit224.pth")
    torch.save({"model": deit_release(1, 577)}, tmp_path / "deit384.pth")
    first = shrunk("trt_deit-b-384_cub", "tpsm", checkpoint=tmp_path / "deit384.pth")
    torch.save({"state_dict": first.state_dict()}, tmp_path / "tpsm.pth")
    # what the Runner does with init_cfg and load_from
    model = shrunk("trt_deit-b-384_cub", "cam", checkpoint=tmp_path / "deit224.pth")
    load_checkpoint(model, str(tmp_path / "tpsm.pth"), map_location="cpu")

    state = model.state_dict()
    assert len(state) == expected["n_keys"]
    from_first = [n for n, value in first.state_dict().items() if torch.equal(value, state[n])]
    assert len(from_first) == len(first.state_dict()) == expected["n_copied_same_name_from_stage1"]
    for name, source in expected["copied_from_other_name"].items():
        assert torch.equal(state[official_to_ours(name, 12)], release[source.removeprefix("deit224:")]), name
    rest = set(state) - set(from_first) - {official_to_ours(n, 12) for n in expected["copied_from_other_name"]}
    assert rest == {official_to_ours(name, 12) for name in expected["fresh"]}


def test_config_of_the_384_cam_stage_names_the_224_file():
    first, second = stage_configs(Config.fromfile(CONFIGS / "trt_deit-b-384_cub.py"))
    assert "patch16_384" in first.cfg.model.init_cfg.checkpoint
    assert "patch16_224" in second.cfg.model.init_cfg.checkpoint
    assert second.init_from == "best" and first.cfg.default_hooks.checkpoint.save_best == "loc/top1"


def test_initial_values_of_fresh_layers():
    """Standard deviation, and the bound where the distribution has one, of the official first values."""
    torch.manual_seed(0)
    head = TRTHead(200, 768)
    head.init_weights()
    narrow = shrunk("trt_deit-b_cub", "tpsm")
    ours = {
        "head.weight": head.fc.weight,
        "head.bias": head.fc.bias,
        "camfuse_block.cam_head.weight": head.cam_conv.weight,
        "camfuse_block.cam_head.bias": head.cam_conv.bias,
        # uniform in +- 1 / sqrt(width)
        "score_head.weight": narrow.backbone.tpsm.fc.weight * (WIDTH / 768) ** 0.5,
        "score_head.bias": narrow.backbone.tpsm.fc.bias * (WIDTH / 768) ** 0.5,
    }
    checked = set()
    for case in INIT.values():
        for name, official in case["fresh"].items():
            if name == "pos_embed":
                continue
            low, high, _, std = official["min_max_mean_std"]
            value = ours[name].detach()
            if name == "head.bias":
                assert low == high == 0 == value.abs().max()
            elif name.startswith("score_head"):  # few values: the bound is all that can be told
                assert value.abs().max() <= 768**-0.5 and max(-low, high) <= 768**-0.5 + 1e-6
            else:
                assert value.std().item() == pytest.approx(std, rel=0.08)
                rel = 0.2 if name == "head.weight" else 0.02
                assert value.abs().max().item() == pytest.approx(max(-low, high), rel=rel)
            checked.add(name)
    assert checked == set(ours)


@pytest.mark.parametrize("name", ["shapes", "tiny-imagenet-20"])
def test_small_models_share_their_first_stage_with_ts_cam(name):
    folder = CONFIGS.parent / ("quickstart" if name == "shapes" else "ts-cam")
    ours, theirs = (
        stage_configs(Config.fromfile(path))[0].cfg.to_dict()
        for path in (CONFIGS / f"trt_small-vit_{name}.py", folder / f"ts-cam_small-vit_{name}.py")
    )
    assert ours == theirs
