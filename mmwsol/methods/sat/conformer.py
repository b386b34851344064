"""Conformer with SAT's spatial token (paper's Table 6; there is no official code, the design is inferred)."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmwsol.methods.sat.backbone import SpatialQueryAttention, gate_last_blocks
from mmwsol.models.backbones.tap_conformer import TapConformer
from mmwsol.registry import MODELS


@MODELS.register_module()
class SATConformer(TapConformer):
    """:class:`TapConformer` with the spatial token of :class:`SATViT`, for :class:`SATHead` with ``conv_channels``.

    The spatial token is appended as the last token; there are no position embeddings. It is treated like the class
    token: added to itself where the map of the CNN branch is added to the tokens, and left out of what goes back to the
    CNN branch. The last transformer blocks are gated as in :class:`SATViT`.

    Args:
        arch: As in :class:`TapConformer`. Defaults to 'small'.
        num_sqa_blocks: Number of gated transformer blocks, the last ones. Defaults to 3.
        gate_reduce: 'logit_mean', 'prob_mean' or 'paper', see :class:`SATViT`. Defaults to 'logit_mean'.
        **kwargs: Arguments of mmpretrain's ``Conformer``, among them ``drop_path_rate`` (0.0).

    Raises:
        ValueError: If ``num_sqa_blocks`` does not fit the depth, or ``gate_reduce`` is unknown.
    """

    def __init__(
        self, arch: str | dict = "small", num_sqa_blocks: int = 3, gate_reduce: str = "logit_mean", **kwargs
    ) -> None:
        super().__init__(arch, tap="none", **kwargs)
        self.loc_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        trunc_normal_(self.loc_token, std=0.02)
        blocks = [self.trans_1, *(stage.trans_block for stage in self._stages())]
        gate_last_blocks(blocks, num_sqa_blocks, gate_reduce=gate_reduce)

    def embed(self, patches: Tensor) -> Tensor:
        """Put the class token before the patch tokens (B, N, D), the spatial token behind them: (B, 1 + N + 1, D)."""
        return torch.cat([super().embed(patches), self.loc_token.expand(len(patches), -1, -1)], dim=1)

    def attend(self, block: Any, x: Tensor, tap: str) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Run the attention of a block: output, tapped weights or None, gate (B, tokens) of the last blocks."""
        if isinstance(block.attn, SpatialQueryAttention):
            return block.attn(block.ln1(x), tap)
        return super().attend(block, x, tap)
