"""SATHead: scores, the class-agnostic map, the three losses and their switches."""

import pytest
import torch

from mmwsol.methods.sat import SATHead, SATViT
from mmwsol.models import TapViT
from mmwsol.structures import LocDataSample

ARCH = dict(embed_dims=24, num_layers=4, num_heads=3, feedforward_channels=48)
AREA = dict(type="mmwsol.BatchAreaLoss", target=0.25)
NORM = dict(type="mmwsol.MapNormalizationLoss")
SAMPLES = [LocDataSample().set_gt_label(label) for label in (4, 1)]


def features(cls=SATViT, size=(32, 48)):
    torch.manual_seed(1)
    model = cls(arch=ARCH, img_size=32, patch_size=8).double()
    model.init_weights()
    return model.eval()(torch.randn(2, 3, *size, dtype=torch.float64) * 3)


def head(**kwargs):
    torch.manual_seed(2)
    return SATHead(6, 24, **kwargs).double()


@pytest.mark.parametrize("size", [(32, 48), (8, 16)])
def test_logits_are_the_mean_of_the_convolution(size):
    feats, model = features(size=size), head()
    expected = model.conv(feats.patch_map).mean(dim=(2, 3))
    torch.testing.assert_close(model(feats), expected, rtol=0, atol=1e-12)
    ours, theirs = (torch.autograd.grad(x.square().sum(), model.conv.weight) for x in (model(feats), expected))
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=1e-10)


def test_logits_of_a_cnn_branch_are_added():
    feats, model = features(), head(conv_channels=10)
    model.init_weights()
    conv_map = torch.randn(2, 10, 2, 3).double()
    logits = model(feats._replace(conv_map=conv_map))
    cnn = conv_map.mean((2, 3)) @ model.fc.weight.T
    torch.testing.assert_close(logits, model.conv(feats.patch_map).mean((2, 3)) + cnn)


def test_scores_and_map():
    feats, model = features(), head()
    scores, maps, labels = model.predict(feats, gt_labels=torch.tensor([1, 2]))
    torch.testing.assert_close(scores, model(feats).softmax(1))
    torch.testing.assert_close(maps, feats.gates.mean(dim=1, keepdim=True))
    assert labels.tolist() == [[-1], [-1]]
    other = torch.eye(6).double()[[3, 5]]  # of ten crops
    prediction = model.predict(feats, scores=other)
    assert prediction.scores is other and torch.equal(prediction.maps, maps)


def test_losses():
    feats, model = features(), head(map_losses=dict(loss_area=AREA, loss_norm=NORM))
    losses = model.loss(feats, SAMPLES)
    maps = feats.gates.mean(1)
    assert list(losses) == ["loss_cls", "loss_area", "loss_norm"]
    expected = torch.nn.functional.cross_entropy(model(feats), torch.tensor([4, 1]))
    torch.testing.assert_close(losses["loss_cls"], expected)
    torch.testing.assert_close(losses["loss_area"], (maps.mean() - 0.25).abs())
    torch.testing.assert_close(losses["loss_norm"], model.map_losses["loss_norm"](maps))


@pytest.mark.parametrize(
    ("kwargs", "names"),
    [
        (dict(), ["loss_cls"]),
        (dict(map_losses=dict(loss_area=AREA)), ["loss_cls", "loss_area"]),
        (dict(map_losses=dict(loss_area=dict(AREA, loss_weight=0.0), loss_norm=NORM)), ["loss_cls", "loss_norm"]),
        (dict(map_losses=dict(loss_area=None, loss_norm=NORM)), ["loss_cls", "loss_norm"]),
    ],
)
def test_terms_can_be_switched_off(kwargs, names):
    assert list(head(**kwargs).loss(features(), SAMPLES)) == names


def test_every_loss_trains_the_spatial_token():
    torch.manual_seed(0)
    model, losses = SATViT(arch=ARCH, img_size=32, patch_size=8), head(map_losses=dict(loss_area=AREA, loss_norm=NORM))
    model.init_weights()
    for loss in losses.float().loss(model(torch.randn(2, 3, 32, 32)), SAMPLES).values():
        (grad,) = torch.autograd.grad(loss, model.loc_token, retain_graph=True)
        assert grad.abs().max() > 0


def test_convolution_keeps_pytorch_initialization():
    model = head()
    model.init_weights()
    bound = (9 * 24) ** -0.5
    assert 0.9 * bound < model.conv.weight.abs().max() <= bound


def test_errors_name_the_fix():
    with pytest.raises(ValueError, match="needs 'gates' of the features, .* set backbone.type='mmwsol.SATViT'"):
        head().predict(features(TapViT))
    with pytest.raises(ValueError, match="needs 'conv_map' of the features, .* take a Conformer"):
        head(conv_channels=10)(features())
