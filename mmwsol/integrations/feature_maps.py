"""Backbones of mmwsol under detectors of mmdet, and the pyramid for those of one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.models.utils import LayerNorm2d
from torch import Tensor, nn

from mmwsol.models.backbones.sizes import patch_size
from mmwsol.models.features import Features
from mmwsol.models.initialization import PretrainedLast
from mmwsol.models.timm_files import build_with_timm_files
from mmwsol.models.weights import load_backbone
from mmwsol.registry import MODELS


@MODELS.register_module()
class FeatureMaps(PretrainedLast):
    """Give a backbone of mmwsol the interface of mmdet's: images of any size in, a tuple of feature maps out.

    Images are padded with zeros, at the right and the bottom, to multiples of the patch size of a transformer.

    Weights of a trained localizer go into the inner backbone::

        backbone=dict(type='mmwsol.FeatureMaps', backbone=dict(
            type='mmwsol.TapViT', tap='none',
            init_cfg=dict(type='Pretrained', checkpoint='cam.pth', prefix='backbone.')))

    Args:
        backbone: Any backbone of mmwsol or mmpretrain. A transformer gives one map for each of its
            ``out_tokens`` depths, all of one scale, or the final patch map if it has none; others what they give.
        init_cfg: mmengine's initialization config. Defaults to None.
    """

    def __init__(self, backbone: dict, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.backbone = build_with_timm_files(backbone)

    def load_child(self, child: nn.Module, init_cfg: dict[str, Any]) -> None:
        """Load the weights of ``backbone.init_cfg`` of a backbone of mmpretrain."""
        load_backbone(child, init_cfg["checkpoint"], init_cfg.get("prefix"))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps (B, D, h, w) of images (B, 3, H, W), with h = ceil(H / patch size)."""
        height, width = (
            math.ceil(side / patch) * patch for side, patch in zip(x.shape[2:], patch_size(self.backbone), strict=True)
        )
        if (height, width) != tuple(x.shape[2:]):
            x = F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]))
        return feature_maps(self.backbone(x))


def feature_maps(feats: Features | Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Take the feature maps out of what a backbone returns."""
    if isinstance(feats, Tensor):
        return (feats,)
    if not isinstance(feats, Features):
        return tuple(feats)
    patch_map = feats.need("patch_map")
    if not feats.tokens:
        return (patch_map,)
    grid = patch_map.shape[2:]
    patches = slice(1, 1 + grid.numel())  # the class token stands first
    return tuple(tokens[:, patches].transpose(1, 2).unflatten(2, tuple(grid)) for tokens in feats.tokens)


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """A feature pyramid from the last map of a plain transformer (Li et al., ECCV 2022, ViTDet).

    Every level is made from the same map, by transposed convolutions or max pooling, then a 1x1 and a 3x3 convolution
    with layer norm. There are no top-down connections.

    Args:
        in_channels: Channels D of the map.
        out_channels: Channels of every level. Defaults to 256.
        scales: Sizes of the levels over that of the map: 4, 2, 1 or 0.5, finest first. Strides are
            the patch size over these. Defaults to (4, 2, 1, 0.5).
        num_outs: Number of levels; those beyond ``scales`` take every second position of the last one.
            Defaults to None: one level a scale.
        init_cfg: mmengine's initialization config. Defaults to None.

    Raises:
        ValueError: If a scale is not among these, or ``num_outs`` is smaller than their number.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        scales: Sequence[float] = (4, 2, 1, 0.5),
        num_outs: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        num_outs = num_outs or len(scales)
        if num_outs < len(scales):
            raise ValueError(f"num_outs={num_outs} is less than the number of scales, {len(scales)}.")
        self.num_extra = num_outs - len(scales)
        self.levels = nn.ModuleList(_level(in_channels, out_channels, scale) for scale in scales)

    def forward(self, feats: Any) -> tuple[Tensor, ...]:
        """Compute the levels (B, out_channels, s * h, s * w) from a backbone's maps, the last of which is (h, w)."""
        x = feature_maps(feats)[-1]
        outs = [level(x) for level in self.levels]
        for _ in range(self.num_extra):
            outs.append(F.max_pool2d(outs[-1], kernel_size=1, stride=2))
        return tuple(outs)


def _level(in_channels: int, out_channels: int, scale: float) -> nn.Sequential:
    half, quarter = in_channels // 2, in_channels // 4
    resize: dict[float, tuple[list[nn.Module], int]] = {
        4: (
            [
                nn.ConvTranspose2d(in_channels, half, 2, stride=2),
                LayerNorm2d(half),
                nn.GELU(),
                nn.ConvTranspose2d(half, quarter, 2, stride=2),
            ],
            quarter,
        ),
        2: ([nn.ConvTranspose2d(in_channels, half, 2, stride=2)], half),
        1: ([], in_channels),
        0.5: ([nn.MaxPool2d(2, stride=2)], in_channels),
    }
    if scale not in resize:
        raise ValueError(f"scales must be among {tuple(resize)}, got {scale}.")
    layers, channels = resize[scale]
    return nn.Sequential(
        *layers,
        nn.Conv2d(channels, out_channels, 1, bias=False),
        LayerNorm2d(out_channels),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        LayerNorm2d(out_channels),
    )
