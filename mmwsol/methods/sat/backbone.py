"""The vision transformer of SAT: a spatial token that gates the last attentions (Wu et al., ICCV 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor, nn

from mmwsol.models.backbones.tap_vit import TapViT
from mmwsol.models.features import add_fix
from mmwsol.models.layers.attention import TapAttention, attention_weights
from mmwsol.registry import MODELS

GATE_REDUCE = ("logit_mean", "prob_mean", "paper")
QUERIES = {"spatial": -1, "class": 0}  # index of the token
add_fix("gates", "set backbone.type='mmwsol.SATViT' with num_sqa_blocks >= 1")


def query_gate(query: Tensor, keys: Tensor, reduce: str = "logit_mean") -> Tensor:
    """Turn the attention logits of one query token into foreground probabilities, without a softmax.

    Args:
        query: (B, H, d) query vectors of the token.
        keys: (B, H, N, d) key vectors of all tokens.
        reduce: How H heads make one probability: 'logit_mean' sigmoid of the mean logit (official code),
            'prob_mean' mean of the heads' sigmoids, 'paper' Eq. 4, whose product of whole vectors over sqrt(H d) is
            the mean logit times sqrt(H). Defaults to 'logit_mean'.

    Returns:
        (B, N) in (0, 1); float32 (float64 for float64 input) also under autocast.
    """
    with torch.autocast(device_type=query.device.type, enabled=False):
        if query.dtype in (torch.float16, torch.bfloat16):
            query, keys = query.float(), keys.float()
        heads, dims = query.shape[1:]
        if reduce == "prob_mean":
            logits = (keys @ query[..., None]).squeeze(-1) * dims**-0.5
            return logits.sigmoid().mean(dim=1)
        # The sum over heads is one product of the concatenated vectors, which is how they lie in memory.
        product = (query.flatten(1)[:, None] @ keys.transpose(1, 2).flatten(2).transpose(1, 2)).squeeze(1)
        scale = (heads * dims) ** -0.5 if reduce == "paper" else dims**-0.5 / heads
        return (product * scale).sigmoid()


class SpatialQueryAttention(TapAttention):
    """Attention whose weights are multiplied by a gate on the keys (SAT's spatial-query attention).

    ``gate`` (B, N) is :func:`query_gate` of one token, ``out = (softmax(q k^T / sqrt(d)) * gate) v``: the same gate for
    every head and every query, after the softmax, with no new normalization. As it depends on the key alone, the
    output is computed as attention to gated values, by PyTorch's fused kernel. ``tap='full'`` gates the matrix itself.
    It has the parameters of mmpretrain's attention and no more.

    Args:
        query: Index of the token whose query makes the gate. Defaults to -1.
        apply_gate: Whether the gate acts on the attention, not only returned. Defaults to True.
        gate_reduce: See :func:`query_gate`. Defaults to 'logit_mean'.
        **kwargs: Arguments of mmpretrain's ``MultiheadAttention``.
    """

    def __init__(self, query: int = -1, apply_gate: bool = True, gate_reduce: str = "logit_mean", **kwargs) -> None:
        super().__init__(**kwargs)
        self.query = query
        self.apply_gate = apply_gate
        self.gate_reduce = gate_reduce

    def forward(self, x: Tensor, tap: str = "none") -> tuple[Tensor, Tensor | None, Tensor]:  # type: ignore[override]
        """Attend to tokens (B, N, D): output and weights as :class:`TapAttention`, weights gated, and the gate."""
        q, k, v = self.project(x)
        gate = query_gate(q[:, :, self.query], k, self.gate_reduce)
        factor = gate[:, None, None] if self.apply_gate else 1.0  # (B, 1, 1, N)
        dropout = self.attn_drop if self.training else 0.0
        weights = None
        if tap == "full":
            weights = attention_weights(q, k) * factor
            out = F.dropout(weights, dropout).to(v.dtype) @ v
        else:
            if tap == "cls":
                weights = attention_weights(q[:, :, :1], k) * factor
            if self.apply_gate:
                v = v * gate[:, None, :, None].to(v.dtype)
            out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return self.merge(out), weights, gate


def gate_last_blocks(blocks: Sequence[Any], number: int, **options) -> None:
    """Replace the attention of the last blocks of a transformer by :class:`SpatialQueryAttention`.

    Args:
        blocks: All blocks; the attention of each is its ``attn``.
        number: How many of them are gated.
        **options: Options of :class:`SpatialQueryAttention`.

    Raises:
        ValueError: If ``number`` does not fit the depth, or ``gate_reduce`` is unknown.
    """
    if not 0 <= number <= len(blocks):
        raise ValueError(f"num_sqa_blocks must be 0 to {len(blocks)} (the depth), got {number}.")
    if options["gate_reduce"] not in GATE_REDUCE:
        raise ValueError(f"gate_reduce must be one of {GATE_REDUCE}, got {options['gate_reduce']!r}.")
    for block in blocks[len(blocks) - number :]:
        block.attn = SpatialQueryAttention.like(block.attn, **options)


@MODELS.register_module()
class SATViT(TapViT):
    """:class:`TapViT` with SAT's spatial token: ``gates`` of the features are maps of foreground probability.

    The spatial token ``loc_token`` is appended as the last token with its own position embedding ``loc_embed``. In the
    last blocks its query gates the attention, so that the classification loss trains it. Patch map and maps of
    attention leave it out; ``full_attn`` and ``tokens`` have it.

    Args:
        arch: As in :class:`TapViT`. Defaults to 'deit-small'.
        num_sqa_blocks: Number of gated blocks, the last ones. Defaults to 3 (paper).
        gate_reduce: How heads make one probability: 'logit_mean' (official code), 'prob_mean' or 'paper', see
            :func:`query_gate`. Defaults to 'logit_mean'.
        query: Token whose query makes the gate: 'spatial', or 'class', the attention-map baseline of the paper's
            Table 5: no spatial token, and the attention is not gated (details inferred). Defaults to 'spatial'.
        tap: As in :class:`TapViT`; 'full' also computes the gated attention explicitly. Defaults to 'none': SAT
            reads no attention.
        **kwargs: Further arguments of :class:`TapViT`.

    Raises:
        ValueError: If ``num_sqa_blocks`` does not fit the depth, or an option is unknown.
    """

    def __init__(
        self,
        arch: str | dict = "deit-small",
        num_sqa_blocks: int = 3,
        gate_reduce: str = "logit_mean",
        query: str = "spatial",
        tap: str = "none",
        **kwargs,
    ) -> None:
        super().__init__(arch, tap, **kwargs)
        if query not in QUERIES:
            raise ValueError(f"query must be one of {tuple(QUERIES)}, got {query!r}.")
        self.has_spatial_token = query == "spatial"
        if self.has_spatial_token:
            self.loc_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
            self.loc_embed = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        gate: dict[str, Any] = dict(query=QUERIES[query], apply_gate=self.has_spatial_token, gate_reduce=gate_reduce)
        gate_last_blocks(self.layers, num_sqa_blocks, **gate)

    def draw_weights(self) -> None:
        """Initialize like DeiT; the spatial token and its embedding like the other tokens."""
        super().draw_weights()
        if self.has_spatial_token:
            trunc_normal_(self.loc_token, std=0.02)
            trunc_normal_(self.loc_embed, std=0.02)

    def embed(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Make tokens (B, 1 + N + 1, D), the spatial token last, and the grid (h, w)."""
        if not self.has_spatial_token:
            return super().embed(x)
        x, grid = self.patch_embed(x)
        first, last = (token.expand(len(x), -1, -1) for token in (self.cls_token, self.loc_token))
        x = torch.cat([first, x, last], dim=1) + torch.cat([self.positions(grid), self.loc_embed], dim=1)
        return x, grid

    def attend(
        self, layer: TransformerEncoderLayer, x: Tensor, tap: str
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Run the attention of a block: output, tapped weights or None, gate (B, tokens) of the last blocks."""
        if isinstance(layer.attn, SpatialQueryAttention):
            return layer.attn(layer.ln1(x), tap)
        return super().attend(layer, x, tap)
