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

    def forward(self, x: Tensor, tap: str = "none") -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            x (Tensor): Tokens (B, N, D), class token first.
            tap (str): 'none', 'cls' or 'full'. Defaults to 'none'.

        Returns:
            tuple: output (B, N, D) and the softmax weights before dropout: None, (B, H, 1, N) or (B, H, N, N). Weights
            are float32 (float64 for a float64 model) also under autocast.
        """
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dims)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.attn_drop if self.training else 0.0
        weights = None
        if tap == "full":
            weights = _attention_weights(q, k)
            out = F.dropout(weights, dropout).to(v.dtype) @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
            if tap == "cls":
                weights = _attention_weights(q[:, :, :1], k)
        out = self.proj(out.transpose(1, 2).reshape(batch, tokens, self.embed_dims))
        return self.out_drop(self.gamma1(self.proj_drop(out))), weights


def _attention_weights(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) for q (B, H, R, d), k (B, H, N, d), never in half precision."""
    with torch.autocast(device_type=q.device.type, enabled=False):
        if q.dtype in (torch.float16, torch.bfloat16):
            q, k = q.float(), k.float()
        return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
