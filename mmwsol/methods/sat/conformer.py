"""Conformer with SAT's spatial token (paper's Table 6; there is no official code, the design is inferred)."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmwsol.methods.sat.backbone import GATE_REDUCE, SpatialQueryAttention
from mmwsol.models.backbones.tap_conformer import TapConformer
from mmwsol.models.features import Features
from mmwsol.registry import MODELS


@MODELS.register_module()
class SATConformer(TapConformer):
    """:class:`TapConformer` with the spatial token of :class:`SATViT`, for :class:`SATHead` with ``conv_channels``.

    The spatial token is appended as the last token; there are no position embeddings. On the way from the CNN branch
    it comes along like the class token, and is doubled like it; on the way back both are left out. The last
    transformer blocks are gated as in :class:`SATViT`.

    Args:
        arch (str | dict): As in :class:`TapConformer`. Defaults to 'small'.
        num_sqa_blocks (int): Number of gated transformer blocks, the last ones. Defaults to 3.
        gate_reduce (str): 'logit_mean', 'prob_mean' or 'paper', see :class:`SATViT`. Defaults to 'logit_mean'.
        **kwargs: Arguments of mmpretrain's ``Conformer``, among them ``drop_path_rate`` (0.0).

    Raises:
        ValueError: If ``num_sqa_blocks`` does not fit the depth, or ``gate_reduce`` is unknown.
    """

    def __init__(
        self, arch: str | dict = "small", num_sqa_blocks: int = 3, gate_reduce: str = "logit_mean", **kwargs
    ) -> None:
        super().__init__(arch, tap="none", **kwargs)
        if not 0 <= num_sqa_blocks <= self.depths:
            raise ValueError(f"num_sqa_blocks must be 0 to {self.depths} (the depth), got {num_sqa_blocks}.")
        if gate_reduce not in GATE_REDUCE:
            raise ValueError(f"gate_reduce must be one of {GATE_REDUCE}, got {gate_reduce!r}.")
        self.loc_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        trunc_normal_(self.loc_token, std=0.02)
        blocks = [self.trans_1, *(stage.trans_block for stage in self._stages())]
        for block in blocks[self.depths - num_sqa_blocks :]:
            block.attn = SpatialQueryAttention.like(block.attn, gate_reduce=gate_reduce)

    def forward(self, x: Tensor) -> Features:
        """Compute features of images (B, 3, H, W); H and W must be multiples of the patch size.

        Raises:
            ValueError: If the patch size does not divide the image.
        """
        if x.shape[2] % self.patch_size or x.shape[3] % self.patch_size:
            raise ValueError(
                f"Image size {tuple(x.shape[2:])} is not a multiple of the patch size {self.patch_size}: "
                "resize the images in the pipeline."
            )
        stem = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        conv_map = self.conv_1(stem, out_conv2=False)
        patches = self.trans_patch_conv(stem)
        grid = (patches.shape[2], patches.shape[3])
        ends = [token.expand(len(x), -1, -1) for token in (self.cls_token, self.loc_token)]
        x = torch.cat([ends[0], patches.flatten(2).transpose(1, 2), ends[1]], dim=1)

        x, gate = _transform(self.trans_1, x)
        gates = [gate]
        for stage in self._stages():
            conv_map, inner = stage.cnn_block(conv_map)
            squeezed = torch.cat([stage.squeeze_block(inner, x), x[:, -1:]], dim=1)
            x, gate = _transform(stage.trans_block, squeezed + x)
            fusion = stage.expand_block(x[:, :-1], *grid)
            conv_map = stage.fusion_block(conv_map, fusion_features=fusion, out_conv2=False)
            gates.append(gate)
        x = self.trans_norm(x)

        patch_map = x[:, 1:-1].transpose(1, 2).unflatten(2, grid)
        applied = [gate for gate in gates if gate is not None]
        maps = torch.stack(applied, dim=1)[:, :, 1:-1].unflatten(-1, grid) if applied else None
        return Features(patch_map, x[:, 0], gates=maps, conv_map=conv_map)


def _transform(block: Any, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Run one transformer block on tokens (B, 1 + N + 1, D); give them and the gate (B, 1 + N + 1) if it has one."""
    out, _, *gate = block.attn(block.ln1(x), "none")
    x = x + out
    return block.ffn(block.ln2(x), identity=x), gate[0] if gate else None
