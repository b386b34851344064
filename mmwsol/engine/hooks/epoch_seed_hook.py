"""Hook that seeds every training epoch."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmwsol.engine.seeding import seed_everything
from mmwsol.registry import HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed ``random``, numpy and torch at the start of every training epoch.

    The seed is made of (seed, epoch, rank). A checkpoint holds no random state: without this hook a
    resumed run draws other augmentations, dropout masks and worker seeds than an uninterrupted one.
    With it (and ``worker_init_fn=dict(type='mmwsol.worker_init_fn')``, ``persistent_workers=False``
    and a fixed ``randomness=dict(seed=...)``) both give the same weights. Epoch-based training only:
    an iteration-based loop is one long epoch.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed this process for epoch ``runner.epoch``."""
        seed_everything(runner.seed, runner.epoch, runner.rank)
