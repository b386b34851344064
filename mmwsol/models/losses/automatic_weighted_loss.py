"""Learned weights of several losses (Liebel and Koerner, 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmwsol.registry import MODELS


@MODELS.register_module()
class AutomaticWeightedLoss(nn.Module):
    """Weighted sum ``sum_i L_i / (2 lambda_i^2) + ln(1 + lambda_i^2)`` with learned lambdas.

    Adam moves a lambda by at most about its learning rate a step: with a small learning rate the weights stay near 1/2.
    ``optim_wrapper.paramwise_cfg.custom_keys={'weighting': dict(lr_mult=...)}`` lets them move.

    Args:
        num_terms (int): Number of losses.
        init (float | Sequence[float]): First value of the lambdas. Defaults to 1.0.
        learned (bool): Whether the lambdas are trained; else the weights are fixed at ``1 / (2 init^2)``. Defaults to
            True.

    Raises:
        ValueError: If a lambda is zero, or their number is not ``num_terms``.
    """

    def __init__(self, num_terms: int, init: float | Sequence[float] = 1.0, learned: bool = True) -> None:
        super().__init__()
        values = [float(init)] * num_terms if isinstance(init, (int, float)) else [float(value) for value in init]
        if len(values) != num_terms:
            raise ValueError(f"init has {len(values)} lambdas for {num_terms} losses: give one number, or one a loss.")
        if 0 in values:
            raise ValueError(f"init must not be zero, got {init}: a loss is divided by the square of its lambda.")
        self.lambdas = nn.Parameter(torch.tensor(values), requires_grad=learned)

    def forward(self, losses: Sequence[Tensor]) -> Tensor:
        """Compute the weighted sum of scalar losses.

        Raises:
            ValueError: If their number is not ``num_terms``.
        """
        if len(losses) != len(self.lambdas):
            raise ValueError(f"AutomaticWeightedLoss was built for {len(self.lambdas)} losses, got {len(losses)}.")
        squares = self.lambdas.square()
        return (torch.stack(list(losses)) / (2 * squares) + squares.log1p()).sum()
