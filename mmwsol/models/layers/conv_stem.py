"""Patch embedding by a few strided convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.models.utils import to_2tuple
from torch import Tensor, nn

from mmwsol.registry import MODELS


@MODELS.register_module()
class ConvStem(nn.Module):
    """Embed patches with stride-2 convolutions (after Xiao et al., NeurIPS 2021) in place of one large one.

    A transformer trained from scratch on a small data set learns far faster behind it. The kernels are 4x4 with padding
    1, not 3x3: a token then looks at the center of its patch. With 3x3 it looks at the patch's corner, and every map is
    half a patch off. It has the interface of mmcv's ``PatchEmbed``.

    Args:
        embed_dims: Width D of the tokens.
        channels: Output channels of the stride-2 convolutions, each with batch norm and ReLU; a 1x1
            convolution to D follows. The patch size is 2 to the power of their number.
        img_size: Input size (H, W), for the position embeddings.
        in_channels: Image channels. Defaults to 3.

    Attributes:
        stride: Pixels between tokens, the patch size.
    """

    def __init__(
        self,
        embed_dims: int,
        channels: Sequence[int],
        img_size: int | tuple[int, int],
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in channels:
            conv = nn.Conv2d(in_channels, width, 4, stride=2, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]
            in_channels = width
        self.convs = nn.Sequential(*layers)
        self.projection = nn.Conv2d(in_channels, embed_dims, 1)
        self.stride = 2 ** len(channels)
        height, width = to_2tuple(img_size)
        self.init_out_size = (height // self.stride, width // self.stride)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed images (B, 3, H, W): tokens (B, h * w, D) and the grid (h, w)."""
        x = self.projection(self.convs(x))
        return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3])
