"""LCTRHead: the relational attention and the mixed kernels by their definitions, and its errors."""

import pytest
import torch
import torch.nn.functional as F

from mmwsol.methods.lctr import LCTRHead
from mmwsol.models import TapViT
from mmwsol.structures import LocDataSample

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)


def features(tap="full"):
    torch.manual_seed(1)
    model = TapViT(arch=ARCH, img_size=32, patch_size=8, tap=tap).double()
    model.init_weights()
    return model.eval()(torch.randn(2, 3, 32, 32, dtype=torch.float64) * 3)


def head(num_classes=7, **kwargs):
    torch.manual_seed(2)
    return LCTRHead(num_classes, 24, **kwargs).double()


def test_relation_from_its_definition():
    feats = features()
    expected = torch.zeros(2, 16).double()
    for b in range(2):
        for layer in feats.full_attn[b].mean(1):  # (1 + N, 1 + N), mean of the heads
            weighted = [layer[0, q] * layer[q, 1:] for q in range(17)]
            expected[b] += torch.stack(weighted).mean(0) / 3
    torch.testing.assert_close(head().relation(feats), expected.reshape(2, 1, 4, 4))


def test_class_maps_are_convolutions_with_mixed_kernels():
    feats, model = features(), head()
    model.cdm.bias.data.normal_()
    attention = feats.cls_attn.mean((1, 2))[:, None]
    gates = model.cdm.gates(feats.patch_map, attention)
    assert gates.shape == (2, 4)
    rest = model.cdm.erase(feats.patch_map * (1 - attention)).flatten(2)
    logits = model.cdm.gate_mean(rest.mean(2)) + model.cdm.gate_max(rest.amax(2))
    torch.testing.assert_close(gates, logits.sigmoid())
    maps = model.encode(feats).class_maps
    for b in range(2):
        kernel = sum(gate * weight for gate, weight in zip(gates[b], model.cdm.weight, strict=True))
        torch.testing.assert_close(maps[b], F.conv2d(feats.patch_map[b], kernel, model.cdm.bias, padding=1))


def test_scores_and_maps():
    feats, model = features(), head()
    scores, maps, labels = model.predict(feats, torch.tensor([6, 0]))
    class_maps = model.encode(feats).class_maps
    padded = F.pad(class_maps, (1, 1, 1, 1))
    windows = padded.unfold(2, 3, 1).unfold(3, 3, 1).mean((-1, -2))
    torch.testing.assert_close(scores, windows.mean((2, 3)).softmax(1))
    torch.testing.assert_close(model(feats).softmax(1), scores)
    assert labels[:, -1].tolist() == [6, 0]
    expected = model.relation(feats)[1, 0] * class_maps[1, labels[1, 2]].relu()
    torch.testing.assert_close(maps[1, 2], expected)


def test_loss_is_cross_entropy():
    feats, model = features("cls"), head()
    losses = model.loss(feats, [LocDataSample().set_gt_label(c) for c in (4, 1)])
    torch.testing.assert_close(losses["loss_cls"], F.cross_entropy(model(feats), torch.tensor([4, 1])))
    assert list(losses) == ["loss_cls"]


def test_attention_is_needed():
    with pytest.raises(ValueError, match="needs 'cls_attn' of the features, .* and tap_in_train=True if"):
        head()(features("none"))
    with pytest.raises(ValueError, match="needs 'full_attn' of the features, .* set tap='full' in the backbone"):
        head().predict(features("cls"))
