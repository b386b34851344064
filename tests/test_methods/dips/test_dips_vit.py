"""DiPS's transformer: class tokens of the last blocks, attention of the last, position embeddings of other sizes."""

import pytest
import torch
import torch.nn.functional as F

from mmwsol.methods.dips import DiPSHead, DiPSViT
from mmwsol.models import TapViT

ARCH = dict(embed_dims=16, num_layers=5, num_heads=2, feedforward_channels=32)


def build(cls=DiPSViT, **kwargs):
    torch.manual_seed(0)
    model = cls(arch=ARCH, img_size=32, patch_size=8, **kwargs).eval()
    torch.nn.init.normal_(model.pos_embed)
    torch.nn.init.normal_(model.ln1.weight)
    return model


def test_every_class_token_passes_the_final_norm():
    model = build()
    images = torch.randn(2, 3, 32, 32)
    feats = model(images)
    plain = build(TapViT, out_tokens=(2, 3, 4, 5))
    plain.load_state_dict(model.state_dict())
    reference = plain(images)
    expected = torch.stack([plain.ln1(tokens)[:, 0] for tokens in reference.tokens], dim=1)
    torch.testing.assert_close(feats.cls_tokens, expected)  # of the last four blocks, the first of them first
    torch.testing.assert_close(feats.cls_tokens[:, -1], reference.cls_token)
    torch.testing.assert_close(feats.patch_map, reference.patch_map)
    torch.testing.assert_close(feats.cls_attn, reference.cls_attn[:, -1:])


def test_attention_of_several_blocks():
    images = torch.randn(1, 3, 32, 32)
    plain = build(TapViT)(images).cls_attn
    feats = build(attn_layers=(0, -2))(images)
    torch.testing.assert_close(feats.cls_attn, plain[:, [0, 3]])
    head = DiPSHead(3, 16, map_set="all_heads_and_mean")
    torch.testing.assert_close(head.attention_maps(feats)[:, 1:], plain[:, 0] + plain[:, 3])  # the blocks' sum


def test_attention_is_there_in_training_mode():
    assert build().train()(torch.randn(1, 3, 32, 32)).cls_attn.shape == (1, 1, 2, 4, 4)


def test_position_embeddings_of_another_size():
    model, images = build(), torch.zeros(1, 3, 48, 40)
    tokens, grid = model.embed(images)
    assert grid == (6, 5)
    old = model.pos_embed[:, 1:].view(1, 4, 4, 16).permute(0, 3, 1, 2)
    wanted = F.interpolate(old, scale_factor=(6.1 / 4, 5.1 / 4), mode="bicubic").flatten(2).transpose(1, 2)
    torch.testing.assert_close(tokens[:, 1:] - model.patch_embed.projection.bias, wanted)
    assert not torch.allclose(tokens, build(TapViT).embed(images)[0])  # mmpretrain resizes to the size


def test_errors():
    with pytest.raises(ValueError, match="num_cls_tokens must be 1 to 5"):
        build(num_cls_tokens=6)
