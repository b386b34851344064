"""The networks of LocLoc: two generators of maps, and the classifier on local features (Cao et al., ACM MM 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor, nn

from mmwsol.compat import float_drop_path
from mmwsol.models.layers.double_conv import double_conv


class UNetGenerator(nn.Module):
    """GEG: a U-Net on the patch tokens, three transposed convolutions, and a sigmoid map of 8 times the grid.

    In the official code the deepest level of the U-Net is not used: the second decoder level reads the encoder's
    third one, not the first decoder level. Its weights are kept, for official checkpoints, but not run, and the
    head freezes them.

    Args:
        in_channels: Width D of the tokens.
        base_channels: A quarter of the channels of the first encoder level. Defaults to 4.
        unet_channels: Channels D' of the U-Net's output. Defaults to 200.
        deconv_channels: Channels of the transposed convolutions. Defaults to 256.
        fix_unet_skip: Whether to use the deepest level, as in a plain U-Net. Defaults to False.

    Attributes:
        unused: Parts that are not run.
    """

    def __init__(
        self,
        in_channels: int,
        base_channels: int = 4,
        unet_channels: int = 200,
        deconv_channels: int = 256,
        fix_unet_skip: bool = False,
    ) -> None:
        super().__init__()
        c = base_channels
        self.fix_unet_skip = fix_unet_skip
        self.unused = () if fix_unet_skip else ("down3", "up1")
        self.down1 = double_conv(in_channels, 2 * c)
        self.down2 = double_conv(2 * c, 4 * c)
        self.down3 = double_conv(4 * c, 8 * c)
        self.up1 = double_conv(12 * c, 4 * c)
        self.up2 = double_conv(6 * c, 3 * c)
        self.up3 = double_conv(in_channels + 3 * c, unet_channels)
        self.deconv = deconv_layers(unet_channels, deconv_channels)
        self.out = nn.Sequential(nn.Conv2d(deconv_channels, 1, 3, padding=1, bias=False), nn.BatchNorm2d(1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Turn patch tokens (B, D, h, w) into foreground maps (B, 1, 8 h, 8 w) in [0, 1]."""
        return self.out(self.deconv(self.unet(x))).sigmoid()

    def unet(self, x: Tensor) -> Tensor:
        """Compute the features F^u (B, D', h, w) of patch tokens (B, D, h, w)."""
        x2 = self.down1(F.max_pool2d(x, 2))
        x3 = self.down2(F.max_pool2d(x2, 2))
        if self.fix_unet_skip:
            x3 = self.up1(_join(x3, self.down3(F.max_pool2d(x3, 2))))
        return self.up3(_join(x, self.up2(_join(x2, x3))))


class PPDGenerator(nn.Module):
    """The decoder of the Proxy Probing Decoder (PPD), LocLoc's baseline: an unbounded map of 4 times the grid.

    Args:
        in_channels: Width D of the tokens.
        stem_channels: Channels before the transposed convolutions. Defaults to 2048.
        deconv_channels: Channels of the transposed convolutions. Defaults to 256.
    """

    unused = ()

    def __init__(self, in_channels: int, stem_channels: int = 2048, deconv_channels: int = 256) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, stem_channels, 3, padding=1, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(stem_channels), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.deconv = deconv_layers(stem_channels, deconv_channels)
        self.out = nn.Conv2d(deconv_channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn patch tokens (B, D, h, w), with even h and w, into maps (B, 1, 4 h, 4 w)."""
        return self.out(self.deconv(self.stem(x)))


class LocalFeatureDigging(nn.Module):
    """LFDM: a transformer of its own on the tokens before the first block, and a convolutional classifier.

    The official code classifies by the mean of a 3x3 average pooling with zero padding, which gives patches at the
    border less weight, of class maps after a ReLU: logits are never negative.

    Args:
        num_classes: Number of classes C; the official models have 1000, on CUB too.
        embed_dims: Width D of the tokens.
        num_layers: Blocks. They start as copies of the backbone's. Defaults to 12.
        num_heads: Attention heads. Defaults to 6.
        feedforward_channels: Hidden channels of the blocks. Defaults to 1536.
        drop_path_rate: Rate of the last block; it rises linearly from 0. Defaults to 0.1.
        conv_head: Whether two convolutions classify the patch tokens or, as an ablation (Table 5), a linear
            layer the class token. Defaults to True.
        final_relu: Whether class maps pass the last ReLU. Defaults to True.
        border_pooling: Whether to pool 3x3 before the mean. Defaults to True.
    """

    def __init__(
        self,
        num_classes: int,
        embed_dims: int,
        num_layers: int = 12,
        num_heads: int = 6,
        feedforward_channels: int = 1536,
        drop_path_rate: float = 0.1,
        conv_head: bool = True,
        final_relu: bool = True,
        border_pooling: bool = True,
    ) -> None:
        super().__init__()
        rates = torch.linspace(0, drop_path_rate, num_layers).tolist()
        self.blocks = nn.ModuleList(
            TransformerEncoderLayer(
                embed_dims, num_heads, feedforward_channels, drop_path_rate=rate, norm_cfg=dict(type="LN", eps=1e-6)
            )
            for rate in rates
        )
        self.norm = nn.LayerNorm(embed_dims, eps=1e-6)
        self.border_pooling = border_pooling
        self.conv_head = conv_head
        # PyTorch's initialization, as in the official code.
        if conv_head:
            self.conv1 = nn.Conv2d(embed_dims, embed_dims, 3, padding=1)
            conv2 = nn.Conv2d(embed_dims, num_classes, 3, padding=1, bias=False)
            self.conv2 = nn.Sequential(conv2, nn.BatchNorm2d(num_classes), nn.ReLU() if final_relu else nn.Identity())
        else:
            self.fc = nn.Linear(embed_dims, num_classes)
        float_drop_path(self)

    def forward(self, tokens: Tensor, grid: Sequence[int]) -> Tensor:
        """Compute logits (B, C) of tokens (B, 1 + h * w, D), class token first; ``grid`` is (h, w)."""
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        if not self.conv_head:
            return self.fc(tokens[:, 0])
        maps = self.class_maps(tokens[:, 1:].transpose(1, 2).unflatten(2, tuple(grid)))
        if self.border_pooling:
            maps = F.avg_pool2d(maps, 3, stride=1, padding=1)
        return maps.mean(dim=(2, 3))

    def class_maps(self, x: Tensor) -> Tensor:
        """Compute class maps (B, C, h, w) of patch tokens (B, D, h, w)."""
        return self.conv2(self.conv1(x).relu())


def deconv_layers(in_channels: int, channels: int) -> nn.Sequential:
    """Make three transposed convolutions that double the size, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for inputs in (in_channels, channels, channels):
        deconv = nn.ConvTranspose2d(inputs, channels, 4, stride=2, padding=1, bias=False)
        layers += [deconv, nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*layers)


def _join(skip: Tensor, deeper: Tensor) -> Tensor:
    """Concatenate a skip connection and a deeper level, enlarged to its size."""
    up = F.interpolate(deeper, skip.shape[2:], mode="bilinear", align_corners=False)
    return torch.cat([skip, up], dim=1)
