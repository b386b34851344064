"""Random seeds that depend on the epoch, so that a resumed run repeats the uninterrupted one."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.dist import get_rank

from mmwsol.registry import FUNCTIONS


def seed_everything(*entropy: int) -> None:
    """Seed ``random``, numpy and torch from any number of non-negative integers."""
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # seeds CUDA too


@FUNCTIONS.register_module()
def worker_init_fn(worker_id: int) -> None:
    """Seed a data-loading worker from the seed that torch gives it, new in every epoch.

    mmengine's default ``worker_init_fn`` seeds worker ``i`` of rank ``r`` with ``num_workers * r +
    i + seed``, the same number in every epoch: without persistent workers each epoch repeats the
    random numbers of the first. torch's own seed is drawn from the main process when an epoch
    begins, which :class:`EpochSeedHook` seeds from (seed, epoch, rank).

    With ``persistent_workers=True`` workers are seeded once, and a resumed run differs from an
    uninterrupted one.

    Use as ``train_dataloader = dict(worker_init_fn=dict(type='mmwsol.worker_init_fn'), ...)``.

    Args:
        worker_id: Index of the worker, given by torch; already part of its seed.
    """
    seed_everything(torch.initial_seed() % 2**63, get_rank())
