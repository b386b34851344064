"""CDTR: CLIP-driven transformer (Chen et al., TPAMI 2025)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from mmwsol.methods.catr.head import CATRHead, Encoded
from mmwsol.models.box_rules import TSCAM, register_preset
from mmwsol.registry import MODELS

SKI_INPUTS = ("csm", "out")
register_preset("ContourBox", "cdtr", dict(TSCAM, norm_order="before"))  # thresholds .20 CUB, .19 ILSVRC


class SemanticKernelIntegrator(nn.Module):
    """SKI: a deformable 3x3 convolution whose offsets come from another map. Used in training only.

    Offsets start near zero: zero weights, PyTorch's bias. The kernel starts as mmcv's ``DeformConv2d``.

    Args:
        channels: Channels of both maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_offset = nn.Conv2d(channels, 18, 3, padding=1)  # (dy, dx) of nine taps
        nn.init.zeros_(self.conv_offset.weight)
        bound = math.sqrt(6 / (9 * channels))
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3).uniform_(-bound, bound))

    def forward(self, features: Tensor, offset_map: Tensor) -> Tensor:
        """Convolve features (B, C, h, w) at the offsets that ``offset_map`` (B, C, h, w) gives."""
        # torchvision's operator takes no mixed precision.
        offset, features = self.conv_offset(offset_map).to(self.weight), features.to(self.weight)
        return deform_conv2d(features, offset, self.weight, padding=1)


@MODELS.register_module()
class CDTRHead(CATRHead):
    """CATR with two more parts, each of which can be left out (Table V).

    * **SKI** ties attention and both class maps in a deformable convolution, with its own cross-entropy, the last
      of the weighted terms.
    * **SBA**, ``map_losses=dict(loss_sba=dict(type='mmwsol.SemanticBoostLoss', text_embeddings=...))``, lets CLIP
      compare the masked image with the text of its class; it is added to the weighted terms.

    Both do nothing at test.

    Args:
        num_classes: Number of classes C.
        in_channels: Width D of the backbone.
        with_ski: Whether to use SKI, which needs CSM. Defaults to True.
        ski_input: What SKI convolves: 'csm', with offsets from ``semantic * M`` (official code), or 'out', the
            class maps of the patch tokens, with offsets from ``csm * M`` (paper). Defaults to 'csm'.
        **kwargs: Arguments of :class:`CATRHead`.

    Raises:
        ValueError: If options are unknown or exclude each other.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        with_ski: bool = True,
        ski_input: str = "csm",
        **kwargs,
    ) -> None:
        super().__init__(num_classes, in_channels, further_terms=int(with_ski), **kwargs)
        if ski_input not in SKI_INPUTS:
            raise ValueError(f"ski_input must be one of {SKI_INPUTS}, got {ski_input!r}.")
        if with_ski and self.csm is None:
            raise ValueError("with_ski=True needs with_csm=True: SKI works on the class map of CSM.")
        self.ski_input = ski_input
        self.ski = SemanticKernelIntegrator(num_classes) if with_ski else None

    def plain_terms(self, encoded: Encoded, labels: Tensor) -> dict[str, Tensor]:
        """Compute the terms that ``weighting`` weights, in its order."""
        terms = super().plain_terms(encoded, labels)
        if self.ski is not None:
            terms["ski"] = self.loss_cls(self.integrate(encoded).mean(dim=(2, 3)), labels)
        return terms

    def integrate(self, encoded: Encoded) -> Tensor:
        """Apply SKI: (B, C, h, w).

        Raises:
            ValueError: If the head has none.
        """
        if self.ski is None or encoded.csm is None:
            raise ValueError("the head was built with with_ski=False, and has no SKI to apply.")
        features, other = encoded.csm, encoded.semantic
        if self.ski_input == "out":
            features, other = other, features
        return self.ski(features, other * self.scaled(self.attention(encoded.feats)))
