"""TapConformer: same numbers as mmpretrain's Conformer, attention that is what it says, trains as the official code."""

import pytest
import torch
from mmpretrain.models.backbones import Conformer
from torch import nn

from mmwsol.models import Features, TapConformer

ARCH = dict(embed_dims=24, depths=3, num_heads=2, channel_ratio=1)


def conformer(cls=TapConformer, **kwargs):
    torch.manual_seed(0)
    model = cls(arch=ARCH, base_channels=16, **kwargs)
    model.init_weights()
    model.eval()
    return model


def test_equals_mmpretrain_with_its_parameter_names():
    ours, theirs = conformer(), conformer(Conformer)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(2, 3, 64, 96)
    feats = ours(images)
    pooled, cls_token = theirs(images)[-1]
    assert isinstance(feats, Features)
    torch.testing.assert_close(feats.cls_token, cls_token)
    torch.testing.assert_close(feats.conv_map.mean((2, 3)), pooled)
    assert feats.patch_map.shape == (2, 24, 4, 6)
    assert feats.conv_map.shape == (2, 64, 2, 3)
    assert feats.cls_attn.shape == (2, 3, 2, 4, 6)


def test_class_row_equals_explicit_attention():
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    a, b = conformer(tap="cls").double()(images), conformer(tap="full").double()(images)
    torch.testing.assert_close(a.cls_attn, b.cls_attn, rtol=0, atol=1e-12)
    torch.testing.assert_close(a.conv_map, b.conv_map, rtol=0, atol=1e-12)
    torch.testing.assert_close(b.full_attn[:, :, :, 0, 1:].unflatten(-1, (4, 4)), b.cls_attn)
    torch.testing.assert_close(b.full_attn.sum(-1), torch.ones(2, 3, 2, 17, dtype=torch.float64))
    assert a.full_attn is None


def test_tap_layers_and_out_tokens():
    images = torch.randn(1, 3, 32, 32)
    everything = conformer()(images).cls_attn
    model = conformer(tap_layers=[-1, 0], out_tokens=[0, -1])
    feats = model(images)
    assert torch.equal(feats.cls_attn, everything[:, [0, 2]])
    assert [t.shape for t in feats.tokens] == [(1, 5, 24)] * 2
    assert torch.equal(feats.tokens[0][:, 0], model.cls_token[0])
    torch.testing.assert_close(model.trans_norm(feats.tokens[1])[:, 0], feats.cls_token)


def test_no_attention_in_training_unless_asked():
    images = torch.randn(2, 3, 32, 32)
    assert conformer().train()(images).cls_attn is None
    assert conformer(tap_in_train=True).train()(images).cls_attn is not None
    assert conformer(tap="none")(images).cls_attn is None


def test_trains_as_the_official_code():
    model = conformer(drop_path_rate=0.2)
    assert isinstance(model.conv_trans_3.fusion_block.drop_path, nn.Identity)
    assert model.conv_trans_3.trans_block.attn.out_drop.drop_prob == pytest.approx(0.2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
    weight = model.conv_trans_3.fusion_block.conv2.weight
    assert float(weight.std()) == pytest.approx((2 / (9 * weight.shape[0])) ** 0.5, rel=0.1)
    assert float(model.trans_1.attn.qkv.weight.std()) == pytest.approx(0.02, rel=0.1)


def test_train_returns_the_model():
    model = conformer()
    assert model.train() is model and model.training


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
        conformer(**kwargs)


def test_image_that_the_patch_size_does_not_divide():
    with pytest.raises(ValueError, match=r"\(32, 40\) is not a multiple of the patch size 16"):
        conformer()(torch.randn(1, 3, 32, 40))
