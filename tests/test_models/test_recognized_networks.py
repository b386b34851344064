"""Which networks of timm, torchvision and mmpretrain are taken for which release, and what the others are told."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from mmengine.config import Config
from mmpretrain.registry import MODELS as CLASSIFIERS
from releases import loaded, localizer

from mmwsol.apis import init_model
from mmwsol.models.weights import closest_release, convert_official, guess_source

PLAIN_VIT = dict(patch_size=8, img_size=32, embed_dim=24, depth=3, num_heads=2, mlp_ratio=2)

# By the release that they are; None: their layers differ from those of every release.
OF_TIMM = {
    "deit": (
        "vit_tiny_patch16_224 vit_base_patch16_224 vit_base_patch32_224 deit_tiny_patch16_224 "
        "deit_small_distilled_patch16_224"
    ),
    "resnet50": "resnet18 resnet50 resnext50_32x4d",
    "vgg16": "vgg16",
    None: (
        "vit_base_patch16_224_miil vit_base_patch16_clip_224 vit_small_patch14_dinov2 vit_small_patch14_reg4_dinov2 "
        "vit_relpos_small_patch16_224 deit3_small_patch16_224 beit_base_patch16_224 "
        "mixer_s16_224 convit_tiny "
        "swin_tiny_patch4_window7_224 pvt_v2_b0 levit_128s "
        "resnet50d seresnet50 ecaresnet26t resnetv2_50 vgg16_bn vgg19 densenet121 xception41 "
        "convnext_tiny efficientnet_b0 efficientnet_lite0 tf_efficientnet_lite0 "
        "mobilenetv3_large_100 mobilenetv2_100 ghostnet_100"
    ),
}
OF_TORCHVISION = {
    "resnet50": "resnet18 resnet50 resnext50_32x4d ",
    "vgg16": "vgg16",
    None: (
        "alexnet vgg11 vgg16_bn vgg19 squeezenet1_0 densenet121 mobilenet_v2 mobilenet_v3_small efficientnet_b0 "
        "convnext_tiny vit_b_16 swin_t"
    ),
}
OF_MMPRETRAIN: dict[str, dict[str, Any]] = {
    "ResNet": dict(depth=18),
    "VisionTransformer": dict(arch="deit-tiny"),
    "VGG": dict(depth=16),
    "MobileNetV3": dict(),
    "ConvNeXt": dict(arch="atto"),
    "SwinTransformer": dict(arch="tiny"),
    "DeiT3": dict(arch="s"),
}


def names(table):
    return [(name, source) for source, text in table.items() for name in text.split()]


def check(weights, source):
    assert guess_source(weights) == source
    if source is not None:
        assert convert_official(weights, source)
        return
    assert "none of the known releases" in closest_release(weights)
    with pytest.raises(ValueError, match="names of a 'deit' release.*none of the known releases|needs others beside"):
        convert_official({**weights, "other": torch.zeros(1)}, "deit")


@pytest.mark.parametrize(("name", "source"), names(OF_TIMM))
def test_networks_of_timm(name, source):
    with torch.device("meta"):
        weights = timm.create_model(name).state_dict()
    check(weights, source)


@pytest.mark.parametrize(("name", "source"), names(OF_TORCHVISION))
def test_networks_of_torchvision(name, source):
    with torch.device("meta"):
        weights = getattr(torchvision.models, name)().state_dict()
    check(weights, source)


@pytest.mark.parametrize("name", OF_MMPRETRAIN)
def test_networks_of_mmpretrain(name):
    """No release, but for the ResNet, which has torchvision's names."""
    weights = CLASSIFIERS.build(dict(type=name, **OF_MMPRETRAIN[name])).state_dict()
    assert guess_source(weights) == ("resnet50" if name == "ResNet" else None)
    assert guess_source({f"backbone.{key}": value for key, value in weights.items()}) is None


def test_closest_release():
    deit = timm.create_model("deit3_small_patch16_224", **PLAIN_VIT).state_dict()
    assert closest_release(deit) == (
        "These weights are of none of the known releases; the closest, 'deit', has 44 of their 50 names, but not "
        "blocks.0.ls1.gamma, blocks.0.ls2.gamma, blocks.1.ls1.gamma."
    )
    without_bias = timm.create_model("vit_tiny_patch16_224", qkv_bias=False, **PLAIN_VIT).state_dict()
    assert closest_release(without_bias).endswith(
        "'deit', has 41 of their 41 names, but needs others beside them, or other shapes."
    )
    assert closest_release({"a": torch.zeros(1)}).endswith("which have hardly one of their names.")


@pytest.mark.parametrize("name", ["deit3_small_patch16_224", "resnet10t", "test_efficientnet", "test_convnext"])
def test_training_names_what_the_file_is_not(tmp_path, name):
    """Not --source, which training does not have."""
    network = timm.create_model(name, **(PLAIN_VIT if "deit" in name else {}))
    with pytest.raises(
        ValueError, match="tensors; its names start like.*none of the known releases.*mmwsol.TimmCNN"
    ) as error:
        loaded(localizer(), network.state_dict(), tmp_path)
    assert "--source" not in str(error.value)


def test_test_and_inference_name_it_too(tmp_path):
    network = timm.create_model("resnet10t")
    torch.save(network.state_dict(), tmp_path / "resnet.pth")
    cfg = dict(
        type="mmwsol.ImageLocalizer",
        backbone=dict(type="mmpretrain.ResNet", depth=18),
        head=dict(type="mmwsol.LinearCAMHead", num_classes=1000, in_channels=512),
    )
    with pytest.raises(ValueError, match="another network: bn1.bias.*the closest, 'resnet50', has 58 of their 86"):
        init_model(Config(dict(model=cfg)), str(tmp_path / "resnet.pth"), device="cpu")


def test_one_layer_too_many_or_few_is_no_release():
    network = timm.create_model("vit_tiny_patch16_224", **PLAIN_VIT).state_dict()
    assert guess_source(network) == "deit"
    for name in network:
        if name.startswith(("blocks.", "cls_token", "pos_embed", "patch_embed.proj.weight")):
            assert guess_source({key: value for key, value in network.items() if key != name}) is None, name
    assert guess_source({**network, "blocks.1.extra.weight": torch.zeros(1)}) is None
    assert guess_source({**network, "extra.weight": torch.zeros(1)}) is None
    for odd in (torch.zeros(24, 24), torch.zeros(()), 1, None):
        for name in ("blocks.0.attn.qkv.weight", "cls_token", "pos_embed", "patch_embed.proj.weight"):
            assert guess_source({**network, name: odd}) is None


def test_distilled_transformer_without_its_token(tmp_path):
    """The position embeddings that are left are those of the class token and the patches."""
    network = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=5, **PLAIN_VIT)
    with torch.no_grad():
        network.pos_embed.normal_()
    target = loaded(localizer(dict(type="mmwsol.ClsTokenHead")), network.state_dict(), tmp_path)
    expected = torch.cat([network.pos_embed[:, :1], network.pos_embed[:, 2:]], dim=1)
    assert torch.equal(target.backbone.pos_embed, expected)
    assert torch.equal(target.head.fc.weight, network.head.weight)


def test_features_of_timms_vgg16_are_torchvisions():
    with torch.device("meta"):
        networks = timm.create_model("vgg16"), torchvision.models.vgg16()
    ours, theirs = (convert_official(network.state_dict(), "vgg16") for network in networks)
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
