"""Backbones of mmwsol in mmpretrain's classifier, and localizers in mmpretrain's inferencer and mmengine's dump."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
import torch
from known_answer import BOXES, localizer, write_picture
from mmengine.config import Config
from mmengine.evaluator import DumpResults, Evaluator
from mmengine.registry import MODELS, init_default_scope
from mmpretrain import ImageClassificationInferencer
from mmpretrain.models import ImageClassifier, VisionTransformer
from mmpretrain.structures import DataSample

from mmwsol.datasets.transforms import UnreadableImageError
from mmwsol.evaluation.metrics import MaxBoxAcc
from mmwsol.registry import TRANSFORMS
from mmwsol.structures import LocDataSample

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
VIT = dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8)
WIDTHS = dict(resnet18=512, mobilenetv3_small_050=1024, convnext_atto=320)
HEADS = ("VisionTransformerClsHead", "LinearClsHead")
TIMM = dict(type="mmwsol.TimmViT", model_name="vit_tiny_patch16_224", embed_dim=24, depth=2, num_heads=2, img_size=32)


def classifier(backbone, head, **options):
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    model = ImageClassifier(backbone, head=dict(type=head, num_classes=3, **options))
    torch.nn.init.normal_(model.head.layers.head.weight if "Vision" in head else model.head.fc.weight)
    return model


@pytest.mark.parametrize("head", HEADS)
def test_the_classifier_is_that_of_mmpretrains_own_transformer(head):
    """Same weights under the same names, same scores."""
    ours = classifier(VIT, head, in_channels=16).eval()
    own = dict(type="VisionTransformer", arch=ARCH, img_size=32, patch_size=8, out_type="cls_token")
    theirs = classifier(own, head, in_channels=16).eval()
    assert type(theirs.backbone) is VisionTransformer
    theirs.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(images), theirs(images))
    assert ours(images).std() > 0.1


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "convnext_atto"])
def test_a_cnn_classifies_as_in_timm(name):
    """Also where layers stand between the pool and the classifier."""
    model = classifier(dict(type="mmwsol.TimmCNN", model_name=name), HEADS[1], in_channels=WIDTHS[name]).eval()
    images = torch.randn(2, 3, 64, 64)
    network = model.backbone.timm_model  # without its classifier
    torch.testing.assert_close(model(images), model.head.fc(network(images)))


@pytest.mark.parametrize(
    ("backbone", "width"), [(VIT, 16), (dict(VIT, type="mmwsol.SATViT", num_sqa_blocks=1), 16), (TIMM, 24)]
)
def test_it_trains_and_predicts(backbone, width):
    model = classifier(backbone, HEADS[0], in_channels=width)
    samples = [DataSample().set_gt_label(label) for label in (2, 0)]
    images = torch.randn(2, 3, 32, 32)
    model(images, samples, mode="loss")["loss"].backward()
    assert next(model.backbone.parameters()).grad is not None
    predicted = model.eval()(images, samples, mode="predict")
    assert [sample.pred_score.sum().item() for sample in predicted] == pytest.approx([1, 1])


def test_maps_for_necks():
    init_default_scope("mmpretrain")
    model = ImageClassifier(
        dict(type="mmwsol.FeatureMaps", backbone=dict(type="mmwsol.VGG16CAM", base_channels=2)),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(type="LinearClsHead", num_classes=3, in_channels=32),
    ).eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(model(images), model.head.fc(model.backbone(images)[-1].mean(dim=(2, 3))))


def test_the_inferencer_hands_over_arrays(tmp_path):
    path = tmp_path / "a.png"
    write_picture(path, width=96)
    model = MODELS.build(localizer()).eval()
    pipeline = [dict(type="mmwsol.LoadImage"), dict(type="mmwsol.PackLocInputs")]
    model._config = Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline))))
    classify = ImageClassificationInferencer(model, classes=("red", "green", "blue"))
    for given in (str(path), cv2.imread(str(path))):
        assert classify(given)[0]["pred_class"] == "red"
        [sample] = classify(given, return_datasamples=True)
        np.testing.assert_allclose(sample.pred_instances.bboxes[0], BOXES[0], atol=1)


@pytest.mark.parametrize("img", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_arrays_that_are_no_image(img):
    with pytest.raises(UnreadableImageError, match=r"must be \(H, W, 3\) uint8, got \("):
        TRANSFORMS.build(dict(type="mmwsol.LoadImage"))(dict(img=img))


def test_dump_beside_our_metrics(tmp_path):
    """mmengine's dump of predictions, which mmpretrain's test.py --out adds, holds no parts of our metrics."""
    write_picture(tmp_path / "a.png", width=96)
    load, pack = (TRANSFORMS.build(dict(type=f"mmwsol.{name}")) for name in ("LoadImage", "PackLocInputs"))
    item = dict(img_path=str(tmp_path / "a.png"), img_id="a", gt_label=0, gt_bboxes_ori=np.float32([BOXES[0]]))
    packed = pack(load(item))
    model = MODELS.build(localizer()).eval()
    samples = model.test_step(dict(inputs=[packed["inputs"]], data_samples=[packed["data_samples"]]))
    assert isinstance(samples[0], LocDataSample)
    evaluator = Evaluator([MaxBoxAcc(), DumpResults(str(tmp_path / "out.pkl"))])
    evaluator.process(samples)
    assert evaluator.evaluate(1)["loc/max_box_acc"] == 100
    [dumped] = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert dumped["pred_label"].tolist() == [0] and dumped["score_maps"] is None
    np.testing.assert_array_equal(dumped["pred_instances"]["bboxes"], samples[0].pred_instances.bboxes)
