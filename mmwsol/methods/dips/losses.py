"""DiPS' losses: cross-entropy of the pixels that have a label, and dense CRF (Murtaza et al., IVC 2023)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmwsol.methods.dips.permutohedral import lattice_filter
from mmwsol.registry import MODELS

IGNORE = -255  # label of the official code


@MODELS.register_module()
class PartialCrossEntropyLoss(nn.Module):
    """Mean cross-entropy over all labeled pixels of the batch, zero if there is none.

    The paper writes a sum; the official code takes the mean, and is NaN where nothing is labeled.

    Args:
        loss_weight: The paper's lambda_1. Defaults to 1.0.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of logits (B, R, H, W) and int64 labels (B, H, W), -255 for pixels without label."""
        total = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
        return self.loss_weight * total / (labels != IGNORE).sum().clamp(min=1)


MODES = ("lattice", "exact")


@MODELS.register_module()
class DenseCRFLoss(nn.Module):
    """Pixels of similar place and color should have the same label: ``-(1 / B) sum_r <S_r, W S_r>``.

    S = softmax(logits) and ``W_ij = exp(-|p_i - p_j|^2 / (2 sigma_xy^2) - |I_i - I_j|^2 / (2 sigma_rgb^2))``, i = j
    included, not normalized, of pixel places p and colors I. This is the paper's ``sum_r S_r^T W (1 - S_r)`` (Eq. 3)
    without its constant ``1^T W 1``: negative, with the same gradient on logits. The gradient with respect to S is
    taken as ``-2 W S / B``, as in the official code; the sum is over pixels, hence the tiny default weight.

    Args:
        mode: 'lattice': :class:`mmwsol.methods.dips.PermutohedralLattice`, as in the official code. 'exact':
            the sum itself, with a cost that grows with the square of the pixels; use it with ``scale`` 0.25 to 0.5, or
            as a test. The lattice gives 0.44 to 0.63 of it, thus 'exact' needs about 0.6 of the weight. Defaults to
            'lattice'.
        sigma_rgb: Standard deviation of colors, 0 to 255. Defaults to 15.0.
        sigma_xy: Standard deviation of places, in pixels of the full image. Defaults to 100.0.
        scale: Factor of the image size at which the loss is computed: colors by nearest neighbor,
            probabilities bilinearly, ``sigma_xy`` with them. Defaults to 1.0.
        loss_weight: The paper's lambda_2. Defaults to 2e-9.

    Raises:
        ValueError: If ``mode`` is unknown, or a standard deviation or ``scale`` is not positive.
    """

    def __init__(
        self,
        mode: str = "lattice",
        sigma_rgb: float = 15.0,
        sigma_xy: float = 100.0,
        scale: float = 1.0,
        loss_weight: float = 2e-9,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, got {mode!r}.")
        for name, value in (("sigma_rgb", sigma_rgb), ("sigma_xy", sigma_xy), ("scale", scale)):
            if value <= 0:
                raise ValueError(f"{name} must be positive, got {value}.")
        self.mode = mode
        self.sigma_rgb = sigma_rgb
        self.sigma_xy = sigma_xy
        self.scale = scale
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        """Compute the loss of logits (B, R, H, W) on RGB images (B, 3, H, W) with values 0 to 255, in float32 at least.

        Raises:
            ValueError: If the sizes differ.
        """
        if logits.shape[0] != images.shape[0] or logits.shape[2:] != images.shape[2:]:
            raise ValueError(f"logits {tuple(logits.shape)} and images {tuple(images.shape)} do not fit together.")
        with torch.autocast(device_type=logits.device.type, enabled=False):
            dtype = logits.dtype if logits.dtype == torch.float64 else torch.float32
            probs = logits.to(dtype).softmax(dim=1)
            images = images.to(dtype)
            if self.scale != 1:
                images = F.interpolate(images, scale_factor=self.scale, mode="nearest")
                probs = F.interpolate(probs, scale_factor=self.scale, mode="bilinear")
            return self.loss_weight * CRFEnergy.apply(probs, self, images)

    def features(self, images: Tensor) -> Tensor:
        """Compute the coordinates (B, 5, H W) x, y, R, G, B of every pixel in standard deviations."""
        height, width = images.shape[2:]
        place = torch.meshgrid(
            torch.arange(width, device=images.device), torch.arange(height, device=images.device), indexing="xy"
        )
        places = torch.stack(place).to(images.dtype) / (self.sigma_xy * self.scale)
        return torch.cat([places.expand(len(images), -1, -1, -1), images / self.sigma_rgb], dim=1).flatten(2)

    @torch.no_grad()
    def filter(self, probs: Tensor, images: Tensor) -> Tensor:
        """Compute W S (B, R, H, W)."""
        features, values = self.features(images), probs.detach().flatten(2)
        apply = exact_filter if self.mode == "exact" else lattice_filter
        return apply(features, values).view_as(probs)


def exact_filter(features: Tensor, values: Tensor, chunk: int = 1024) -> Tensor:
    """Compute ``sum_j exp(-|f_i - f_j|^2 / 2) in_j`` for features (B, d, N) and values (B, C, N).

    Args:
        features: (B, d, N) coordinates in units of their standard deviations.
        values: (B, C, N).
        chunk: Number of points i that are computed at once. Defaults to 1024.
    """
    features = features.transpose(1, 2)
    rows = []
    for part in features.split(chunk, dim=1):
        distance = torch.cdist(part, features, compute_mode="donot_use_mm_for_euclid_dist")
        rows.append(values @ torch.exp(-0.5 * distance**2).transpose(1, 2))
    return torch.cat(rows, dim=2)


class CRFEnergy(torch.autograd.Function):
    """``-(1 / B) sum_r <S_r, W S_r>`` with the gradient ``-2 W S / B``."""

    @staticmethod
    def forward(ctx: Any, probs: Tensor, loss: DenseCRFLoss, images: Tensor) -> Tensor:
        """Compute the energy of maps S (B, 2, H, W) under the filter W of images."""
        filtered = loss.filter(probs, images)
        ctx.save_for_backward(filtered)
        return -(probs * filtered).sum() / len(probs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Compute the gradient for the maps."""
        (filtered,) = ctx.saved_tensors
        return -2 / len(filtered) * grads[0] * filtered, None, None
