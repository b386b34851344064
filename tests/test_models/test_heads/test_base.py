"""LocHead: what every head inherits, on a head of the smallest kind."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmwsol.methods.sat import BatchAreaLoss
from mmwsol.models import Batch, Features, LocHead, LocPrediction, MapLoss
from mmwsol.models.heads.base import select_maps
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample

C, D = 7, 12
AREA = dict(type="mmwsol.BatchAreaLoss", target=0.25)


@MODELS.register_module(force=True)
class RecordingMapLoss(MapLoss):
    """Mean of the map; keeps what it was given."""

    def __init__(self, source: str = "foreground", loss_weight: float = 1.0) -> None:
        super().__init__()
        self.source = source
        self.loss_weight = loss_weight
        self.seen: list[tuple[Tensor, Batch]] = []
        self.classes: list[str] | None = None

    def forward(self, maps, batch=None):
        self.seen.append((maps, batch))
        return self.loss_weight * maps.mean()

    def check_classes(self, classes):
        self.classes = list(classes)


class ClassMapHead(LocHead):
    """One map a class."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**{"num_classes": C, **kwargs})
        self.conv = nn.Conv2d(D, self.num_classes, 1)
        self.encoded = 0

    def encode(self, feats):
        self.encoded += 1
        return self.conv(feats.need("patch_map"))

    def classify(self, encoded):
        return encoded.mean(dim=(2, 3))

    def localize(self, encoded, labels):
        return select_maps(encoded, labels)


class AgnosticHead(ClassMapHead):
    """One map for all."""

    class_agnostic = True

    def localize(self, encoded, labels):
        return encoded.sigmoid().mean(dim=1, keepdim=True)


def head(cls=ClassMapHead, **kwargs):
    torch.manual_seed(0)
    return cls(**kwargs).double()


def features(batch=2):
    torch.manual_seed(1)
    return Features(torch.randn(batch, D, 4, 5, dtype=torch.float64))


def samples(*labels):
    return [LocDataSample().set_gt_label(label) for label in labels]


def test_a_head_must_answer_two_questions():
    class Silent(LocHead):
        def classify(self, encoded):
            return encoded

    with pytest.raises(TypeError, match="localize"):
        Silent(num_classes=3)


def test_features_are_encoded_once():
    feats, model = features(), head(map_losses=dict(loss_a=dict(type="RecordingMapLoss", source="label")))
    model.loss(feats, samples(1, 2))
    assert model.encoded == 1
    model.predict(feats, torch.tensor([1, 2]))
    assert model.encoded == 2


def test_choice_of_classes():
    feats, model = features(), head()
    logits = model.conv(feats.patch_map).mean((2, 3))
    torch.testing.assert_close(model(feats), logits)
    without = model.predict(feats)
    assert torch.equal(without.labels, logits.topk(5).indices) and without.maps.shape == (2, 5, 4, 5)
    torch.testing.assert_close(without.scores, logits.softmax(1))
    scores, maps, labels = model.predict(feats, torch.tensor([6, 0], dtype=torch.int32))
    assert (
        torch.equal(labels[:, :5], without.labels) and labels[:, 5].tolist() == [6, 0] and labels.dtype == torch.int64
    )
    torch.testing.assert_close(maps[1, 5], model.conv(feats.patch_map)[1, 0])
    assert head(topk=2).predict(feats).labels.shape == (2, 2)
    assert head(topk=99).predict(feats).labels.shape == (2, C)


def test_scores_from_elsewhere_choose_the_classes():
    scores = torch.eye(C).double()[[3, 5]]
    prediction = head().predict(features(), scores=scores)
    assert prediction.scores is scores and prediction.labels[:, 0].tolist() == [3, 5]


def test_map_of_a_class_agnostic_head():
    feats, model = features(), head(AgnosticHead)
    for gt_labels, scores in ((None, None), (torch.tensor([1, 2]), None), (None, torch.eye(C).double()[[3, 5]])):
        prediction = model.predict(feats, gt_labels, scores)
        assert prediction.labels.tolist() == [[-1], [-1]] and prediction.labels.dtype == torch.int64
        torch.testing.assert_close(prediction.maps, model.conv(feats.patch_map).sigmoid().mean(1, keepdim=True))
    torch.testing.assert_close(model.foreground(model.encode(feats)), prediction.maps[:, 0])


def test_images_have_each_class_once():
    scores = torch.eye(3)
    labels = torch.tensor([[2, 0, 1], [2, 0, 2], [-1, -1, -1]])
    maps = torch.arange(9.0).view(3, 3, 1, 1).expand(-1, -1, 2, 2).double()
    images = list(LocPrediction(scores, maps, labels).images())
    assert [image[2].tolist() for image in images] == [[2, 0, 1], [2, 0], [-1]]
    assert [image[1][:, 0, 0].tolist() for image in images] == [[0, 1, 2], [3, 4], [6]]
    for image, expected in zip(images, scores, strict=True):
        assert torch.equal(image[0], expected) and image[1].dtype == torch.float32


def test_a_batch_leaves_the_device_once(monkeypatch):
    prediction = LocPrediction(torch.rand(8, C), torch.rand(8, 6, 4, 4), torch.randint(C, (8, 6)))
    copies = []
    cpu = Tensor.cpu
    monkeypatch.setattr(Tensor, "cpu", lambda self: copies.append(self.shape) or cpu(self))
    assert len(list(prediction.images())) == 8
    assert copies == [(8, C), (8, 6, 4, 4), (8, 6)]


def test_loss_is_cross_entropy_by_default():
    feats, model = features(), head()
    losses = model.loss(feats, samples(4, 1))
    assert list(losses) == ["loss_cls"]
    torch.testing.assert_close(losses["loss_cls"], F.cross_entropy(model(feats), torch.tensor([4, 1])))
    smooth = head(loss=dict(type="mmpretrain.LabelSmoothLoss", label_smooth_val=0.1, mode="original"))
    expected = F.cross_entropy(model(feats), torch.tensor([4, 1]), label_smoothing=0.1)
    torch.testing.assert_close(smooth.loss(feats, samples(4, 1))["loss_cls"], expected)


def test_losses_of_both_kinds_of_maps():
    names = dict(loss_a="foreground", loss_b="label", loss_c="foreground")
    losses = {name: dict(type="RecordingMapLoss", source=source, loss_weight=2.0) for name, source in names.items()}
    feats, model, images = features(), head(AgnosticHead, map_losses=losses), torch.randn(2, 3, 8, 10)
    data_samples = samples(4, 1)
    values = model.loss(feats, data_samples, images)
    assert list(values) == ["loss_cls", *names]
    encoded = model.conv(feats.patch_map)
    for name, source in names.items():
        ((maps, batch),) = model.map_losses[name].seen
        torch.testing.assert_close(maps, encoded.sigmoid().mean(1))
        torch.testing.assert_close(values[name], 2 * maps.mean())
        assert batch.labels.tolist() == [4, 1] and batch.inputs is images and batch.data_samples is data_samples
        assert model.map_losses[name].num_classes == C and source == model.map_losses[name].source
    assert model.map_losses["loss_a"].seen[0][0] is model.map_losses["loss_c"].seen[0][0]  # computed once


def test_label_map_is_that_of_the_image_class():
    feats, model = features(), head(map_losses=dict(loss_b=dict(type="RecordingMapLoss", source="label")))
    model.loss(feats, samples(4, 1))
    maps = model.map_losses["loss_b"].seen[0][0]
    torch.testing.assert_close(maps, model.conv(feats.patch_map)[[0, 1], [4, 1]])
    assert maps.requires_grad


def test_a_head_with_class_maps_alone_has_no_foreground():
    model = head(map_losses=dict(loss_area=AREA))
    with pytest.raises(ValueError, match="ClassMapHead has no class-agnostic map, which a loss in map_losses asks for"):
        model.loss(features(), samples(4, 1))


def test_map_losses_are_modules_with_the_number_of_classes():
    model = head(AgnosticHead, map_losses=dict(loss_area=AREA))
    assert isinstance(model.map_losses["loss_area"], BatchAreaLoss)
    values = model.loss(features(), samples(4, 1))
    torch.testing.assert_close(values["loss_area"], (model.predict(features()).maps.mean() - 0.25).abs())


def test_a_loss_without_weight_is_left_out():
    losses = dict(loss_area=dict(AREA, loss_weight=0.0), loss_other=None)
    model = head(AgnosticHead, map_losses=losses)
    assert not model.map_losses and list(model.loss(features(), samples(4, 1))) == ["loss_cls"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(num_classes=0), "num_classes must be at least 1, got 0"),
        (dict(map_losses=dict(area=AREA)), "names in map_losses must start with 'loss_' .* got 'area'"),
        (
            dict(map_losses=dict(loss_noise=dict(type="mmwsol.NoiseSuppressionLoss"))),
            "map_losses.loss_noise must be a mmwsol.models.MapLoss, got 'mmwsol.NoiseSuppressionLoss'",
        ),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        head(**kwargs)


def test_class_names_reach_the_losses():
    model = head(map_losses=dict(loss_a=dict(type="RecordingMapLoss"), loss_b=dict(type="RecordingMapLoss")))
    model.check_classes(["cat", "dog"])
    assert [loss.classes for loss in model.map_losses.values()] == [["cat", "dog"]] * 2
    head(map_losses=dict(loss_area=AREA)).check_classes(["cat", "dog"])  # most losses know none


def test_fields_of_the_data_samples():
    data_samples = samples(4, 1)
    for i, sample in enumerate(data_samples):
        sample.set_field(torch.full((2, 3), i), "pseudo_mask")
    batch = Batch(torch.tensor([4, 1]), data_samples)
    assert batch.stack("pseudo_mask", "LoadPseudoMask").shape == (2, 2, 3)
    del data_samples[1].pseudo_mask
    message = "have no 'pseudo_mask': put mmwsol.LoadPseudoMask into the training pipeline"
    with pytest.raises(ValueError, match=message):
        batch.stack("pseudo_mask", "LoadPseudoMask")


def test_a_head_adds_nothing_unasked():
    model = head()
    weights = {"head.fc.weight": torch.zeros(2, 2)}
    model.adapt_weights(weights, "")
    assert list(weights) == ["head.fc.weight"]
    assert not model.frozen(nn.Identity()) and LocHead.backbone_options(num_classes=3) == {}


def test_a_localizer_takes_localization_heads_alone():
    backbone = dict(type="mmpretrain.ResNet", depth=18)
    head = dict(type="mmpretrain.LinearClsHead", num_classes=3, in_channels=4)
    with pytest.raises(ValueError, match="head.type must be a localization head .* got 'mmpretrain.LinearClsHead'"):
        MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
