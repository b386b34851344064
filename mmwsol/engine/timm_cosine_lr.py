"""The cosine schedule of timm 0.4, which many official codes of vision transformers use."""

from __future__ import annotations

import math

from mmengine.optim import _ParamScheduler
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin

from mmwsol.registry import PARAM_SCHEDULERS

WARMUP_LR = 1e-6  # learning rate at the start (DeiT)


@PARAM_SCHEDULERS.register_module()
class TimmCosineLR(LRSchedulerMixin, _ParamScheduler):
    """Linear warm-up, then a cosine that starts at epoch 0, not at the end of the warm-up.

    With t the epoch: ``1e-6 + t (lr - 1e-6) / warmup_epochs`` before ``warmup_epochs``, then
    ``eta_min + (lr - eta_min) (1 + cos(pi t / T)) / 2``. mmengine's LinearLR and CosineAnnealingLR would start the
    cosine at the top.

    Args:
        optimizer: Optimizer or its wrapper.
        T_max: T in epochs. Defaults to None: ``end - begin``, with ``end`` the run's last epoch.
        eta_min: Final learning rate. Defaults to 1e-5 (DeiT).
        warmup_epochs: Defaults to 5 (DeiT).
        delay: Epochs by which the schedule lags: epoch e trains at the rate of t = max(e - delay, 0). Codes that
            step the schedule after the epoch with the index of that epoch (DeiT's) have 1. Defaults to 1.
        **kwargs: Further arguments of mmengine's schedulers: ``begin``, ``end``, ``last_step``, ``verbose``.
    """

    def __init__(
        self,
        optimizer,
        *args,
        T_max: int | None = None,
        eta_min: float = 1e-5,
        warmup_epochs: int = 5,
        delay: int = 1,
        **kwargs,
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        self.warmup_epochs = warmup_epochs
        self.delay = delay
        super().__init__(optimizer, *args, **kwargs)

    def _get_value(self) -> list[float]:
        """Compute the learning rate of every parameter group."""
        t = max(self.last_step - self.delay, 0)
        if t < self.warmup_epochs:
            share = t / self.warmup_epochs
            return [WARMUP_LR + share * (base - WARMUP_LR) for base in self.base_values]
        period = self.T_max or self.end - self.begin
        share = (1 + math.cos(math.pi * t / period)) / 2
        return [self.eta_min + share * (base - self.eta_min) for base in self.base_values]
