"""ConvCAMHead: TS-CAM's maps and scores, the options, and identities that must hold."""

import pytest
import torch

from mmwsol.methods.ts_cam import ConvCAMHead
from mmwsol.models import TapViT
from mmwsol.structures import LocDataSample

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)


def features(tap="cls"):
    torch.manual_seed(1)
    model = TapViT(arch=ARCH, img_size=32, patch_size=8, tap=tap).double()
    model.init_weights()
    return model.eval()(torch.randn(2, 3, 32, 32, dtype=torch.float64) * 3)


def head(num_classes=7, **kwargs):
    torch.manual_seed(2)
    return ConvCAMHead(num_classes, 24, **kwargs).double()


def test_scores_and_maps():
    feats, model = features(), head()
    gt = torch.tensor([6, 0])
    scores, maps, labels = model.predict(feats, gt)
    semantic = model.conv(feats.patch_map)
    torch.testing.assert_close(semantic.mean((2, 3)), model(feats))
    torch.testing.assert_close(scores, model(feats).softmax(1))
    assert labels.shape == (2, 6)
    assert torch.equal(labels[:, :5], scores.topk(5).indices)
    assert torch.equal(labels[:, 5], gt)
    attn = feats.cls_attn.mean(2).sum(1)
    for b in range(2):
        for k in range(6):
            torch.testing.assert_close(maps[b, k], semantic[b, labels[b, k]] * attn[b])


def test_attention_rows_sum_to_the_number_of_blocks():
    feats = features("full")
    attn = head().attention(feats)
    to_itself = feats.full_attn[:, :, :, 0, 0].mean(2).sum(1)
    torch.testing.assert_close(attn.sum((1, 2, 3)) + to_itself, torch.full((2,), 3.0).double())


def test_uncoupled_options():
    feats = features()
    semantic = head().conv(feats.patch_map)
    _, maps, labels = head(couple=False).predict(feats)
    torch.testing.assert_close(maps[0, 0], semantic[0, labels[0, 0]])
    _, maps, _ = head(semantic=False).predict(feats)
    torch.testing.assert_close(maps, head().attention(feats).expand_as(maps))


def test_attention_layers_and_reductions():
    feats = features("full")
    mean = feats.cls_attn.mean(2)
    torch.testing.assert_close(head(attn_layers=[0, 2]).attention(feats)[:, 0], mean[:, 0] + mean[:, 2])
    torch.testing.assert_close(head(attn_reduce="last").attention(feats)[:, 0], mean[:, 2])
    joint = torch.eye(17).double()
    for layer in feats.full_attn.mean(2)[0]:
        joint = 0.5 * (layer + torch.eye(17)) @ joint
    rollout = head(attn_reduce="rollout").attention(feats)
    torch.testing.assert_close(rollout[0, 0].flatten(), joint[0, 1:])


def test_scores_from_elsewhere_choose_the_classes():
    scores = torch.eye(7).double()[[3, 5]]
    prediction = head().predict(features(), scores=scores)
    assert prediction.labels[:, 0].tolist() == [3, 5]
    assert prediction.scores is scores


def test_fewer_classes_than_five():
    assert head(num_classes=2).predict(features()).labels.shape == (2, 2)


def test_loss_is_cross_entropy_of_the_labels():
    feats, model = features(), head()
    samples = [LocDataSample().set_gt_label(c) for c in (4, 1)]
    expected = torch.nn.functional.cross_entropy(model(feats), torch.tensor([4, 1]))
    torch.testing.assert_close(model.loss(feats, samples)["loss_cls"], expected)


def test_convolution_keeps_pytorch_initialization():
    model = ConvCAMHead(5, 24)
    model.init_weights()
    bound = (9 * 24) ** -0.5
    assert 0.9 * bound < model.conv.weight.abs().max() <= bound


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(attn_reduce="max"), "attn_reduce must be one of"),
        (dict(couple=False, semantic=False), "leave no map"),
        (dict(num_classes=0), "num_classes must be at least 1, got 0"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        head(**kwargs)


def test_missing_attention_names_the_fix():
    with pytest.raises(ValueError, match="needs 'cls_attn' of the features, .* set tap='cls' in the backbone"):
        head().predict(features("none"))
    with pytest.raises(ValueError, match="needs 'full_attn' of the features, .* set tap='full' in the backbone"):
        head(attn_reduce="rollout").predict(features("cls"))
