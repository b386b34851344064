"""LinearCAMHead: CAM's identity between maps and logits, on every kind of backbone."""

import pytest
import torch

from mmwsol.methods.cam import LinearCAMHead
from mmwsol.models import Features, TapViT
from mmwsol.models.features import as_features
from mmwsol.structures import LocDataSample


def head(**kwargs):
    torch.manual_seed(0)
    model = LinearCAMHead(7, 12, **kwargs).double()
    model.init_weights()
    torch.nn.init.normal_(model.fc.bias)
    return model


def features():
    torch.manual_seed(1)
    return Features(torch.randn(2, 12, 4, 6, dtype=torch.float64))


@pytest.mark.parametrize("map_bias", [False, True])
def test_mean_of_the_map_is_the_logit(map_bias):
    feats, model = features(), head(topk=7, map_bias=map_bias)
    logits = model(feats)
    scores, maps, labels = model.predict(feats)
    assert maps.shape == (2, 7, 4, 6)
    bias = 0 if map_bias else model.fc.bias[labels]
    torch.testing.assert_close(maps.mean((2, 3)) + bias, logits.gather(1, labels))
    torch.testing.assert_close(scores, logits.softmax(1))


def test_map_is_the_classifier_row_times_the_features():
    feats, model = features(), head()
    gt = torch.tensor([6, 2])
    _, maps, labels = model.predict(feats, gt)
    assert labels.shape == (2, 6) and torch.equal(labels[:, 5], gt)
    expected = (model.fc.weight[2][:, None, None] * feats.patch_map[1]).sum(0)
    torch.testing.assert_close(maps[1, 5], expected)


def test_backbones_of_mmpretrain_and_transformers():
    feats, model = features(), head()
    assert torch.equal(model(as_features((torch.zeros(1), feats.patch_map))), model(feats))  # of all stages the last
    arch = dict(embed_dims=12, num_layers=2, num_heads=2, feedforward_channels=24)
    vit = (
        TapViT(arch=arch, img_size=32, patch_size=8, out_tokens=[1]).double().eval()(torch.randn(2, 3, 32, 32).double())
    )
    assert torch.equal(model(as_features(vit)), model(as_features(vit.patch_map)))
    assert model.predict(vit).maps.shape == (2, 5, 4, 4)
    with pytest.raises(ValueError, match=r"needs a map \(B, D, h, w\), but the backbone gives \(2, 12\)"):
        model(as_features((torch.zeros(2, 12),)))


def test_scores_from_elsewhere_choose_the_classes():
    scores = torch.eye(7).double()[[3, 5]]
    assert head().predict(features(), scores=scores).labels[:, 0].tolist() == [3, 5]


def test_loss_and_initialization():
    feats, model = features(), head()
    samples = [LocDataSample().set_gt_label(c) for c in (4, 1)]
    expected = torch.nn.functional.cross_entropy(model(feats), torch.tensor([4, 1]))
    torch.testing.assert_close(model.loss(feats, samples)["loss_cls"], expected)
    large = LinearCAMHead(50, 400)
    large.init_weights()
    assert float(large.fc.weight.std()) == pytest.approx(0.01, rel=0.05) and (large.fc.bias == 0).all()
