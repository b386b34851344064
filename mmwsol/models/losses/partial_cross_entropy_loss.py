"""Cross-entropy of the pixels that have a label (DiPS, Murtaza et al., IVC 2023)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmwsol.registry import MODELS

IGNORE = -255  # label of the official code


@MODELS.register_module()
class PartialCrossEntropyLoss(nn.Module):
    """Mean cross-entropy over all labelled pixels of the batch, zero if there is none.

    The paper writes a sum; the official code takes the mean, and is NaN where nothing is labelled.

    Args:
        loss_weight (float): The paper's lambda_1. Defaults to 1.0.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of logits (B, R, H, W) and int64 labels (B, H, W), -255 for pixels without label."""
        total = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
        return self.loss_weight * total / (labels != IGNORE).sum().clamp(min=1)
