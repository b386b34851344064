"""Multi-head attention that also returns the attention rows a localization method reads."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor

TAPS = ("none", "cls", "full")


class TapAttention(MultiheadAttention):
    """mmpretrain's attention (same parameters) with a tap on its softmax.

    The output always equals mmpretrain's. Under ``tap='none'`` and ``'cls'`` it comes from PyTorch's fused
    ``scaled_dot_product_attention``, which does not show its weights; the class-token row is then computed beside it.
    ``tap='full'`` computes the whole matrix explicitly: for methods that need it, and as the oracle of the tests.
    """

    @classmethod
    def like(cls, attn: MultiheadAttention, **kwargs) -> TapAttention:
        """Make a layer with the settings of mmpretrain's, and its own DropPath and LayerScale; weights are new."""
        layer = cls(
            embed_dims=attn.embed_dims,
            num_heads=attn.num_heads,
            attn_drop=attn.attn_drop,
            proj_drop=attn.proj_drop.p,
            qkv_bias=attn.qkv.bias is not None,
            **kwargs,
        )
        layer.out_drop, layer.gamma1 = attn.out_drop, attn.gamma1
        return layer

    def forward(self, x: Tensor, tap: str = "none") -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            x: Tokens (B, N, D), class token first.
            tap: 'none', 'cls' or 'full'. Defaults to 'none'.

        Returns:
            Output (B, N, D) and the softmax weights before dropout: None, (B, H, 1, N) or (B, H, N, N). Weights
            are float32 (float64 for a float64 model) also under autocast.
        """
        q, k, v = self.project(x)
        dropout = self.attn_drop if self.training else 0.0
        weights = None
        if tap == "full":
            weights = attention_weights(q, k)
            out = F.dropout(weights, dropout).to(v.dtype) @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
            if tap == "cls":
                weights = attention_weights(q[:, :, :1], k)
        return self.merge(out), weights

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute query, key and value (B, H, N, d) of tokens (B, N, D)."""
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, self.head_dims))
        return qkv.permute(2, 0, 3, 1, 4).unbind(0)

    def merge(self, out: Tensor) -> Tensor:
        """Bring the heads' outputs (B, H, N, d) together: (B, N, D)."""
        out = self.proj(out.transpose(1, 2).flatten(2))
        return self.out_drop(self.gamma1(self.proj_drop(out)))


def attention_weights(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) for q (B, H, R, d), k (B, H, N, d), never in half precision."""
    with torch.autocast(device_type=q.device.type, enabled=False):
        if q.dtype in (torch.float16, torch.bfloat16):
            q, k = q.float(), k.float()
        return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
