"""The networks of CAM: VGG16CAM and mmpretrain's ResNet-50 with a large map, against torchvision."""

import pytest
import torch
import torchvision
from mmpretrain.models import ResNet
from torch import nn

from mmwsol.methods.cam import LinearCAMHead
from mmwsol.models import VGG16CAM


def test_vgg16_is_torchvisions_up_to_the_last_pooling():
    with torch.device("meta"):
        theirs = torchvision.models.vgg16().features
    torch.manual_seed(0)
    ours = VGG16CAM()
    ours.init_weights()
    assert {k: v.shape for k, v in ours.features.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    theirs = theirs.to_empty(device="cpu")
    theirs.load_state_dict(ours.features.state_dict())
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features = ours.features(images)
        torch.testing.assert_close(nn.functional.max_pool2d(features, 2), theirs(images))
        (out,) = ours(images)
    torch.testing.assert_close(out, ours.conv6(features).relu())
    assert out.shape == (1, 1024, 4, 6)
    head = LinearCAMHead(200, 1024)
    count = sum(p.numel() for p in (*ours.parameters(), *head.parameters()))
    assert count == pytest.approx(19.6e6, abs=0.05e6)


def test_vgg16_initialization():
    model = VGG16CAM(base_channels=16)
    model.init_weights()
    for layer in (model.features[28], model.conv6):
        assert float(layer.weight.std()) == pytest.approx((2 / (9 * layer.out_channels)) ** 0.5, rel=0.05)
        assert (layer.bias == 0).all()
    assert model.train() is model


def test_resnet50_is_torchvisions_with_other_strides():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet50()
    for layer in (theirs.layer3, theirs.layer4):
        layer[0].conv2.stride = layer[0].downsample[0].stride = (1, 1)
    ours = ResNet(depth=50, strides=(1, 2, 1, 1))
    weights = {name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")}
    ours.load_state_dict(weights, strict=True)
    theirs.eval()
    ours.eval()
    stages = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    with torch.no_grad():
        images = x = torch.randn(1, 3, 64, 64)
        for name in stages:
            x = getattr(theirs, name)(x)
        (features,) = ours(images)
    torch.testing.assert_close(features, x)
    assert features.shape == (1, 2048, 8, 8)  # stride 8: 28x28 at 224
