"""Networks by name."""

from __future__ import annotations

import pytest

from mmwsol.models import TimmCNN
from mmwsol.new_config import METHODS, NAMED, find_network
from mmwsol.new_config.networks import HYBRID, MMPRETRAIN_CNN, TAP_VIT, TIMM_CNN, TIMM_VIT
from mmwsol.registry import MODELS


def test_families():
    assert find_network("deit-small").family == TAP_VIT
    assert find_network("resnet50").family == MMPRETRAIN_CNN
    assert find_network("hybrid-vit").family == HYBRID
    vit = find_network("test_vit")
    assert (vit.family, vit.width, vit.blocks, vit.heads, vit.size) == (TIMM_VIT, 64, 6, 2, 224)
    cnn = find_network("timm://test_resnet")
    assert (cnn.family, cnn.width, cnn.weights) == (TIMM_CNN, 96, "timm://test_resnet")
    assert "127.5 127.5 127.5, 127.5" in cnn.pixels_are  # timm's pretrained_cfg of it


def test_size_is_a_multiple_of_the_patch():
    network = find_network("vit_small_patch14_dinov2.lvd142m")
    assert (network.size, network.stride) == (224, 14)
    assert find_network("vit_small_patch16_224").size == 224


def test_width_is_that_of_what_the_head_reads():
    name = "mobilenetv3_small_050"  # a layer follows its pool
    assert find_network(name).width == TimmCNN(name).timm_model.head_hidden_size


@pytest.mark.parametrize(
    "name", [name for name, network in NAMED.items() if network.family in (TAP_VIT, MMPRETRAIN_CNN)]
)
def test_named_networks_are_what_they_say(name):
    import torch

    network = NAMED[name]
    options = {key: eval(value) for key, value in network.backbone.items()}
    if network.family == TAP_VIT:
        with torch.device("meta"):
            backbone = MODELS.build(options)
        assert (backbone.embed_dims, backbone.num_layers) == (network.width, network.blocks)
        assert backbone.layers[0].attn.num_heads == network.heads
    else:
        backbone = MODELS.build(options)  # its weights cannot be drawn without memory
        with torch.no_grad():
            features = backbone(torch.zeros(1, 3, 32, 32))
        features = features[-1] if isinstance(features, tuple) else features
        assert getattr(features, "patch_map", features).shape[1] == network.width


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", "neither one of deit-tiny, .* nor a model of timm .*near are .*resnet50"),
        ("resnet50.nothing", "no pretrained weights .* resnet50.a1_in1k"),
        ("beit_base_patch16_224", "no method can use it"),
        ("hf_hub:someone/net", "nor a model of timm"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(ValueError, match=message):
        find_network(name)


@pytest.mark.parametrize(
    ("method", "name", "message"),
    [
        ("sat", "resnet50", "spatial token .* can use deit-tiny, .*hybrid-vit$"),
        ("sat", "test_vit", "mmwsol.SATViT"),
        ("trt", "test_vit", "mmwsol.TRTViT"),
        ("cam", "deit-small", "feature map of a CNN; it can use resnet18, .*convnext_tiny.fb_in1k$"),
        ("ts-cam", "efficientnet-lite0", "attention .* vit_small_patch14_dinov2.lvd142m$"),
        ("locloc", "deit-tiny", "no DINO of this size; it can use deit-small, "),
        ("locloc", "hybrid-vit", "mmwsol.TapViT"),
        ("lctr", "vit_base_patch16_siglip_224", "class token"),
    ],
)
def test_what_cannot_work_is_refused(method, name, message):
    import re

    assert re.search(message, METHODS[method].refusal(find_network(name)))
