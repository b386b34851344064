"""Token priority scoring: selection, masked softmax, importance, redistribution, and what must not change them."""

import math

import pytest
import torch
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import nn

from mmwsol.methods.trt import TokenPriorityScoring
from mmwsol.methods.trt.token_scoring import (
    importance_weights,
    masked_softmax,
    redistribute,
    run_block,
    select_tokens,
)
from mmwsol.models.layers import TapAttention

M = torch.tensor([[0.40, 0.05, 0.25, 0.10, 0.15, 0.05]], dtype=torch.float64)


def selected(**kwargs) -> str:
    return "".join(str(int(keep)) for keep in select_tokens(M, **kwargs)[0])


@pytest.mark.parametrize(
    ("u", "expected"),
    [(0.3, "000000"), (0.5, "100000"), (0.7, "101000"), (0.85, "101010"), (0.93, "101110"), (1.1, "111111")],
)
def test_cumulative_selection_leaves_out_the_token_that_reaches_the_limit(u, expected):
    assert selected(limit=u) == expected


def test_all_of_the_attention_selects_all_but_the_last():
    # 1.0 is reached with the last token; of the two equal ones the first counts as stronger
    assert select_tokens(torch.tensor([[0.5, 0.125, 0.25, 0.125]]), limit=1.0).tolist() == [[True, True, True, False]]
    assert selected(limit=0.96) == "111110"


def test_other_selections():
    assert selected(selection="topk", limit=2) == "101000"
    assert selected(selection="topk", limit=5) == "111110"
    assert selected(selection="topk", limit=99) == "111111"
    assert selected(selection="threshold", limit=0.1) == "101010"
    assert selected(selection="threshold", limit=0.5) == "000000"


SCORES = torch.tensor([[1.0, 2, 3], [0, 0, 0], [5, 0, -5]], dtype=torch.float64)[None, None]
KEEP = torch.tensor([[True, False, True]])


def test_masked_softmax():
    weights = masked_softmax(SCORES, KEEP)[0, 0]
    third = 1 / 3
    expected = [
        [0.11920311, 2.93598760e-7, 0.88079661],
        [third, third, third],  # the query itself is allowed
        [0.99995399, 3.33317871e-7, 4.57311435e-5],
    ]
    torch.testing.assert_close(weights, torch.tensor(expected).double(), rtol=0, atol=1e-7)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3).double(), rtol=0, atol=1e-6)


def test_masked_softmax_of_the_paper_is_exact():
    weights = masked_softmax(SCORES, KEEP, eps=0)[0, 0]
    torch.testing.assert_close(weights[0], torch.tensor([0.11920292, 0, 0.88079708]).double(), rtol=0, atol=1e-7)
    assert weights[0, 1] == 0 and weights[2, 1] == 0
    none = masked_softmax(SCORES, torch.zeros_like(KEEP), eps=0)[0, 0]
    assert torch.equal(none, torch.eye(3).double())


def test_importance_and_redistribution():
    m = torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64)
    keep = torch.tensor([[True, True, False, False]])
    for rest in (5.0, -3.0, 1000.0):  # scores of other tokens change nothing, also where exp() would overflow
        scores = torch.tensor([[0, math.log(3), rest, rest]], dtype=torch.float64)
        weights = importance_weights(scores, keep)
        torch.testing.assert_close(weights, torch.tensor([[0.25, 0.75, 0, 0]]).double(), rtol=0, atol=2e-7)
        maps = redistribute(m, keep, weights)
        torch.testing.assert_close(maps, torch.tensor([[0.175, 0.525, 0.2, 0.1]]).double(), rtol=0, atol=2e-7)
    assert redistribute(m, keep, weights, renormalize=True).sum().item() == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(maps[:, :2].sum(), m[:, :2].sum(), rtol=0, atol=2e-7)


def test_scores_matter_within_the_selection_only():
    torch.manual_seed(0)
    m = torch.rand(1, 12).softmax(1)
    keep = select_tokens(m, limit=0.6)
    scores = torch.randn(1, 12)
    inside = keep[0].nonzero().flatten()
    shuffled = scores.clone()
    shuffled[0, inside] = scores[0, inside.roll(1)]
    before, after = (redistribute(m, keep, importance_weights(s, keep)) for s in (scores, shuffled))
    torch.testing.assert_close(after[0, inside], before[0, inside.roll(1)])
    assert torch.equal(after[~keep], m[~keep]) and torch.equal(before[~keep], m[~keep])
    assert not torch.equal(after, before)


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("eps", [0, 1e-6])
def test_empty_selection_leaves_the_attention_alone(eps, stable):
    m = torch.tensor([[0.9, 0.1]])
    keep = select_tokens(m, limit=1e-9)
    scores = torch.tensor([[1.0, 2.0]], requires_grad=True)
    weights = importance_weights(scores, keep, eps, stable)
    assert torch.equal(weights, torch.zeros(1, 2))
    for renormalize in (False, True):
        assert torch.equal(redistribute(m, keep, weights, renormalize), m)
    weights.sum().backward()
    assert torch.equal(scores.grad, torch.zeros(1, 2))


def test_stable_softmax_of_large_scores():
    keep = torch.tensor([[True, True, False]])
    scores = torch.tensor([[100.0, 101.0, 300.0]])
    assert importance_weights(scores, keep).isnan().any()  # the official formula overflows
    stable = importance_weights(scores, keep, stable=True)
    torch.testing.assert_close(stable[0, :2], scores[0, :2].softmax(0))
    small = torch.tensor([[0.3, -0.2, 0.1]])
    torch.testing.assert_close(importance_weights(small, keep, stable=True), importance_weights(small, keep))


def test_option_for_the_softmax_of_the_paper():
    """The paper's masked softmax does not overflow; that of the official code, without a shift, does."""
    tokens, cls_attn = inputs(torch.float32)
    found = {}
    for stable in (False, True):
        scoring = module(stable_softmax=stable, lambda_eps=0)
        nn.init.constant_(scoring.fc.bias, 100)
        found[stable] = scoring(tokens, cls_attn)
    assert found[False].weights.isnan().any()
    for scores, keep, weights in zip(found[True].scores, found[True].keep, found[True].weights, strict=True):
        torch.testing.assert_close(weights[keep], scores[keep].softmax(0))


def module(**kwargs) -> TokenPriorityScoring:
    torch.manual_seed(3)
    block = TransformerEncoderLayer(24, 3, 48, drop_path_rate=0.0)
    return TokenPriorityScoring(block, nn.LayerNorm(24), **kwargs)


def inputs(dtype=torch.float64):
    torch.manual_seed(4)
    return torch.randn(2, 12, 24, dtype=dtype), torch.rand(2, 3, 2, 3, 4, dtype=dtype)


def test_attention_is_the_head_mean_summed_over_blocks_and_normalized():
    tokens, cls_attn = inputs()
    found = module().double()(tokens, cls_attn)
    total = cls_attn.sum(1).mean(1).flatten(1)
    torch.testing.assert_close(found.attention, total / total.sum(1, keepdim=True))
    assert torch.equal(found.keep, select_tokens(found.attention, limit=0.6))
    torch.testing.assert_close(found.re_attention.sum(1), torch.ones(2).double(), rtol=0, atol=1e-5)
    assert not module(reattention=False).double()(tokens, cls_attn).re_attention.ne(found.attention).any()


def test_block_among_selected_tokens_equals_an_ordinary_one_on_them_alone():
    tokens, cls_attn = inputs()
    scoring = module(selection="topk", topk=5, mask_eps=0, lambda_eps=0).double()
    found = scoring(tokens, cls_attn)
    plain = TransformerEncoderLayer(24, 3, 48).double()
    plain.attn = TapAttention(embed_dims=24, num_heads=3).double()
    plain.load_state_dict(scoring.block.state_dict())
    for b in range(2):
        chosen = found.keep[b].nonzero().flatten()
        assert len(chosen) == 5
        scores = scoring.fc(scoring.norm(run_block(plain, tokens[b : b + 1, chosen]))).flatten()
        torch.testing.assert_close(found.scores[b, chosen], scores)
        torch.testing.assert_close(found.weights[b, chosen], scores.softmax(0))


def test_gradient_flows_into_the_tokens_but_not_into_the_attention():
    tokens, cls_attn = inputs()
    tokens.requires_grad_(), cls_attn.requires_grad_()
    module().double()(tokens, cls_attn).weights.square().sum().backward()
    assert tokens.grad.abs().sum() > 0 and cls_attn.grad is None


def test_half_precision_is_kept_out_of_the_softmaxes():
    tokens, cls_attn = inputs(torch.float32)
    scoring = module()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = scoring(tokens, cls_attn)
        weights = scoring.block.attn(tokens.bfloat16(), found.keep)[1]
    assert {value.dtype for value in found} == {torch.float32, torch.bool}
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 12), rtol=0, atol=1e-5)
    exact = scoring(tokens, cls_attn)
    assert torch.equal(found.attention, exact.attention) and torch.equal(found.keep, exact.keep)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(selection="top-k"), "selection must be one of .* got 'top-k'"),
        (dict(selection="topk"), "selection='topk' needs topk= above 0, got None"),
        (dict(selection="threshold", tau=0), "selection='threshold' needs tau= above 0, got 0"),
        (dict(u=-0.1), "needs u= above 0, got -0.1"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        module(**kwargs)
