"""Conformer, the backbone of a CNN and a transformer in step, with its attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.backbones import Conformer
from torch import Tensor, nn

from mmwsol.models.backbones.tapping import PretrainedBackbone, Tapping, tapped_fields
from mmwsol.models.features import Features
from mmwsol.models.layers.attention import TapAttention
from mmwsol.registry import MODELS


@MODELS.register_module()
class TapConformer(Tapping, PretrainedBackbone, Conformer):
    """mmpretrain's ``Conformer`` (same parameter names) that hands out its attention and both branches' maps.

    It computes what the official TS-CAM code does, where mmpretrain differs in two details of training: there is no
    DropPath in the CNN branch, and the last batch norm of a CNN block starts at one, not at zero.

    Any input size that the patch size divides works, square or not: the model has no position embedding.

    Args:
        arch: 'tiny', 'small', 'base', or a dict with ``embed_dims``, ``depths`` (a multiple of 3),
            ``num_heads`` and ``channel_ratio``. Defaults to 'small'.
        tap: Attention to return: 'none', 'cls' (class-token rows) or 'full' (whole matrices). Defaults to 'cls'.
        tap_layers: Blocks to tap, 0-based, negative from the end. Defaults to None: all.
        tap_in_train: Whether to tap in training mode too. Defaults to False.
        out_tokens: Depths at which to return tokens: 0 before the first block, l after l blocks,
            negative from the end. Defaults to ().
        **kwargs: Arguments of mmpretrain's class, among them ``patch_size`` (16), ``base_channels`` (64) and
            ``drop_path_rate`` (0.0).

    Raises:
        ValueError: If ``tap``, a layer or a depth does not exist.
    """

    def __init__(
        self,
        arch: str | dict = "small",
        tap: str = "cls",
        tap_layers: Sequence[int] | None = None,
        tap_in_train: bool = False,
        out_tokens: Sequence[int] = (),
        **kwargs,
    ) -> None:
        super().__init__(arch=arch, **kwargs)
        self.set_taps(self.depths, tap, tap_layers, tap_in_train, out_tokens)
        self.patch_size: int = 4 * self.trans_patch_conv.stride[0]
        self.trans_1.attn = TapAttention.like(self.trans_1.attn)
        for stage in self._stages():
            stage.trans_block.attn = TapAttention.like(stage.trans_block.attn)
            stage.fusion_block.drop_path = nn.Identity()

    def _stages(self) -> list[Any]:
        """List the blocks after the first, each a CNN block and a transformer block."""
        return [getattr(self, f"conv_trans_{i}") for i in range(2, self.fin_stage)]

    def _init_weights(self, module: nn.Module) -> None:
        """Initialize one layer as the official code does."""
        if isinstance(module, nn.Linear):
            trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, (nn.LayerNorm, nn.BatchNorm2d)):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)

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
        end = 1 + grid[0] * grid[1]  # tokens of a subclass stand behind the patches

        tap = self.active_tap()
        x = self.embed(patches.flatten(2).transpose(1, 2))
        weights, gates = [], []
        tokens = [x] if 0 in self.out_tokens else []
        for i in range(self.depths):
            if i == 0:
                block = self.trans_1
            else:
                stage = self._stages()[i - 1]
                conv_map, inner = stage.cnn_block(conv_map)
                # squeeze_block puts the class token of x before the map, tokens behind the patches are kept: the sum
                # doubles all of these, as in the official code.
                x = torch.cat([stage.squeeze_block(inner, x), x[:, end:]], dim=1) + x
                block = stage.trans_block
            out, attn, gate = self.attend(block, x, tap if i in self.tap_layers else "none")
            x = x + out
            x = block.ffn(block.ln2(x), identity=x)
            if i > 0:
                fusion = stage.expand_block(x[:, :end], *grid)
                conv_map = stage.fusion_block(conv_map, fusion_features=fusion, out_conv2=False)
            if attn is not None:
                weights.append(attn)
            if gate is not None:
                gates.append(gate)
            if i + 1 in self.out_tokens:
                tokens.append(x)
        x = self.trans_norm(x)

        patch_map = x[:, 1:end].transpose(1, 2).unflatten(2, grid)
        fields = tapped_fields(weights, tap, slice(1, end), grid, gates)
        return Features(patch_map, tokens=tuple(tokens), conv_map=conv_map, cls_token=x[:, 0], **fields)

    def embed(self, patches: Tensor) -> Tensor:
        """Put the class token before the patch tokens (B, N, D): (B, 1 + N, D)."""
        return torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)

    def attend(self, block: Any, x: Tensor, tap: str) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Run the attention of a block: output, tapped weights or None, gate (B, tokens) of a method that has one."""
        out, attn = block.attn(block.ln1(x), tap)
        return out, attn, None
