"""The pair of convolutions that U-Nets are made of."""

from __future__ import annotations

from torch import nn


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Make two 3x3 convolutions without bias, each with batch norm (momentum 0.01) and LeakyReLU."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(out_channels, momentum=0.01), nn.LeakyReLU()]
    return nn.Sequential(*layers)
