"""Losses of CATR and CDTR: learned weights of several losses, and the two of the object constraint module."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmwsol.registry import MODELS


@MODELS.register_module()
class AutomaticWeightedLoss(nn.Module):
    """Weights of losses: ``L_i / (2 lambda_i^2) + ln(1 + lambda_i^2)``, with learned lambdas; the sum is minimized.

    Adam moves a lambda by at most about its learning rate a step: with a small learning rate the weights stay near 1/2.
    ``optim_wrapper.paramwise_cfg.custom_keys={'weighting': dict(lr_mult=...)}`` lets them move.

    Args:
        num_terms: Number of losses.
        init: First value of the lambdas. Defaults to 1.0.
        learned: Whether the lambdas are trained; else the weights are fixed at ``1 / (2 init^2)``. Defaults to
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
        """Compute the weighted losses (T,) of T scalar losses.

        Raises:
            ValueError: If their number is not ``num_terms``.
        """
        if len(losses) != len(self.lambdas):
            raise ValueError(f"AutomaticWeightedLoss was built for {len(self.lambdas)} losses, got {len(losses)}.")
        squares = self.lambdas.square()
        return torch.stack(list(losses)) / (2 * squares) + squares.log1p()


REDUCE = ("batch_sum", "mean")


@MODELS.register_module()
class NoiseSuppressionLoss(nn.Module):
    """Pull the weakest attention of every image to zero: the mean over the map of values up to a threshold.

    The threshold is the ``ratio`` quantile of the image's own map, ``sorted(M)[int(N * ratio)]``; values equal to it
    count. It is a comparison only, gradients go to the weak values alone (CDTR Eq. 7).

    Args:
        ratio: Fraction p of the cells that are noise. Defaults to 0.25 (CUB; ILSVRC 0.1).
        reduce: 'batch_sum' adds the images of the batch, as the official code does, which makes the weight of the
            loss proportional to the batch of a GPU: 128 on CUB, 64 on ILSVRC. 'mean' is the paper's; ``loss_weight``
            128 gives it the official scale whatever the batch. Defaults to 'batch_sum'.
        loss_weight: Defaults to 1.0.

    Raises:
        ValueError: If an option is unknown or ``ratio`` is no fraction.
    """

    def __init__(self, ratio: float = 0.25, reduce: str = "batch_sum", loss_weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= ratio < 1:
            raise ValueError(f"ratio must satisfy 0 <= ratio < 1, got {ratio}.")
        if reduce not in REDUCE:
            raise ValueError(f"reduce must be one of {REDUCE}, got {reduce!r}.")
        self.ratio = ratio
        self.reduce = reduce
        self.loss_weight = loss_weight

    def threshold(self, attention: Tensor) -> Tensor:
        """Compute the thresholds (B,) of maps (B, h, w), without gradient."""
        flat = attention.detach().flatten(1)
        return flat.kthvalue(int(flat.shape[1] * self.ratio) + 1, dim=1).values

    def forward(self, attention: Tensor) -> Tensor:
        """Compute the loss of maps (B, h, w)."""
        noise = attention * (attention <= self.threshold(attention)[:, None, None])
        loss = noise.mean(dim=(1, 2))
        return self.loss_weight * (loss.sum() if self.reduce == "batch_sum" else loss.mean())


PAIRS = ("same", "all")
DETACH = ("none", "pseudo", "attention")


@MODELS.register_module()
class ObjectAwakeningLoss(nn.Module):
    """Mean square difference of the pseudo map and the attention (CDTR Eq. 8).

    Args:
        pairs: 'same' compares the two maps of an image (paper). 'all' compares every pseudo map with the
            attention of every image of the batch, which a broadcast makes of it in the official code: that equals
            ``mean (P_b - mean M)^2 + mean (M_b - mean M)^2`` and pulls all images towards the batch's mean. Defaults
            to 'same'.
        detach: Side that gets no gradient: 'none' (official code), 'pseudo' or 'attention'. Defaults to 'none'.
        loss_weight: Defaults to 1.0.

    Raises:
        ValueError: If an option is unknown.
    """

    def __init__(self, pairs: str = "same", detach: str = "none", loss_weight: float = 1.0) -> None:
        super().__init__()
        if pairs not in PAIRS:
            raise ValueError(f"pairs must be one of {PAIRS}, got {pairs!r}.")
        if detach not in DETACH:
            raise ValueError(f"detach must be one of {DETACH}, got {detach!r}.")
        self.pairs = pairs
        self.detach = detach
        self.loss_weight = loss_weight

    def forward(self, pseudo: Tensor, attention: Tensor) -> Tensor:
        """Compute the loss of pseudo maps (B, h, w) and attention (B, h, w)."""
        if self.detach == "pseudo":
            pseudo = pseudo.detach()
        elif self.detach == "attention":
            attention = attention.detach()
        if self.pairs == "all":
            pseudo = pseudo[:, None]  # (B, 1, h, w) - (B, h, w): all pairs
        return self.loss_weight * (pseudo - attention).square().mean()
