"""Backbones of mmwsol with the interface of mmdet's, and the simple feature pyramid."""

from __future__ import annotations

import sys

import pytest
import torch
from known_answer import localizer
from mmengine.registry import MODELS
from torch import nn

from mmwsol.integrations import FeatureMaps, SimpleFeaturePyramid, WSOLDetector

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
VIT = dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8)


def test_any_size_is_padded_to_whole_patches():
    torch.manual_seed(0)
    model = FeatureMaps(VIT).eval()
    image = torch.randn(2, 3, 33, 50)
    (out,) = model(image)
    assert out.shape == (2, 16, 5, 7)
    padded = torch.zeros(2, 3, 40, 56)
    padded[:, :, :33, :50] = image
    assert torch.equal(out, model.backbone(padded).patch_map)


@pytest.mark.parametrize(
    "backbone",
    [
        dict(VIT, out_tokens=(1, 3)),
        dict(VIT, type="mmwsol.SATViT", num_sqa_blocks=2, out_tokens=(1, 3)),  # a further token at the end
    ],
    ids=["TapViT", "SATViT"],
)
def test_a_map_for_every_depth(backbone):
    torch.manual_seed(0)
    model = FeatureMaps(backbone).eval()
    image = torch.randn(1, 3, 32, 48)
    maps = model(image)
    assert [m.shape for m in maps] == [(1, 16, 4, 6)] * 2
    # The last depth is the final map before the final norm: row y, column x is the token at y * w + x.
    feats = model.backbone(image)
    normed = model.backbone.ln1(maps[1].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(normed, feats.patch_map)


@pytest.mark.parametrize(
    ("backbone", "shapes"),
    [
        (
            dict(type="mmwsol.TimmViT", model_name="vit_tiny_patch16_224", embed_dim=24, depth=2, num_heads=2),
            [(24, 14, 14)],
        ),
        (dict(type="mmwsol.VGG16CAM", base_channels=2), [(32, 13, 14)]),  # not padded: it has no patches
        (
            dict(type="mmpretrain.ResNet", depth=18, base_channels=4, stem_channels=4, out_indices=(2, 3)),
            [(16, 14, 14), (32, 7, 7)],
        ),
    ],
    ids=["TimmViT", "VGG16CAM", "ResNet"],
)
def test_other_backbones(backbone, shapes):
    maps = FeatureMaps(backbone).eval()(torch.randn(1, 3, 212, 224))
    assert [m.shape[1:] for m in maps] == [torch.Size(shape) for shape in shapes]


def test_weights_of_a_trained_localizer(tmp_path):
    """Position embeddings of another size are resized; the head is left out."""
    localizer = MODELS.build(
        dict(
            type="mmwsol.ImageLocalizer",
            backbone=VIT,
            head=dict(type="mmwsol.ConvCAMHead", num_classes=3, in_channels=16),
        )
    )
    path = tmp_path / "cam.pth"
    torch.save(dict(state_dict=localizer.state_dict()), path)
    start = dict(type="Pretrained", checkpoint=str(path), prefix="backbone.")
    model = MODELS.build(dict(type="mmwsol.FeatureMaps", backbone=dict(VIT, img_size=64, init_cfg=start)))
    model.init_weights()
    weights, trained = model.backbone.state_dict(), localizer.backbone.state_dict()
    assert weights["pos_embed"].shape == (1, 65, 16)
    for name, value in trained.items():
        if name != "pos_embed":
            assert torch.equal(weights[name], value), name
    assert torch.equal(weights["pos_embed"][:, 0], trained["pos_embed"][:, 0])


def test_pyramid():
    torch.manual_seed(0)
    neck = MODELS.build(dict(type="mmwsol.SimpleFeaturePyramid", in_channels=16, out_channels=8, num_outs=6)).eval()
    x = torch.randn(2, 16, 4, 6)
    outs = neck((torch.zeros(1), x))  # the last of a tuple
    assert [tuple(o.shape[1:]) for o in outs] == [(8, 16, 24), (8, 8, 12), (8, 4, 6), (8, 2, 3), (8, 1, 2), (8, 1, 1)]
    assert torch.equal(outs[4], outs[3][:, :, ::2, ::2])
    # The coarse level sees the maximum of 2x2 positions.
    level = neck.levels[3]
    assert torch.equal(outs[3], level[1:](nn.functional.max_pool2d(x, 2)))
    # Layer norm over channels: every position of every level has mean 0 and variance 1.
    for out in outs[:4]:
        torch.testing.assert_close(out.mean(dim=1), torch.zeros_like(out[:, 0]), atol=1e-5, rtol=0)
        torch.testing.assert_close(out.var(dim=1, unbiased=False), torch.ones_like(out[:, 0]), atol=2e-2, rtol=0)
    assert len(SimpleFeaturePyramid(16, 8, scales=(1, 0.5))((x,))) == 2


def test_errors():
    with pytest.raises(ValueError, match="scales must be among"):
        SimpleFeaturePyramid(16, scales=(3,))
    with pytest.raises(ValueError, match="num_outs=2 is less"):
        SimpleFeaturePyramid(16, num_outs=2)


def test_the_detector_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "mmdet.models", None)
    with pytest.raises(ImportError, match=r"WSOLDetector needs mmdet .*mmwsol\[mmdet\]"):
        WSOLDetector(localizer())


def test_under_a_detector_of_mmdet():
    """mmdet's FPN reads the maps of several depths, and ViTDet's pyramid that of one, directly or not."""
    pytest.importorskip("mmdet.models", exc_type=ImportError)  # absent with mmcv-lite
    from mmdet.structures import DetDataSample
    from mmengine.config import ConfigDict
    from mmengine.registry import init_default_scope
    from mmengine.structures import InstanceData

    init_default_scope("mmdet")
    head = dict(
        type="ATSSHead",
        num_classes=2,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        norm_cfg=dict(type="GN", num_groups=4),
        anchor_generator=dict(type="AnchorGenerator", ratios=[1.0], octave_base_scale=4, scales_per_octave=1),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True),
        loss_bbox=dict(type="GIoULoss"),
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True),
    )
    pyramid = dict(type="mmwsol.SimpleFeaturePyramid", in_channels=16, out_channels=8, scales=(1, 0.5))
    fpn = dict(type="FPN", in_channels=[16, 16], out_channels=8, num_outs=2)
    for backbone, neck, strides, size in (
        (dict(type="mmwsol.FeatureMaps", backbone=dict(VIT, tap="none")), pyramid, [8, 16], (50, 70)),
        (VIT, pyramid, [8, 16], (48, 72)),
        (dict(type="mmwsol.FeatureMaps", backbone=dict(VIT, out_tokens=(1, 3))), fpn, [8, 8], (50, 70)),
    ):
        generator = dict(head["anchor_generator"], strides=strides)
        model = MODELS.build(
            ConfigDict(
                type="ATSS",
                backbone=backbone,
                neck=neck,
                bbox_head=dict(head, anchor_generator=generator),
                train_cfg=dict(assigner=dict(type="ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1),
                test_cfg=dict(
                    nms_pre=10, min_bbox_size=0, score_thr=0.0, nms=dict(type="nms", iou_threshold=0.9), max_per_img=5
                ),
            )
        )
        sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0), pad_shape=size))
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[8.0, 8, 40, 40]]), labels=torch.tensor([1]))
        loss, _ = model.parse_losses(model.loss(torch.randn(1, 3, *size), [sample]))
        loss.backward()
        assert torch.isfinite(loss) and model.backbone.state_dict()
        weight = next(p for n, p in model.named_parameters() if n.endswith("layers.0.attn.qkv.weight"))
        assert weight.grad.abs().sum() > 0
        assert len(model.eval().predict(torch.randn(1, 3, *size), [sample])[0].pred_instances.bboxes) == 5
