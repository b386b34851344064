"""The frozen DINO transformer of DiPS (Murtaza et al., IVC 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmwsol.models.backbones.tap_vit import TapViT
from mmwsol.models.features import Features, add_fix
from mmwsol.registry import MODELS

add_fix("cls_tokens", "set backbone.type='mmwsol.DiPSViT'")


@MODELS.register_module()
class DiPSViT(TapViT):
    """:class:`TapViT` with the class tokens of the last blocks and the attention of the last one.

    Position embeddings get another size than that of the weights as in DINO's code: bicubic by a factor of
    ``(h + 0.1) / h_0``.

    Args:
        arch: See :class:`TapViT`. Defaults to 'deit-small', which is DINO's ViT-S.
        num_cls_tokens: Number L of blocks, from the end, whose class token is returned. Defaults to 4.
        attn_layers: Blocks whose attention is summed. Defaults to (-1,): the last, which in DINO shows
            objects.
        **kwargs: Arguments of :class:`TapViT`, but ``tap``, ``tap_layers``, ``tap_in_train`` and ``out_tokens``.

    Raises:
        ValueError: If the network has fewer blocks.
    """

    def __init__(
        self,
        arch: str | dict = "deit-small",
        num_cls_tokens: int = 4,
        attn_layers: Sequence[int] = (-1,),
        **kwargs,
    ) -> None:
        super().__init__(arch, "cls", attn_layers, True, **kwargs)
        if not 1 <= num_cls_tokens <= self.num_layers:
            raise ValueError(f"num_cls_tokens must be 1 to {self.num_layers}, the blocks, got {num_cls_tokens}.")
        self.out_tokens = tuple(range(self.num_layers - num_cls_tokens + 1, self.num_layers + 1))

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Return the position embeddings (1, 1 + N, D) of the class token and a grid of N patches, resized to it."""
        if tuple(grid) == tuple(self.patch_resolution):
            return super().positions(grid)
        old = self.pos_embed[:, 1:].unflatten(1, self.patch_resolution).permute(0, 3, 1, 2)
        # DINO adds 0.1 against a size that is one too small; it shifts where the function is sampled.
        scale = tuple((new + 0.1) / size for new, size in zip(grid, self.patch_resolution, strict=True))
        resized = F.interpolate(old, scale_factor=scale, mode="bicubic", recompute_scale_factor=False)
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)

    def forward(self, x: Tensor) -> Features:
        """Compute features of images (B, 3, H, W); H and W must be multiples of the patch size."""
        feats = super().forward(x)
        cls_tokens = self.ln1(torch.stack([tokens[:, 0] for tokens in feats.tokens], dim=1))
        return feats._replace(cls_tokens=cls_tokens)
