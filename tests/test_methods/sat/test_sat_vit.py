"""SATViT: the gate, gated values instead of gated attention, tokens, and the official forward and backward pass."""

import math

import pytest
import torch

from mmwsol.methods.sat import SATViT
from mmwsol.methods.sat.backbone import SpatialQueryAttention, query_gate
from mmwsol.models import TapViT
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample
from mmwsol.utils import convert_official

ARCH = dict(embed_dims=24, num_layers=4, num_heads=3, feedforward_channels=48)


def vit(cls=SATViT, **kwargs):
    torch.manual_seed(0)
    model = cls(arch=ARCH, img_size=32, patch_size=8, **kwargs)
    model.init_weights()
    return model.eval()


def images(height=32, width=32):
    torch.manual_seed(1)
    return torch.randn(2, 3, height, width)


def test_gate_of_one_head():
    keys = torch.tensor([0, math.log(3), -math.log(3), 0]).view(1, 1, 4, 1)
    gate = query_gate(torch.ones(1, 1, 1), keys)
    torch.testing.assert_close(gate, torch.tensor([[0.5, 0.75, 0.25, 0.5]]))
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    attention = torch.full((4,), 0.25) * gate[0]  # of a zero query
    assert attention.sum().item() == pytest.approx(0.5)  # rows are not normalized again
    assert (attention @ values).item() == pytest.approx(1.1875)


def test_gate_of_two_heads():
    query, keys = torch.ones(1, 2, 1), torch.tensor([4.0, 0.0]).view(1, 2, 1, 1)  # logits 4 and 0
    assert query_gate(query, keys).item() == pytest.approx(0.8807971)  # not the mean of sigmoids
    assert query_gate(query, keys, "prob_mean").item() == pytest.approx(0.7410069, abs=1e-6)
    assert query_gate(query, keys, "paper").item() == pytest.approx(1 / (1 + math.exp(-2 * math.sqrt(2))))


def test_gate_of_many_heads_equals_its_definition():
    torch.manual_seed(0)
    query, keys = torch.randn(2, 3, 8).double(), torch.randn(2, 3, 20, 8).double()
    logits = torch.einsum("bhd,bhnd->bhn", query, keys) / math.sqrt(8)
    torch.testing.assert_close(query_gate(query, keys), logits.mean(1).sigmoid())
    torch.testing.assert_close(query_gate(query, keys, "prob_mean"), logits.sigmoid().mean(1))
    whole = torch.einsum("bhd,bhnd->bn", query, keys) / math.sqrt(3 * 8)  # Eq. 4
    torch.testing.assert_close(query_gate(query, keys, "paper"), whole.sigmoid())
    order = [2, 0, 1]
    torch.testing.assert_close(query_gate(query[:, order], keys[:, order]), query_gate(query, keys))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("apply_gate", [True, False])
def test_gated_values_equal_gated_attention(dtype, tolerance, apply_gate):
    torch.manual_seed(0)
    attn = SpatialQueryAttention(embed_dims=24, num_heads=3, apply_gate=apply_gate).to(dtype)
    x = torch.randn(2, 20, 24, dtype=dtype, requires_grad=True)
    results = {}
    for tap in ("none", "cls", "full"):
        out, weights, gate = attn(x, tap)
        (grad,) = torch.autograd.grad((out * torch.arange(24)).sum(), x)
        results[tap] = (out, grad, gate, weights)
    out, grad, gate, weights = results["full"]
    query, keys, values = attn.project(x)
    logits = query @ keys.transpose(-2, -1) / math.sqrt(8)
    torch.testing.assert_close(gate, logits[:, :, -1].mean(1).sigmoid(), rtol=0, atol=tolerance)
    expected = logits.softmax(-1) * (gate[:, None, None] if apply_gate else 1)
    torch.testing.assert_close(weights, expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(out, attn.merge(expected @ values), rtol=0, atol=tolerance)
    for tap in ("none", "cls"):
        torch.testing.assert_close(results[tap][0], out, rtol=0, atol=tolerance)
        torch.testing.assert_close(results[tap][1], grad, rtol=tolerance, atol=100 * tolerance)
        torch.testing.assert_close(results[tap][2], gate, rtol=0, atol=tolerance)
    assert results["none"][3] is None
    torch.testing.assert_close(results["cls"][3], weights[:, :, :1], rtol=0, atol=tolerance)


@pytest.mark.parametrize("tap", ["none", "cls", "full"])
def test_inference_equals_training_mode_to_the_bit(tap):
    torch.manual_seed(0)
    attn, x = SpatialQueryAttention(embed_dims=24, num_heads=3), torch.randn(2, 20, 24)
    trained = attn(x, tap)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            out, _, gate = attn(x, tap)
        assert torch.equal(out, trained[0]) and torch.equal(gate, trained[2])


def test_tokens_and_maps():
    model = vit(tap="full", out_tokens=[0, -1])
    feats = model(images(32, 48))  # not square: position embeddings are resized, loc_embed is not
    assert model.pos_embed.shape == (1, 17, 24)
    assert [tokens.shape for tokens in feats.tokens] == [(2, 26, 24)] * 2
    assert feats.patch_map.shape == (2, 24, 4, 6)
    assert feats.gates.shape == (2, 3, 4, 6)
    assert feats.full_attn.shape == (2, 4, 3, 26, 26)
    assert feats.cls_attn.shape == (2, 4, 3, 4, 6)
    spatial = feats.tokens[0][:, -1]
    torch.testing.assert_close(spatial, (model.loc_token + model.loc_embed)[:, 0].expand(2, -1))
    final = model.ln1(feats.tokens[-1])
    torch.testing.assert_close(feats.patch_map.flatten(2), final[:, 1:-1].transpose(1, 2))
    torch.testing.assert_close(feats.cls_attn.flatten(3), feats.full_attn[:, :, :, 0, 1:-1])
    assert vit()(images()).cls_attn is None


def test_gates_of_the_last_blocks_only():
    model, x = vit(num_sqa_blocks=2, out_tokens=range(5)), images()
    feats = model(x)
    assert feats.gates.shape == (2, 2, 4, 4)
    for i, layer in enumerate(model.layers):
        assert isinstance(layer.attn, SpatialQueryAttention) == (i >= 2)
        if i >= 2:
            query, keys, _ = layer.attn.project(layer.ln1(feats.tokens[i]))
            gate = query_gate(query[:, :, -1], keys)
            torch.testing.assert_close(feats.gates[:, i - 2].flatten(1), gate[:, 1:-1])


def test_the_spatial_token_matters():
    model, x = vit(), images()
    before = model(x)
    model.loc_token.data += torch.randn(1, 1, 24)
    after = model(x)
    assert not torch.allclose(before.gates, after.gates)
    assert not torch.allclose(before.patch_map, after.patch_map)


def test_without_gates_and_spatial_token_it_is_the_plain_transformer():
    plain, ours = vit(TapViT, tap="none"), vit(num_sqa_blocks=0, query="class")
    plain.load_state_dict({k: v for k, v in vit().state_dict().items() if not k.startswith("loc_")}, strict=True)
    ours.load_state_dict(plain.state_dict(), strict=True)
    torch.testing.assert_close(ours(images()).patch_map, plain(images()).patch_map, rtol=0, atol=0)
    assert ours(images()).gates is None


def test_attention_map_baseline_reads_the_class_token_and_gates_nothing():
    plain, model = vit(TapViT, out_tokens=range(5)), vit(query="class")
    model.load_state_dict(plain.state_dict(), strict=True)
    feats, expected = model(images()), plain(images())
    torch.testing.assert_close(feats.patch_map, expected.patch_map)
    query, keys, _ = plain.layers[-1].attn.project(plain.layers[-1].ln1(expected.tokens[3]))
    logits = (query[:, :, :1] @ keys.transpose(-2, -1)).mean(1)[:, 0] / math.sqrt(8)
    torch.testing.assert_close(feats.gates[:, -1].flatten(1), logits.sigmoid()[:, 1:])


def test_initialization():
    model = vit()
    for token in (model.loc_token, model.loc_embed):
        assert 0.005 < token.std().item() < 0.05


def test_small_vit_with_stem_and_all_blocks_gated():
    arch = dict(ARCH, num_layers=3)
    model = SATViT(arch=arch, img_size=64, patch_size=8, stem=dict(type="mmwsol.ConvStem", channels=(6, 8, 12)))
    assert model(torch.randn(1, 3, 64, 64)).gates.shape == (1, 3, 8, 8)


def test_gates_stay_float32_under_autocast():
    model = vit()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        feats = model(images())
    assert feats.gates.dtype == torch.float32
    torch.testing.assert_close(feats.gates, model(images()).gates, rtol=0, atol=2e-2)


@pytest.mark.parametrize("training", [True, False])
def test_compiles_without_graph_break(training):
    model = vit(drop_path_rate=0.1).train(training)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert compiled(images()).gates.shape == (2, 3, 4, 4)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"num_sqa_blocks must be 0 to 4 \(the depth\), got 5"):
        vit(num_sqa_blocks=5)
    with pytest.raises(ValueError, match="gate_reduce must be one of .* got 'max'"):
        vit(gate_reduce="max")
    with pytest.raises(ValueError, match="query must be one of .* got 'cls'"):
        vit(query="cls")


def sine_state():
    """Weights in the official layout: c-th name in sorted order, 0.1 sin(0.37 i + c), 1 more for norm weights."""
    shapes = {"cls_token": (1, 1, 12), "loc_token": (1, 1, 12), "pos_embed": (1, 197, 12), "loc_embed": (1, 1, 12)}
    shapes |= {"patch_embed.proj.weight": (12, 3, 16, 16), "patch_embed.proj.bias": (12,)}
    for i in range(12):
        for name, rows, columns in (("attn.qkv", 36, 12), ("attn.proj", 12, 12), ("mlp.fc1", 48, 12)):
            shapes |= {f"blocks.{i}.{name}.weight": (rows, columns), f"blocks.{i}.{name}.bias": (rows,)}
        shapes |= {f"blocks.{i}.mlp.fc2.weight": (12, 48), f"blocks.{i}.mlp.fc2.bias": (12,)}
        shapes |= {f"blocks.{i}.{name}": (12,) for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")}
    shapes |= {"norm.weight": (12,), "norm.bias": (12,), "head.weight": (5, 12, 3, 3), "head.bias": (5,)}
    state = {}
    for c, name in enumerate(sorted(shapes)):
        index = torch.arange(math.prod(shapes[name]), dtype=torch.float64)
        value = 0.1 * torch.sin(0.37 * index + c)
        if name.endswith(("norm1.weight", "norm2.weight", "norm.weight")):
            value += 1
        state[f"module.{name}"] = value.float().view(shapes[name])
    return {"model": state}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_official_forward_and_backward(dtype, tolerance):
    """Numbers of the official code, float64."""
    backbone = dict(type="mmwsol.SATViT", arch=dict(embed_dims=12, num_layers=12, num_heads=3, feedforward_channels=48))
    head = dict(
        type="mmwsol.SATHead",
        num_classes=5,
        in_channels=12,
        map_losses=dict(
            loss_area=dict(type="mmwsol.BatchAreaLoss", target=0.25),
            loss_norm=dict(type="mmwsol.MapNormalizationLoss"),
        ),
    )
    rule = dict(type="mmwsol.ComponentBox", preset="sat", threshold=0.4)
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, map_to_box=rule))
    model.load_state_dict(convert_official(sine_state(), "sat"), strict=True)
    model.to(dtype)
    x = torch.sin(0.01 * torch.arange(3 * 224 * 224, dtype=torch.float64)).float().view(1, 3, 224, 224).to(dtype)
    feats = model.backbone(x)
    maps = model.head.foreground(feats)[0]

    def close(ours, expected):
        expected = torch.tensor(expected, dtype=dtype)
        torch.testing.assert_close(ours.detach(), expected, rtol=tolerance, atol=tolerance)

    close(model.head(feats)[0], [-0.24090089, 0.69765246, -0.41022928, 0.12005512, 0.57105468])
    close(maps[[0, 0, 13, 13, 7], [0, 13, 0, 13, 7]], [0.47278751, 0.47309173, 0.47927247, 0.47650945, 0.47311664])
    close(torch.stack([maps.min(), maps.max(), maps.mean()]), [0.47223454, 0.47934565, 0.47567726])
    losses = model.head.loss(feats, [LocDataSample().set_gt_label(2)])
    close(torch.stack(list(losses.values())), [2.25965063, 0.22567726, 0.24887450])
    total = sum(losses.values())
    close(total, 2.73420239)
    total.backward()
    params = dict(model.named_parameters())
    assert all(p.grad is not None and p.grad.any() for p in params.values())
    norms = {
        "backbone.loc_token": 0.02062545,
        "backbone.loc_embed": 0.02062545,
        "backbone.cls_token": 4.5916e-4,
        "backbone.pos_embed": 0.09420538,
        "head.conv.weight": 9.778532,
        "backbone.layers.11.attn.qkv.weight": 0.11202519,
        "backbone.layers.0.attn.qkv.weight": 0.07664040,
    }
    for name, norm in norms.items():
        close(params[name].grad.norm(), norm)
    with torch.no_grad():
        tapped = SATViT(arch=backbone["arch"], out_tokens=range(12)).to(dtype)
        tapped.load_state_dict(model.backbone.state_dict())
        tokens = tapped(x).tokens
        ends = []
        for layer, z in zip(tapped.layers[9:], tokens[9:], strict=True):
            query, keys, _ = layer.attn.project(layer.ln1(z))
            ends.append(query_gate(query[:, :, -1], keys)[0, [0, -1]])
    close(torch.stack(ends), [[0.48041995, 0.48484759], [0.46805513, 0.47338397], [0.48164341, 0.48536545]])
