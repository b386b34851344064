"""CDTR: CLIP-driven transformer (Chen et al., TPAMI 2025)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmwsol.methods.catr.head import WEIGHTING, CATRHead
from mmwsol.methods.ts_cam.head import Encoded
from mmwsol.registry import MODELS

SKI_INPUTS = ("csm", "out")
DEFORM_BACKENDS = ("torchvision", "mmcv")


class SemanticKernelIntegrator(nn.Module):
    """SKI: a deformable 3x3 convolution whose offsets come from another map. Used in training only.

    Offsets start near zero: zero weights, PyTorch's bias. The kernel starts as mmcv's ``DeformConv2d``.

    Args:
        channels (int): Channels of both maps.
        backend (str): 'torchvision', or 'mmcv', which needs compiled mmcv. Both give the same values.
    """

    def __init__(self, channels: int, backend: str = "torchvision") -> None:
        super().__init__()
        self.backend = backend
        self.conv_offset = nn.Conv2d(channels, 18, 3, padding=1)  # (dy, dx) of nine taps
        nn.init.zeros_(self.conv_offset.weight)
        bound = math.sqrt(6 / (9 * channels))
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3).uniform_(-bound, bound))

    def forward(self, features: Tensor, offset_map: Tensor) -> Tensor:
        """Convolve features (B, C, h, w) at the offsets that ``offset_map`` (B, C, h, w) gives.

        Raises:
            ImportError: If the backend is mmcv and mmcv has no compiled operators.
        """
        # Neither backend takes mixed precision.
        offset, features = self.conv_offset(offset_map).to(self.weight), features.to(self.weight)
        if self.backend == "torchvision":
            from torchvision.ops import deform_conv2d

            return deform_conv2d(features, offset, self.weight, padding=1)
        try:
            from mmcv.ops import deform_conv2d as mmcv_deform_conv2d
        except ImportError as error:
            raise ImportError(
                "deform_backend='mmcv' needs mmcv with compiled operators (pip install mmcv), not mmcv-lite: install "
                "it or set deform_backend='torchvision'."
            ) from error
        batch = len(features)
        step = next(n for n in range(min(batch, 32), 0, -1) if batch % n == 0)  # must divide the batch
        # stride, padding, dilation, groups, deform_groups, bias, im2col_step
        return mmcv_deform_conv2d(features, offset, self.weight, 1, 1, 1, 1, 1, False, step)


@MODELS.register_module()
class CDTRHead(CATRHead):
    """CATR with two more parts, each of which can be left out (Table V).

    * **SKI** ties attention and both class maps in a deformable convolution, with its own cross-entropy, the last
      of the weighted terms.
    * **SBA**, ``map_losses=dict(loss_sba=dict(type='mmwsol.SemanticBoostLoss', text_embeddings=...))``, lets CLIP
      compare the masked image with the text of its class; it is added to the weighted terms.

    Both do nothing at test.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Width D of the backbone.
        with_ski (bool): Whether to use SKI, which needs CSM. Defaults to True.
        ski_input (str): What SKI convolves: 'csm', with offsets from ``semantic * M`` (official code), or 'out', the
            class maps of the patch tokens, with offsets from ``csm * M`` (paper). Defaults to 'csm'.
        deform_backend (str): 'torchvision' or 'mmcv'. Defaults to 'torchvision'.
        weighting (dict, optional): As in :class:`CATRHead`.
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
        deform_backend: str = "torchvision",
        weighting: dict | None = WEIGHTING,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, in_channels, weighting=None, **kwargs)
        if ski_input not in SKI_INPUTS:
            raise ValueError(f"ski_input must be one of {SKI_INPUTS}, got {ski_input!r}.")
        if deform_backend not in DEFORM_BACKENDS:
            raise ValueError(f"deform_backend must be one of {DEFORM_BACKENDS}, got {deform_backend!r}.")
        if with_ski and self.csm is None:
            raise ValueError("with_ski=True needs with_csm=True: SKI works on the class map of CSM.")
        self.ski_input = ski_input
        self.ski = SemanticKernelIntegrator(num_classes, deform_backend) if with_ski else None
        terms = 1 + (self.csm is not None) + 2 * (self.ocm is not None) + with_ski
        self.weighting = None if weighting is None else MODELS.build(dict(weighting, num_terms=terms))

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
        return self.ski(features, other * self.attention(encoded.feats))
