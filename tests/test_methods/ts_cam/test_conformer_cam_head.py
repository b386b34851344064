"""ConformerCAMHead: the logits of both branches add up, the maps are those of the transformer branch."""

import pytest
import torch

from mmwsol.methods.ts_cam import ConformerCAMHead, ConvCAMHead
from mmwsol.models import TapConformer
from mmwsol.structures import LocDataSample

ARCH = dict(embed_dims=24, depths=3, num_heads=2, channel_ratio=1)


def features():
    torch.manual_seed(1)
    model = TapConformer(arch=ARCH, base_channels=16).double()
    model.init_weights()
    return model.eval()(torch.randn(2, 3, 64, 64, dtype=torch.float64))


def head(**kwargs):
    torch.manual_seed(2)
    model = ConformerCAMHead(7, 24, conv_channels=64, **kwargs).double()
    model.init_weights()
    return model


def test_logits_add_up_and_maps_are_those_of_ts_cam():
    feats, model = features(), head()
    ts_cam = ConvCAMHead(7, 24).double()
    ts_cam.conv.load_state_dict(model.conv.state_dict())
    logits = ts_cam(feats) + model.fc(feats.conv_map.mean((2, 3)))
    torch.testing.assert_close(model(feats), logits)
    gt = torch.tensor([3, 6])
    scores, maps, labels = model.predict(feats, gt)
    torch.testing.assert_close(scores, logits.softmax(1))
    assert torch.equal(labels[:, :5], logits.topk(5).indices)
    torch.testing.assert_close(maps, ts_cam.predict(feats, gt, scores).maps)


def test_one_loss_or_one_for_each_branch():
    feats = features()
    samples, target = [LocDataSample().set_gt_label(c) for c in (4, 1)], torch.tensor([4, 1])
    cross_entropy = torch.nn.functional.cross_entropy
    model = head()
    torch.testing.assert_close(model.loss(feats, samples)["loss_cls"], cross_entropy(model(feats), target))
    losses = head(branch_losses=True).loss(feats, samples)
    transformer = model.conv(feats.patch_map).mean((2, 3))
    cnn = model.fc(feats.conv_map.mean((2, 3)))
    expected = (cross_entropy(transformer, target) + cross_entropy(cnn, target)) / 2
    assert list(losses) == ["loss_cls"]
    torch.testing.assert_close(losses["loss_cls"], expected)


def test_initialization():
    model = ConformerCAMHead(100, 48, conv_channels=256)
    bias = model.conv.bias.clone()
    model.init_weights()
    assert float(model.conv.weight.std()) == pytest.approx((2 / (9 * 100)) ** 0.5, rel=0.05)
    assert torch.equal(model.conv.bias, bias)  # PyTorch's own
    assert float(model.fc.weight.std()) == pytest.approx(0.02, rel=0.05) and (model.fc.bias == 0).all()
