"""The official release of TS-CAM: DeiT, Conformer and VGG16."""

import pytest
import torch
from releases import (
    CONFORMER_ARCH,
    cam,
    conformer,
    conformer_release,
    deit_release,
    load_strictly,
    loaded,
    localizer,
    official_tensors,
    tscam_release,
)

from mmwsol.models.weights import guess_source
from mmwsol.registry import MODELS
from mmwsol.utils import convert_official


def vgg16():
    return cam(dict(type="mmwsol.VGG16CAM"), 1024)


def test_tscam_leaves_no_missing_and_no_unexpected_key():
    official = tscam_release()
    target = localizer()
    load_strictly(target, convert_official(official, "tscam"))
    assert torch.equal(target.head.conv.weight, official["state_dict"]["module.head.weight"])
    fc2 = official["state_dict"]["module.blocks.2.mlp.fc2.weight"]
    assert torch.equal(target.backbone.layers[2].ffn.layers[1].weight, fc2)


@pytest.mark.parametrize(("case", "make"), [("conformer_narrow", conformer), ("vgg16_cam_96", vgg16)])
def test_tscam_releases_of_other_networks_leave_no_key(case, make):
    official = official_tensors(case)
    target = make()
    converted = convert_official({"state_dict": {f"module.{k}": v for k, v in official.items()}}, "tscam")
    assert len(converted) == len(official)
    load_strictly(target, converted)
    if make is conformer:
        fc2 = official["conv_trans_6.trans_block.mlp.fc2.weight"]
        assert torch.equal(target.backbone.conv_trans_6.trans_block.ffn.layers[1].weight, fc2)
        assert torch.equal(target.head.conv.weight, official["trans_cls_head.weight"])
        assert torch.equal(target.head.fc.bias, official["conv_cls_head.bias"])
    else:
        assert torch.equal(target.backbone.features[28].weight, official["features.28.weight"])
        assert torch.equal(target.head.fc.weight, official["fc.weight"])


def test_all_three_are_recognized():
    assert guess_source({k.removeprefix("module."): v for k, v in tscam_release()["state_dict"].items()}) == "tscam"
    assert guess_source(official_tensors("conformer_narrow")) == "tscam"
    assert guess_source(official_tensors("vgg16_cam_96")) == "tscam"


@pytest.mark.parametrize("inherit", [True, False])
def test_bias_of_the_classifier_is_inherited_where_class_counts_agree(tmp_path, inherit):
    official = deit_release(num_classes=5)
    target = loaded(localizer(dict(inherit_bias=inherit)), official, tmp_path)
    assert torch.equal(target.head.conv.bias, official["head.bias"]) == inherit


@pytest.mark.parametrize("inherit", [True, False])
def test_conformer_inherits_classifiers_where_class_counts_agree(tmp_path, inherit):
    official = conformer_release()
    target = loaded(conformer(1000, inherit_bias=inherit), official, tmp_path)
    assert torch.equal(target.head.fc.weight, official["conv_cls_head.weight"])
    assert torch.equal(target.head.conv.bias, official["trans_cls_head.bias"]) == inherit
    again = loaded(conformer(1000, inherit_bias=inherit), target.state_dict(), tmp_path)  # our own: everything
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in target.state_dict().items())


def test_convolution_alone_never_takes_the_bias_of_the_cnn_branch(tmp_path):
    official = conformer_release()
    backbone = dict(type="mmwsol.TapConformer", arch=CONFORMER_ARCH)
    head = dict(type="mmwsol.ConvCAMHead", num_classes=1000, in_channels=48)
    target = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    assert torch.equal(loaded(target, official, tmp_path).head.conv.bias, official["trans_cls_head.bias"])
