"""The vision transformer under every localization head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from mmwsol.compat import float_drop_path
from mmwsol.models.backbones.tapping import PretrainedBackbone, Tapping, tapped_fields
from mmwsol.models.features import Features
from mmwsol.models.layers.attention import TapAttention
from mmwsol.registry import MODELS


@MODELS.register_module()
class TapViT(Tapping, PretrainedBackbone, VisionTransformer):
    """mmpretrain's ``VisionTransformer`` (same parameter names) that hands out its attention.

    Any input size that the patch size divides works, square or not; position embeddings are resized as mmpretrain
    does (bicubic), when weights are loaded and in the forward pass.

    Args:
        arch: 'deit-tiny', 'deit-small', 'deit-base', any other name that mmpretrain knows, or a dict with
            ``embed_dims``, ``num_layers``, ``num_heads`` and ``feedforward_channels``. Defaults to 'deit-small'.
        tap: Attention to return: 'none', 'cls' (class-token rows) or 'full' (whole matrices). Defaults to 'cls'.
        tap_layers: Blocks to tap, 0-based, negative from the end. Defaults to None: all.
        tap_in_train: Whether to tap in training mode too; a head whose loss does not read attention saves the
            time. Defaults to False.
        out_tokens: Depths at which to return tokens: 0 before the first block, l after l blocks,
            negative from the end. Defaults to ().
        stem: Config of the patch embedding, in place of one convolution: ``dict(type='mmwsol.ConvStem',
            channels=(24, 48, 96))`` for models trained from scratch, ``dict(type='mmwsol.TimmStem', model_name=...)``
            for a network as in the ViT paper's hybrids. Defaults to None: one convolution, as in ViT.
        **kwargs: Arguments of mmpretrain's class, among them ``img_size`` (224), ``patch_size`` (16),
            ``drop_path_rate`` (0.0), ``final_norm`` (True) and ``patch_cfg``, but not ``frozen_stages``: parts are
            frozen by ``frozen`` of the localizer.

    Raises:
        ValueError: If ``tap``, a layer or a depth does not exist, ``frozen_stages`` is given, or the stem makes patches
            of another size than ``patch_size``.

    Attributes:
        pixel_mean: (3,) RGB mean in 0-255 of the images that the stem was trained on; None if it does not know.
        pixel_std: (3,) standard deviation, likewise.
    """

    patch_embed: Any

    def __init__(
        self,
        arch: str | dict = "deit-small",
        tap: str = "cls",
        tap_layers: Sequence[int] | None = None,
        tap_in_train: bool = False,
        out_tokens: Sequence[int] = (),
        stem: dict | None = None,
        **kwargs,
    ) -> None:
        if kwargs.get("frozen_stages", -1) > 0:
            raise ValueError(
                f"frozen_stages={kwargs['frozen_stages']} is not supported: set frozen=['backbone'] (all of it, in "
                "evaluation mode) or frozen=['backbone.layers.[0-2].*'] (parameters of three blocks) in the localizer."
            )
        super().__init__(arch=arch, out_type="raw", **kwargs)
        self.patch_size: tuple[int, ...] = self.patch_embed.projection.stride
        if stem is not None:
            self.patch_embed = MODELS.build(dict(stem, embed_dims=self.embed_dims, img_size=self.img_size))
            if (self.patch_embed.stride,) * 2 != self.patch_size:
                raise ValueError(
                    f"the stem makes patches of {self.patch_embed.stride} pixels, but patch_size is {self.patch_size}."
                )
        self.pixel_mean: tuple[float, ...] | None = getattr(self.patch_embed, "pixel_mean", None)
        self.pixel_std: tuple[float, ...] | None = getattr(self.patch_embed, "pixel_std", None)
        if not self.final_norm:
            self.ln1 = nn.Identity()  # subclasses that end otherwise apply it themselves
        self.set_taps(self.num_layers, tap, tap_layers, tap_in_train, out_tokens)
        for layer in self.layers:
            layer.attn = TapAttention.like(layer.attn)
        float_drop_path(self)

    def draw_weights(self) -> None:
        """Initialize like DeiT: truncated normal (std 0.02) for linear layers and tokens, zero biases."""
        trunc_normal_(self.cls_token, std=0.02)
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Features:
        """Compute features of images (B, 3, H, W); H and W must be multiples of the patch size.

        Raises:
            ValueError: If the patch size does not divide the image.
        """
        if x.shape[2] % self.patch_size[0] or x.shape[3] % self.patch_size[1]:
            raise ValueError(
                f"Image size {tuple(x.shape[2:])} is not a multiple of the patch size {self.patch_size}: "
                "resize the images in the pipeline."
            )
        x, grid = self.embed(x)
        patches = slice(1, 1 + grid[0] * grid[1])
        x = self.pre_norm(self.drop_after_pos(x))

        tap = self.active_tap()
        weights, gates = [], []
        tokens = [x] if 0 in self.out_tokens else []
        for i, layer in enumerate(self.layers):
            out, attn, gate = self.attend(layer, x, tap if i in self.tap_layers else "none")
            x = x + out
            x = layer.ffn(layer.ln2(x), identity=x)
            if attn is not None:
                weights.append(attn)
            if gate is not None:
                gates.append(gate)
            if i + 1 in self.out_tokens:
                tokens.append(x)
        x = self.ln1(x) if self.final_norm else x

        patch_map = x[:, patches].transpose(1, 2).unflatten(2, grid)
        fields = tapped_fields(weights, tap, patches, grid, gates)
        return Features(patch_map, tokens=tuple(tokens), cls_token=x[:, 0], **fields)

    def embed(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Make tokens (B, 1 + N, D) of images, class token first, with their positions; also give the grid (h, w)."""
        x, grid = self.patch_embed(x)
        return torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.positions(grid), grid

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Return the position embeddings (1, 1 + N, D) of the class token and a grid of N patches, resized to it."""
        return resize_pos_embed(
            self.pos_embed, self.patch_resolution, grid, self.interpolate_mode, self.num_extra_tokens
        )

    def attend(
        self, layer: TransformerEncoderLayer, x: Tensor, tap: str
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Run the attention of a block: output, tapped weights or None, gate (B, tokens) of a method that has one."""
        out, weights = layer.attn(layer.ln1(x), tap)
        return out, weights, None
