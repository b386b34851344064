"""The offline stage of DiPS: boxes, area filter, blur, scores, summary."""

from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from torch import nn

from mmwsol.methods.dips import ProposalWriter
from mmwsol.methods.dips.offline import gaussian_matrix, size_density
from mmwsol.registry import MODELS
from mmwsol.structures import Frame, LocDataSample

ARCH = dict(embed_dims=16, num_layers=2, num_heads=4, feedforward_channels=32)
SMALL = dict(blur_kernel=9, blur_sigma=8.0)


class RedClassifier(nn.Module):
    """Class 1 is the amount of red, in units of the network's input."""

    def forward(self, pictures):
        return torch.stack([torch.zeros(len(pictures)), pictures[:, 0].mean((1, 2))], dim=1)


def build():
    torch.manual_seed(0)
    backbone = dict(type="mmwsol.DiPSViT", arch=ARCH, img_size=32, patch_size=8, num_cls_tokens=1)
    head = dict(type="mmwsol.DiPSHead", num_classes=2, in_channels=16, num_cls_tokens=1, channels=(8, 4))
    return MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head)).eval()


def batch(labels=(0, 1), size=(64, 48)):
    samples, frame = [], Frame.identity(size[::-1]).resized((32, 32))
    for label in labels:
        samples.append(LocDataSample(metainfo=dict(frame=frame, ori_shape=size[::-1])).set_gt_label(label))
    images = [torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8) for _ in labels]
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize(
    ("areas", "min_area", "keep", "passed"),
    [([0.8, 0.76, 0.3], 0.75, [0, 1], True), ([0.6, 0.3], 0.75, [0], False), ([0.3, 0.6, 0.6], 0.75, [1], False)],
)
def test_area_filter(areas, min_area, keep, passed):
    found, any_passed = ProposalWriter(min_area, **SMALL).filter_areas(np.array(areas))
    assert found.tolist() == keep and any_passed == passed


def test_boxes_of_all_maps():
    maps = np.full((3, 32, 32), 0.1)
    maps[0, 4:20, 6:30] = 1.0
    maps[2, 0:32, 0:32] = 1.0  # constant: nothing
    maps[1, 1:5, 1:5] = maps[1, 20:32, 10:32] = 0.9
    boxes, index, areas, passed = ProposalWriter(0.0, **SMALL).find_boxes(maps)
    found = sorted(zip(index.tolist(), boxes.tolist(), strict=True))
    assert found == [(0, [6, 4, 30, 20]), (1, [1, 1, 5, 5]), (1, [10, 20, 31, 31])]  # clipped to 31
    assert passed and areas.max() == pytest.approx(27 * 19 / 1024)  # a pixel larger on every side
    boxes, _, _, passed = ProposalWriter(0.9, **SMALL).find_boxes(maps)
    assert boxes.tolist() == [[6, 4, 30, 20]] and not passed
    boxes, index, _, passed = ProposalWriter(0.0, **SMALL).find_boxes(maps[2:])
    assert boxes.shape == (0, 4) and not passed


def test_outside_of_the_box_is_blurred():
    image = torch.rand(1, 3, 32, 32)
    seen = []
    model = lambda pictures: seen.append(pictures) or torch.zeros(len(pictures), 2)  # noqa: E731
    probs = ProposalWriter(0.0, batch_size=1, **SMALL).classify(
        model, image, [np.array([[8, 8, 20, 20], [0, 0, 31, 31]])]
    )
    assert probs[0].shape == (2, 2)
    first, second = torch.cat(seen)
    torch.testing.assert_close(first[:, 7:22, 7:22], image[0, :, 7:22, 7:22])
    assert first[:, :6].std() < 0.5 * image[0, :, :6].std()
    torch.testing.assert_close(second, image[0])


def test_blur_is_a_reflected_gaussian():
    matrix = gaussian_matrix(16, 5, 1.5)
    torch.testing.assert_close(matrix.sum(1), torch.ones(16, dtype=torch.float64), atol=1e-6, rtol=0)
    line = torch.rand(16, dtype=torch.float64)
    weights = torch.exp(-(torch.arange(-2.0, 3) ** 2) / (2 * 1.5**2))
    padded = torch.cat([line[1:3].flip(0), line, line[-3:-1].flip(0)])
    expected = (padded.unfold(0, 5, 1) * (weights / weights.sum())).sum(1)
    torch.testing.assert_close(matrix @ line, expected, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="needs images of more than 57 pixels, got 32"):
        gaussian_matrix(32, 115, 100.5)


def test_scores_decide_the_order():
    model, data = build(), batch((1, 0, 1))
    with torch.no_grad():
        found = ProposalWriter(0.0, **SMALL).process(model, data)
    assert len(found) == 3
    for proposals in found:
        assert (np.diff(proposals.scores) <= 0).all() and len(proposals.boxes) == len(proposals.map_index) > 0
        assert (proposals.boxes >= 0).all() and (proposals.boxes[:, 2] <= 64).all()
        assert (proposals.boxes[:, 3] <= 48).all() and proposals.boxes.dtype == np.float32
    model.forward = lambda pictures: torch.zeros(len(pictures), 2)
    with torch.no_grad():
        (one,) = ProposalWriter(0.0, **SMALL).process(model, batch((0,)))
    assert (np.diff(one.map_index) >= 0).all()  # equal scores keep the order of the maps


def test_other_classifier_sees_its_own_normalization():
    model, data = build(), batch((1, 1))
    writer = ProposalWriter(0.0, **SMALL)
    writer.scorer = RedClassifier()
    preprocessor = dict(type="mmwsol.LocDataPreprocessor", mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 4.0))
    writer.scorer.data_preprocessor = MODELS.build(preprocessor)
    images = model.data_preprocessor(data)["inputs"]
    (ours,) = [writer._logits(model, images)]
    red = torch.stack([image[2].float() for image in data["inputs"]])  # BGR
    torch.testing.assert_close(ours[:, 1], ((red - 10) / 1).mean((1, 2)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("to_rgb", [True, False])
def test_other_classifier_gets_the_channels_in_its_order(to_rgb):
    model, data = build(), batch((1, 1))
    writer = ProposalWriter(0.0, **SMALL)
    writer.scorer = RedClassifier()  # of the first channel, which is red or blue
    preprocessor = dict(type="mmpretrain.ClsDataPreprocessor", mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 4.0))
    writer.scorer.data_preprocessor = MODELS.build(dict(preprocessor, to_rgb=to_rgb))
    images = model.data_preprocessor(data)["inputs"]
    expected = writer.scorer(writer.scorer.data_preprocessor(data)["inputs"])
    torch.testing.assert_close(writer._logits(model, images), expected, rtol=1e-4, atol=1e-3)


def test_classifier_without_normalization_gets_the_input_as_it_is():
    model, data = build(), batch((1, 1))
    writer = ProposalWriter(0.0, **SMALL)
    writer.scorer = RedClassifier()
    writer.scorer.data_preprocessor = MODELS.build(dict(type="mmpretrain.ClsDataPreprocessor"))
    images = model.data_preprocessor(data)["inputs"]
    assert torch.equal(writer._logits(model, images), writer.scorer(images))


def test_score_by_size():
    areas = np.array([0.2, 0.4, 0.6])
    density = size_density(areas)
    assert density.argmax() == 1 and density[0] == pytest.approx(density[2])
    probs = np.array([0.9, 0.1, 0.3])
    assert ProposalWriter(score="size", **SMALL).rank(probs, areas).tolist() == density.tolist()
    assert ProposalWriter(score="size_and_class", **SMALL).rank(probs, areas).argmax() == 0
    assert np.isnan(size_density(areas[:1])) and ProposalWriter(score="size", **SMALL).rank(probs[:1], areas[:1]) == 1


def test_images_without_object():
    with torch.no_grad():
        first, second = ProposalWriter(0.0, background_class=1, **SMALL).process(build(), batch((0, 1)))
    assert first.boxes.any() and second.boxes.tolist() == [[0, 0, 0, 0]]


def test_class_without_object_is_the_heads():
    model = build()
    model.head.background_class = 1
    writer = ProposalWriter(0.0, **SMALL)
    writer.setup(SimpleNamespace(model=model))
    assert writer.params()["background_class"] == 1
    with pytest.raises(ValueError, match="background_class is 0 here and 1 in the head"):
        ProposalWriter(0.0, background_class=0, **SMALL).setup(SimpleNamespace(model=model))


def test_scorer_of_timm_keeps_the_weights_of_its_file(tmp_path):
    """mmengine's ``init_weights`` would draw timm's ResNet anew: proposals ranked by a random network, in silence."""
    torch.manual_seed(3)
    release = timm.create_model("resnet10t", num_classes=2).eval()
    for value in release.parameters():
        value.data += 0.1 * torch.randn_like(value)
    torch.save(release.state_dict(), tmp_path / "resnet10t.pth")
    overlay = dict(file=str(tmp_path / "resnet10t.pth"), num_classes=2)
    timm_model = dict(model_name="resnet10t", num_classes=2, pretrained=True, pretrained_cfg_overlay=overlay)
    writer = ProposalWriter(0.0, scorer=dict(type="mmpretrain.TimmClassifier", **timm_model), **SMALL)
    model = build()
    writer.setup(SimpleNamespace(model=model))
    loaded = writer.scorer.model.state_dict()
    for name, value in release.state_dict().items():
        assert torch.equal(loaded[name], value), name
    images = model.data_preprocessor(batch())["inputs"]
    whole = np.array([[0, 0, 31, 31]])  # nothing is blurred
    with torch.no_grad():
        for probs, image in zip(writer.classify(model, images, [whole, whole]), images, strict=True):
            expected = release(image[None]).softmax(dim=1).double().numpy()
            np.testing.assert_allclose(probs, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(min_area=2), "min_area must be a fraction"),
        (dict(blur_kernel=4), "blur_kernel must be odd"),
        (dict(score="best"), "score must be one of"),
        (dict(raster="line"), "raster must be one of"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        ProposalWriter(**options)
