"""Token priority scoring module (TPSM) of TRT (Su et al., BMVC 2022)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor, nn

from mmwsol.models.layers.attention import TapAttention

SELECTIONS = ("cumulative", "topk", "threshold")


def select_tokens(attention: Tensor, selection: str = "cumulative", limit: float = 0.6) -> Tensor:
    """Choose the patches with most attention. Shapes do not depend on the choice.

    Args:
        attention: (B, N) attention m to the patches, sum 1.
        selection: 'cumulative': from the strongest down, all that together hold *less* than ``limit`` of the
            attention; the one that reaches the limit is left out, so that the choice is empty if the strongest alone
            does (official code). 'topk': the strongest ``limit`` patches. 'threshold': patches above ``limit``.
            Defaults to 'cumulative'.
        limit: The paper's u, the number of patches, or the threshold. Defaults to 0.6.

    Returns:
        (B, N) bool. Of equal values the first one counts as stronger.
    """
    if selection == "threshold":
        return attention > limit
    values, order = attention.sort(dim=1, descending=True, stable=True)
    if selection == "topk":
        keep = (torch.arange(values.shape[1], device=values.device) < limit).expand_as(values)
    else:
        keep = values.cumsum(dim=1) < limit
    return torch.zeros_like(keep).scatter(1, order, keep)


def masked_softmax(scores: Tensor, keep: Tensor, eps: float = 1e-6) -> Tensor:
    """Softmax over the selected keys and the query's own (Eq. 6 to 8).

    Args:
        scores: (B, H, N, N) logits, not in half precision.
        keep: (B, N) bool, the selected tokens.
        eps: Official code: every key gets ``eps / N`` more, the sum ``eps``, and the exponential is taken in
            float32 after subtracting the maximum over all keys. 0 is Eq. 8: other keys get exactly nothing.
            Defaults to 1e-6.

    Returns:
        (B, H, N, N) weights; rows sum to 1.
    """
    tokens = scores.shape[-1]
    allowed = keep[:, None, None, :] | torch.eye(tokens, dtype=torch.bool, device=keep.device)
    if eps == 0:
        return scores.masked_fill(~allowed, float("-inf")).softmax(dim=-1)
    weights = (scores - scores.amax(dim=-1, keepdim=True)).float().exp() * allowed
    weights = (weights + eps / tokens) / (weights.sum(dim=-1, keepdim=True) + eps)
    return weights.to(scores.dtype)


def importance_weights(scores: Tensor, keep: Tensor, eps: float = 1e-6, stable: bool = False) -> Tensor:
    """Softmax of the selected tokens' scores: the importance lambda.

    Args:
        scores: (B, N) scores s, not in half precision.
        keep: (B, N) bool, the selected tokens.
        eps: Added to the sum. Defaults to 1e-6.
        stable: Whether to subtract the maximum of the selected scores first; the official code does not, and
            overflows in float32 for scores above 88. Defaults to False.

    Returns:
        (B, N), 0 for other tokens, sum 1 but for ``eps``; all 0 if none is selected.
    """
    scores = scores.masked_fill(~keep, float("-inf"))
    tiny = torch.finfo(scores.dtype)
    if stable:
        scores = scores - scores.amax(dim=1, keepdim=True).clamp(min=tiny.min)
    exponentials = scores.exp()
    return exponentials / (exponentials.sum(dim=1, keepdim=True) + eps).clamp(min=tiny.tiny)


def redistribute(attention: Tensor, keep: Tensor, weights: Tensor, renormalize: bool = False) -> Tensor:
    """Share the attention of the selected tokens out by their importance (Eq. 9 and 10): m' of shape (B, N).

    Args:
        attention: (B, N) attention m.
        keep: (B, N) bool, the selected tokens; others keep their attention.
        weights: (B, N) importance lambda.
        renormalize: Whether to divide lambda by its sum first, as the paper and the official network of the
            first stage do; that of the second stage does not. The difference is that of ``eps``. Defaults to False.
    """
    if renormalize:
        weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    mass = (attention * keep).sum(dim=1, keepdim=True)
    return attention.masked_fill(keep, 0) + weights * mass


def run_block(block: TransformerEncoderLayer, x: Tensor, *args) -> Tensor:
    """Run a block whose attention returns (output, weights) on tokens (B, N, D); ``args`` go to the attention."""
    out, _ = block.attn(block.ln1(x), *args)
    x = x + out
    return block.ffn(block.ln2(x), identity=x)


class MaskedAttention(TapAttention):
    """Attention to the selected tokens and to oneself, :func:`masked_softmax`; mmpretrain's parameters.

    Args:
        mask_eps: See :func:`masked_softmax`. Defaults to 1e-6.
        **kwargs: Arguments of mmpretrain's ``MultiheadAttention``.
    """

    def __init__(self, mask_eps: float = 1e-6, **kwargs) -> None:
        super().__init__(**kwargs)
        self.mask_eps = mask_eps

    def forward(self, x: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Attend from all tokens (B, N, D) to those in ``keep`` (B, N): output and weights (B, H, N, N)."""
        q, k, v = self.project(x)
        with torch.autocast(device_type=x.device.type, enabled=False):
            if q.dtype in (torch.float16, torch.bfloat16):
                q, k = q.float(), k.float()
            scores = q @ k.transpose(-2, -1) * self.head_dims**-0.5
            weights = masked_softmax(scores, keep, self.mask_eps)
        return self.merge(weights.to(v.dtype) @ v), weights


class TokenScores(NamedTuple):
    """What TPSM computes of N patch tokens of B images.

    Attributes:
        attention: (B, N) attention m, sum 1.
        keep: (B, N) bool, the selected tokens b.
        scores: (B, N) scores s before the softmax.
        weights: (B, N) importance lambda, 0 for tokens that are not selected.
        re_attention: (B, N) the localization map m'.
    """

    attention: Tensor
    keep: Tensor
    scores: Tensor
    weights: Tensor
    re_attention: Tensor


class TokenPriorityScoring(nn.Module):
    """Select the patches with most attention, score them by a block of their own, and redistribute the attention.

    Everything but the block's linear layers stays in float32 (float64 for a float64 model) under autocast.

    Args:
        block: Block to take over; its attention is replaced by :class:`MaskedAttention`.
        norm: Norm after the block.
        u: Fraction of the attention that the selected patches hold, for selection 'cumulative'. Defaults to
            0.6, as released for CUB at 224; the paper says 0.65, and 0.95 for ILSVRC.
        selection: 'cumulative', 'topk' or 'threshold', see :func:`select_tokens`. Defaults to 'cumulative'.
        topk: Number of patches, for selection 'topk'. Defaults to None.
        tau: Threshold on m (its mean is 1 / N), for selection 'threshold'. Defaults to None.
        mask_eps: See :func:`masked_softmax`. Defaults to 1e-6.
        lambda_eps: See :func:`importance_weights`. Defaults to 1e-6.
        stable_softmax: Whether the importance is the paper's softmax, which cannot overflow, see
            :func:`importance_weights`. Defaults to False: the official code's.
        renorm_lambda: See :func:`redistribute`. Defaults to False.
        reattention: Whether the map is m' or, as an ablation, m itself. Defaults to True.

    Raises:
        ValueError: If ``selection`` is unknown, or lacks its parameter.
    """

    def __init__(
        self,
        block: TransformerEncoderLayer,
        norm: nn.Module,
        u: float = 0.6,
        selection: str = "cumulative",
        topk: int | None = None,
        tau: float | None = None,
        mask_eps: float = 1e-6,
        lambda_eps: float = 1e-6,
        stable_softmax: bool = False,
        renorm_lambda: bool = False,
        reattention: bool = True,
    ) -> None:
        super().__init__()
        if selection not in SELECTIONS:
            raise ValueError(f"selection must be one of {SELECTIONS}, got {selection!r}.")
        name, limit = {"cumulative": ("u", u), "topk": ("topk", topk), "threshold": ("tau", tau)}[selection]
        if limit is None or limit <= 0:
            raise ValueError(f"selection={selection!r} needs {name}= above 0, got {limit}.")
        self.selection = selection
        self.limit = limit
        self.lambda_eps = lambda_eps
        self.stable_softmax = stable_softmax
        self.renorm_lambda = renorm_lambda
        self.reattention = reattention
        block.attn = MaskedAttention.like(block.attn, mask_eps=mask_eps)
        self.block = block
        self.norm = norm
        self.fc = nn.Linear(block.attn.embed_dims, 1)  # PyTorch's initialization, as in the official code

    def forward(self, tokens: Tensor, cls_attn: Tensor) -> TokenScores:
        """Score patch tokens.

        Args:
            tokens: (B, N, D) patch tokens, without the class token.
            cls_attn: (B, L, H, h, w) attention of the class token to the N = h * w patches; no gradient
                flows into it.

        Returns:
            Selection, scores and map.
        """
        attention = cls_attn.detach().mean(dim=2).sum(dim=1).flatten(1)
        attention = attention / attention.sum(dim=1, keepdim=True)
        keep = select_tokens(attention, self.selection, self.limit)
        scores = self.fc(self.norm(run_block(self.block, tokens, keep))).squeeze(-1).to(attention.dtype)
        weights = importance_weights(scores, keep, self.lambda_eps, self.stable_softmax)
        maps = redistribute(attention, keep, weights, self.renorm_lambda) if self.reattention else attention
        return TokenScores(attention, keep, scores, weights, maps)
