"""Patch embedding by a convolutional network of timm, as in the hybrids of the ViT paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.utils import to_2tuple
from torch import Tensor, nn

from mmwsol.models.backbones.tapping import PretrainedBackbone
from mmwsol.models.wrapped_networks import channels_last, pixel_statistics
from mmwsol.registry import MODELS


@MODELS.register_module()
class TimmStem(PretrainedBackbone):
    """Embed patches by the feature maps of a network of timm, batch norm and a 1x1 convolution.

    The scale of the maps decides what the blocks do. Maps of EfficientNet as they are make tokens so large that what
    the blocks add hardly counts: the tokens stay local. After the norm, whose scale starts small, the blocks count.

    Its network, ``timm_model``, starts from ``init_cfg=dict(type='Pretrained', checkpoint=...)``: 'timm://NAME',
    'package://...', or a file. To keep it as it is, in evaluation mode, freeze 'backbone.patch_embed.timm_model' in the
    localizer: it then keeps no activations for the backward pass.

    Args:
        embed_dims: Width D of the tokens.
        img_size: Input size (H, W), for the position embeddings.
        model_name: Name in ``timm.list_models()``.
        out_indices: Feature maps to embed, numbered as ``features_only`` of timm does; several, of one size, are
            concatenated.
        init_cfg: mmengine's initialization config. Defaults to None: random weights.
        norm_scale: Scale at which the batch norm of each channel starts. Defaults to 0.1. None: no norm.
        **kwargs: Arguments of ``timm.create_model``, such as ``output_stride``: 16 dilates the last convolutions of
            networks that allow it, and their maps are as large as those at stride 16.

    Raises:
        ValueError: If timm does not know the model, the maps have different strides, or ``pretrained`` is set.

    Attributes:
        stride: Pixels between tokens.
        pixel_mean: (3,) RGB mean in 0-255 of the images that timm's weights were trained on.
        pixel_std: (3,) standard deviation, likewise.
    """

    timm_model: Any
    norm: Any

    def __init__(
        self,
        embed_dims: int,
        img_size: int | tuple[int, int],
        model_name: str,
        out_indices: Sequence[int],
        init_cfg: dict | None = None,
        norm_scale: float | None = 0.1,
        **kwargs,
    ) -> None:
        import timm

        super().__init__(init_cfg)
        for name in ("pretrained", "checkpoint_path"):
            if kwargs.pop(name, None):
                raise ValueError(f"TimmStem has no {name}: set init_cfg=dict(type='Pretrained', checkpoint=...).")
        if ":" in model_name or not timm.is_model(model_name):
            raise ValueError(f"timm {timm.__version__} has no model {model_name!r}; timm.list_models() lists names.")
        self.timm_model = timm.create_model(model_name, features_only=True, out_indices=tuple(out_indices), **kwargs)
        strides = set(self.timm_model.feature_info.reduction())
        if len(strides) != 1:
            raise ValueError(
                f"the maps out_indices={tuple(out_indices)} of {model_name} have the strides {sorted(strides)}: embed "
                "maps of one stride."
            )
        self.stride = int(strides.pop())
        self.pixel_mean, self.pixel_std = pixel_statistics(self.timm_model)
        channels = sum(self.timm_model.feature_info.channels())
        self.norm_scale = norm_scale
        self.norm = nn.Identity() if norm_scale is None else nn.BatchNorm2d(channels)
        self.projection = nn.Conv2d(channels, embed_dims, 1)
        height, width = to_2tuple(img_size)
        self.init_out_size = (height // self.stride, width // self.stride)

    def draw_weights(self) -> None:
        """Start the norm at its scale."""
        if self.norm_scale is not None:
            nn.init.constant_(self.norm.weight, self.norm_scale)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed images (B, 3, H, W): tokens (B, h * w, D) and the grid (h, w)."""
        maps = self.timm_model(channels_last(x))
        x = self.projection(self.norm(torch.cat(maps, dim=1)))
        return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3])
