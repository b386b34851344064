"""TapViT: same numbers as mmpretrain's ViT, and attention that is what it says."""

import pytest
import torch
from mmpretrain.models.backbones import VisionTransformer

from mmwsol.methods.sat import SATViT
from mmwsol.models import TapViT

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)


def vit(cls=TapViT, **kwargs):
    torch.manual_seed(0)
    model = cls(arch=ARCH, img_size=32, patch_size=8, **kwargs)
    model.init_weights()
    model.eval()
    return model


def test_equals_mmpretrain_with_its_parameter_names():
    ours, theirs = vit(), vit(VisionTransformer, out_type="raw")
    theirs.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(2, 3, 32, 48)  # not square: position embeddings are resized
    feats, raw = ours(images), theirs(images)[-1]
    torch.testing.assert_close(feats.cls_token, raw[:, 0])
    torch.testing.assert_close(feats.patch_map.flatten(2).transpose(1, 2), raw[:, 1:])
    assert feats.patch_map.shape == (2, 24, 4, 6)
    assert feats.cls_attn.shape == (2, 3, 2, 4, 6)


def test_class_row_equals_explicit_attention():
    rows, full = vit(tap="cls").double(), vit(tap="full").double()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    a, b = rows(images), full(images)
    torch.testing.assert_close(a.patch_map, b.patch_map, rtol=0, atol=1e-12)
    torch.testing.assert_close(a.cls_attn, b.cls_attn, rtol=0, atol=1e-12)
    assert a.full_attn is None
    torch.testing.assert_close(b.full_attn.sum(-1), torch.ones(2, 3, 2, 17, dtype=torch.float64))


@pytest.mark.parametrize("layers", [[-1], [0, 2], [2, 0]])
def test_tap_layers(layers):
    images = torch.randn(1, 3, 32, 32)
    everything = vit()(images).cls_attn
    chosen = vit(tap_layers=layers)(images).cls_attn
    assert torch.equal(chosen, everything[:, sorted(i % 3 for i in layers)])


def test_out_tokens_are_depths():
    model = vit(out_tokens=[0, 2, -1])
    feats = model(torch.randn(1, 3, 32, 32))
    assert [t.shape for t in feats.tokens] == [(1, 17, 24)] * 3
    torch.testing.assert_close(model.ln1(feats.tokens[-1])[:, 0], feats.cls_token)
    x = feats.tokens[0]
    for layer in model.layers[:2]:
        x = x + layer.attn(layer.ln1(x))[0]
        x = layer.ffn(layer.ln2(x), identity=x)
    torch.testing.assert_close(feats.tokens[1], x)


def test_no_attention_in_training_unless_asked():
    images = torch.randn(1, 3, 32, 32)
    assert vit().train()(images).cls_attn is None
    assert vit(tap_in_train=True).train()(images).cls_attn is not None
    assert vit(tap="none")(images).cls_attn is None


def test_attention_stays_float32_under_autocast():
    model = vit()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        feats = model(torch.randn(1, 3, 32, 32))
    assert feats.cls_attn.dtype == torch.float32


def test_position_embedding_of_another_size_is_resized_on_loading():
    small, large = vit(), TapViT(arch=ARCH, img_size=64, patch_size=8)
    large.load_state_dict(small.state_dict())
    assert large.pos_embed.shape == (1, 65, 24)
    assert torch.equal(large.pos_embed[:, 0], small.pos_embed[:, 0])


def test_conv_stem_and_its_patch_size():
    model = vit(stem=dict(type="mmwsol.ConvStem", channels=(6, 8, 12)))
    assert model(torch.randn(1, 3, 32, 48)).patch_map.shape == (1, 24, 4, 6)
    with pytest.raises(ValueError, match="the stem makes patches of 4 pixels, but patch_size is"):
        vit(stem=dict(type="mmwsol.ConvStem", channels=(6, 8)))


def test_compiles_without_graph_break():
    model = TapViT(arch=ARCH, img_size=32, patch_size=8, drop_path_rate=0.1).train()
    explained = torch._dynamo.explain(model)(torch.randn(2, 3, 32, 32))
    assert explained.graph_break_count == 0, explained.break_reasons


@pytest.mark.parametrize("cls", [TapViT, SATViT])
def test_frozen_stages_of_mmpretrain_are_refused(cls):
    with pytest.raises(ValueError, match=r"frozen_stages=2 .*frozen=\['backbone'\].*'backbone.layers.\[0-2\].\*'"):
        vit(cls, frozen_stages=2)
    assert all(p.requires_grad for p in vit(cls, frozen_stages=-1).parameters())


def test_train_returns_the_model():
    model = vit()
    assert model.train() is model and model.training
    assert not model.eval().training


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(tap="rows"), "tap must be one of"),
        (dict(tap_layers=[3]), "tap_layers has 3"),
        (dict(out_tokens=[4]), "out_tokens has 4"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        vit(**kwargs)


def test_image_that_the_patch_size_does_not_divide():
    with pytest.raises(ValueError, match=r"\(32, 30\) is not a multiple of the patch size"):
        vit()(torch.randn(1, 3, 32, 30))
