"""Models by config, by name, by checkpoint alone, and what is refused."""

from __future__ import annotations

import bright
import pytest
import torch
from releases import tscam_release

from mmwsol.apis import init_model, list_models, read_model_index
from mmwsol.datasets import CUB
from mmwsol.utils.config import load_config
from mmwsol.utils.config_text import read_config_text


def test_list_models():
    names = list_models()
    assert names == sorted(names) and "ts-cam_deit-s_cub" in names
    assert list_models("trt*384_cub") == ["trt_deit-b-384_cub", "trt_deit-s-384_cub"]
    info = read_model_index()["sat_deit-s_cub"]
    assert (info.method, info.dataset, info.weights) == ("SAT", "CUB-200-2011", None)
    assert info.config.is_file() and info.paper["loc/gt_known"] == 98.45 and info.metrics == {}


def test_cell_of_a_sweep():
    assert "cdtr_deit-s_cub_k-07" in list_models("cdtr*k-0?")
    info = read_model_index()["sat_deit-s_cub_3-shot"]
    assert info.config.name == "few-shot_cub.py" and info.paper == {"loc/gt_known": 95.1}
    options = {"model.backbone.arch": "deit-tiny", "model.head.in_channels": 192, "model.init_cfg": None}
    model = init_model("sat_deit-s_cub_freeze-d", device="cpu", cfg_options=options)
    assert not any(parameter.requires_grad for parameter in model.backbone.layers[:9].parameters())
    assert all(parameter.requires_grad for parameter in model.backbone.layers[9:].parameters())
    assert model.cfg.filename.endswith("sat_deit-s_cub_freeze-d.py")


def test_by_name_and_stage():
    model = init_model("trt_small-vit_shapes", device="cpu")
    assert not model.training and len(model.dataset_meta["classes"]) == 10
    assert model.head.train_part == "cam" and model.cfg.model.head.type == "mmwsol.TRTHead"
    first = init_model("trt_small-vit_shapes", device="cpu", stage="tpsm", cfg_options={"model.head.num_classes": 3})
    assert first.head.train_part == "tpsm" and first.head.num_classes == 3
    with pytest.raises(FileNotFoundError, match="trt_small-vit_shapes"):
        init_model("trt_small-vit_shape")
    with pytest.raises(ValueError, match="no such stage; this config has pretrain, tpsm, cam"):
        init_model("trt_small-vit_shapes", stage="x")


def test_by_checkpoint_alone(tmp_path):
    path = bright.checkpoint(tmp_path / "epoch_1.pth", dataset_meta=dict(classes=("a", "b", "c")))
    model = init_model(None, path, device="cpu")
    assert model.dataset_meta["classes"] == ("a", "b", "c")
    assert type(model.head).__name__ == "BrightHead" and not model.training
    same = bright.config()
    assert init_model(same, path, "cpu", cfg_options={"model.map_to_box.threshold": 0.25}).map_to_box.threshold == 0.25
    assert same.model.map_to_box.threshold == 0.5  # the caller's config stays


def test_data_set_given_as_a_class(tmp_path):
    """As configs of pure Python have it."""
    cfg = bright.config()
    cfg.test_dataloader.dataset = dict(type=CUB)
    assert (
        init_model(cfg, bright.checkpoint(tmp_path / "epoch_1.pth"), "cpu").dataset_meta["classes"]
        == CUB.METAINFO["classes"]
    )


def test_checkpoints_that_do_not_fit(tmp_path):
    path = bright.checkpoint(tmp_path / "epoch_1.pth")
    with pytest.raises(ValueError, match=r"lacks \d+ tensors of the model, such as .*another stage"):
        init_model("ts-cam_small-vit_shapes", path)
    with pytest.raises(FileNotFoundError, match="gone.pth"):
        init_model(None, tmp_path / "gone.pth")
    weights = init_model("ts-cam_small-vit_shapes", device="cpu").state_dict()
    torch.save(dict(state_dict=weights), tmp_path / "bare.pth")
    with pytest.raises(ValueError, match="holds no config.*Pass the config too"):
        init_model(None, tmp_path / "bare.pth")
    with pytest.raises(ValueError, match=r"does not fit the model(.|\n)*head.conv.weight"):
        init_model("ts-cam_small-vit_shapes", tmp_path / "bare.pth", cfg_options={"model.head.num_classes": 4})
    release = {"head.weight": torch.zeros(5, 8, 3, 3), "blocks.0.norm1.weight": torch.ones(8)}
    torch.save(dict(model=release), tmp_path / "part.pth")
    with pytest.raises(ValueError, match="lacks 59 tensors.*the closest, 'deit', has 2 of their 2"):
        init_model("ts-cam_small-vit_shapes", tmp_path / "part.pth")
    torch.save(dict(model=tscam_release()["state_dict"]), tmp_path / "release.pth")
    with pytest.raises(ValueError, match="official release. Convert it first: .* --source tscam"):
        init_model("ts-cam_deit-s_cub", tmp_path / "release.pth")


def test_config_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    marker = tmp_path / "ran"
    path = bright.checkpoint(tmp_path / "forged.pth", f"x = open({str(marker)!r}, 'w').close()\n{bright.CONFIG}")
    with pytest.raises(ValueError, match=r"line 1 .*more than plain values.*MMWSOL_TRUST_CHECKPOINTS=1"):
        init_model(None, path)
    assert not marker.exists()
    monkeypatch.setenv("MMWSOL_TRUST_CHECKPOINTS", "1")
    init_model(None, path, device="cpu")
    assert marker.exists()


def test_types_in_a_checkpoint_are_registered_classes(tmp_path, monkeypatch):
    """mmengine's registries take any Python object for a type: an author could name a function."""
    marker = tmp_path / "ran"
    forged = bright.CONFIG.replace("type='mmwsol.BrightBackbone'", f"type='os.mkdir', path={str(marker)!r}")
    path = bright.checkpoint(tmp_path / "forged.pth", forged)
    with pytest.raises(ValueError, match="os.mkdir.*not known"):
        init_model(None, path)
    assert not marker.exists()
    monkeypatch.setenv("MMWSOL_TRUST_CHECKPOINTS", "1")
    init_model(None, path, device="cpu")
    assert marker.exists()


@pytest.mark.parametrize("name", ["cam_resnet50_cub", "cdtr_small-vit_shapes_noclip", "sat_deit-s_cub_1-shot"])
def test_config_text_round_trip(name):
    cfg = load_config(name)
    assert read_config_text(cfg.pretty_text, "here").to_dict() == cfg.to_dict()


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "a = b",
        "a = [x for x in 'ab']",
        "a = dict(**b)",
        "a = dict(b)",
        "a = dict({}, b=1)",
        "a = 1 +",
        "a = -'x'",
    ],
)
def test_config_text_refuses_programs(text):
    with pytest.raises(ValueError, match="the config in 'here'"):
        read_config_text(text, "here")


def test_config_text_values():
    read = read_config_text("a = dict(b=[-1, 2.5, (None, True)], c={'1': 'x' 'y', 2: inf})", "here")
    assert read.a.b == [-1, 2.5, (None, True)] and read.a.c == {"1": "xy", 2: float("inf")}
