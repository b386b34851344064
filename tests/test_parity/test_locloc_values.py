"""LocLoc's networks with weights and input from a formula: values of the official modules in evaluation mode."""

import math
import re

import pytest
import timm
import torch

from mmwsol.methods.locloc.head import LocalFeatureDigging, PPDGenerator, UNetGenerator
from mmwsol.models import TapViT
from mmwsol.utils import convert_official

# Our names -> the official ones, U-Net and decoder of PPD.
UNET = (
    (r"^down([123])\.", r"att_layer4.down_\1.1.UConv."),
    (r"^up([123])\.", r"att_layer4.up_\1.conv.UConv."),
    (r"^deconv\.0\.", "up1."),
    (r"^deconv\.1\.", "bn1."),
    (r"^deconv\.3\.", "up2."),
    (r"^deconv\.4\.", "bn2."),
    (r"^deconv\.6\.", "up3."),
    (r"^deconv\.7\.", "bn3."),
    (r"^out\.0\.", "att_conv2."),
    (r"^out\.1\.", "bn_att2."),
)
PPD = (
    (r"^stem\.0\.", "conv0."),
    (r"^stem\.1\.", "bn0."),
    (r"^deconv\.", "deconv_layers."),
    (r"^out\.", "final_layer."),
)

CLASSIFIER = (
    (r"^blocks\.(\d+)\.ln([12])\.", r"blocks_mini.\1.norm\2."),
    (r"^blocks\.(\d+)\.ffn\.layers\.0\.0\.", r"blocks_mini.\1.mlp.fc1."),
    (r"^blocks\.(\d+)\.ffn\.layers\.1\.", r"blocks_mini.\1.mlp.fc2."),
    (r"^blocks\.", "blocks_mini."),
    (r"^conv1\.", "conv."),
    (r"^conv2\.", "classifier."),
    (r"^norm\.", "norm_mini."),
)


def official_name(name, patterns):
    for pattern, replacement in patterns:
        new, hits = re.subn(pattern, replacement, name)
        if hits:
            return new
    raise AssertionError(name)


def fill(name, shape):
    """Fill a tensor with sines whose phase is a hash of its name."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.long)
    h = sum((j + 1) * ord(c) for j, c in enumerate(name)) % 1000 / 1000
    s = torch.sin(0.7 * torch.arange(math.prod(shape), dtype=torch.float64) + 2 * math.pi * h).view(shape)
    if name.endswith("running_var"):
        return 1 + 0.5 * s.abs()
    if name.endswith("running_mean"):
        return 0.1 * s
    if name in ("cls_token", "pos_embed"):
        return 0.1 * s
    if len(shape) == 1:
        return 1 + 0.1 * s if name.endswith("weight") else 0.1 * s
    return s * math.sqrt(2 / (s.numel() / shape[0]))


def load(network, patterns, part="generator"):
    network.double()
    names = {official_name(name, patterns): value.shape for name, value in network.state_dict().items()}
    weights = convert_official({name: fill(name, shape) for name, shape in names.items()}, f"locloc-{part}")
    network.load_state_dict({k.removeprefix(f"head.{part}."): v for k, v in weights.items()})
    return network.eval()


def pattern(*shape):
    b, c, i, j = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij")
    return torch.sin(0.05 * (c + 1) + 0.9 * i + 0.4 * j + 0.3 * b + 0.01 * c * i)


def test_unet_generator():
    tokens = pattern(2, 384, 14, 14)
    network = load(UNetGenerator(384), UNET)
    with torch.no_grad():
        out = network(tokens)
    out = out.reshape(2, 112, 112)
    assert out.mean().item() == pytest.approx(0.5048530702, abs=1e-9)
    assert out.std().item() == pytest.approx(0.0135071435, abs=1e-9)
    found = [out[0, 0, 0], out[0, 56, 56], out[1, 111, 111], out[1, 30, 77]]
    assert torch.stack(found).tolist() == pytest.approx(
        [0.4590667771, 0.495580279, 0.565410897, 0.5182983193], abs=1e-9
    )
    with torch.no_grad():
        out = network.train()(tokens).reshape(2, 112, 112)
    assert [out.mean().item(), out[0, 56, 56].item()] == pytest.approx([0.5153362753, 0.2327034051], abs=1e-9)


def test_decoder_of_ppd():
    with torch.no_grad():
        out = load(PPDGenerator(384), PPD)(pattern(2, 384, 14, 14)).reshape(2, 56, 56)
    found = [out.mean(), out[0, 0, 0], out[1, 28, 28]]
    assert torch.stack(found).tolist() == pytest.approx([-0.1277457699, -0.1262723237, -0.1353963376], abs=1e-9)


def test_transformer_and_classifier():
    backbone = TapViT("deit-small", tap="none", out_tokens=(0, -1)).double()
    release = timm.create_model("deit_small_patch16_224", num_classes=0).state_dict()
    weights = convert_official({name: fill(name, value.shape) for name, value in release.items()}, "deit")
    backbone.load_state_dict({name.removeprefix("backbone."): value for name, value in weights.items()})
    with torch.no_grad():
        first, last = backbone.eval()(pattern(2, 3, 224, 224)).tokens
    found = [first.mean(), first[0, 0, 0], first[1, 196, 383]]
    assert torch.stack(found).tolist() == pytest.approx([-2.668790e-4, -0.1514126663, 0.1982150568], abs=1e-9)
    last = last[:, 1:]  # before the final layer norm
    found = [last.mean(), last.std(), last[0, 0, 0], last[1, 195, 383]]
    expected = [-0.0787265757, 13.7015258095, -5.1884704716, -27.2682564394]
    assert torch.stack(found).tolist() == pytest.approx(expected, abs=1e-8)

    classifier = load(LocalFeatureDigging(1000, 384), CLASSIFIER, "classifier")
    with torch.no_grad():
        logits = classifier(first, (14, 14))
    expected = [0, 0.0627710147, 0.1379771880, 0.1525528251, 0.0831902701, 0]
    assert logits[0, :6].tolist() == pytest.approx(expected, abs=1e-9)
    assert [logits.mean().item(), logits[1, 999].item()] == pytest.approx([0.0486910480, 0.1564756860], abs=1e-9)
    assert logits.argmax(dim=1).tolist() == [281, 281] and logits.min() >= 0
