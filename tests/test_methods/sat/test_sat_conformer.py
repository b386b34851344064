"""SATConformer: the spatial token beside TapConformer's branches, gates, training with SATHead."""

import pytest
import torch

from mmwsol.methods.sat import SATConformer, SATHead
from mmwsol.methods.sat.backbone import SpatialQueryAttention, query_gate
from mmwsol.models import TapConformer
from mmwsol.structures import LocDataSample

ARCH = dict(embed_dims=24, depths=6, num_heads=2, channel_ratio=1)


def conformer(cls=SATConformer, **kwargs):
    torch.manual_seed(0)
    model = cls(arch=ARCH, base_channels=16, **kwargs)
    model.init_weights()
    return model.eval()


def test_shapes_and_gated_blocks():
    model = conformer()
    feats = model(torch.randn(2, 3, 64, 96))
    assert feats.patch_map.shape == (2, 24, 4, 6)
    assert feats.cls_token.shape == (2, 24)
    assert feats.conv_map.shape == (2, 64, 2, 3)
    assert feats.gates.shape == (2, 3, 4, 6)
    assert feats.gates.min() > 0 and feats.gates.max() < 1
    blocks = [model.trans_1, *(stage.trans_block for stage in model._stages())]
    assert [isinstance(block.attn, SpatialQueryAttention) for block in blocks] == [False] * 3 + [True] * 3
    with pytest.raises(ValueError, match=r"num_sqa_blocks must be 0 to 6 \(the depth\), got 7"):
        conformer(num_sqa_blocks=7)


def test_a_spatial_token_that_nobody_attends_to_leaves_the_conformer_alone(monkeypatch):
    ours, plain, images = conformer(num_sqa_blocks=0), conformer(TapConformer), torch.randn(2, 3, 64, 96)
    plain.load_state_dict({k: v for k, v in ours.state_dict().items() if k != "loc_token"}, strict=True)
    expected = plain(images)
    assert not torch.allclose(ours(images).patch_map, expected.patch_map)
    attend = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda q, k, v, dropout_p: attend(q, k[:, :, :-1], v[:, :, :-1]),
    )
    feats = ours(images)
    torch.testing.assert_close(feats.patch_map, expected.patch_map)
    torch.testing.assert_close(feats.cls_token, expected.cls_token)
    torch.testing.assert_close(feats.conv_map, expected.conv_map)


def test_gates_are_those_of_the_last_token():
    model, tokens = conformer(), []
    attn = model._stages()[-1].trans_block.attn
    attn.register_forward_pre_hook(lambda module, args: tokens.append(args[0]))
    feats = model(torch.randn(2, 3, 64, 64))
    query, keys, _ = attn.project(tokens[0])
    torch.testing.assert_close(feats.gates[:, -1].flatten(1), query_gate(query[:, :, -1], keys)[:, 1:-1])


def test_training_reaches_every_parameter():
    model = conformer(drop_path_rate=0.1).train()
    head = SATHead(
        5,
        24,
        map_losses=dict(
            loss_area=dict(type="mmwsol.BatchAreaLoss", target=0.25),
            loss_norm=dict(type="mmwsol.MapNormalizationLoss"),
        ),
        conv_channels=64,
    )
    feats = model(torch.randn(4, 3, 64, 64))
    losses = head.loss(feats, [LocDataSample().set_gt_label(i) for i in range(4)])
    sum(losses.values()).backward()
    named = [*model.named_parameters(), *head.named_parameters()]
    assert not [name for name, p in named if p.grad is None or not p.grad.any()]
    (grad,) = torch.autograd.grad(
        head.loss(model(torch.randn(2, 3, 64, 64)), [LocDataSample().set_gt_label(1)] * 2)["loss_area"],
        model.loc_token,
    )
    assert grad.abs().max() > 0
