"""Seeds of epochs and workers."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmwsol.engine import EpochSeedHook


class Noise(Dataset):
    """Return what the three generators give."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return (random.random(), np.random.rand(), torch.rand(1).item())


def draw():
    return (random.random(), np.random.rand(), torch.rand(1).item())


def seeded(epoch, rank=0, seed=3):
    EpochSeedHook().before_train_epoch(SimpleNamespace(seed=seed, epoch=epoch, rank=rank))


def epoch_draws(**settings):
    """Return what two epochs of a data loader draw in its worker."""
    cfg = dict(dataset=Noise(), sampler=dict(type="DefaultSampler", shuffle=False), batch_size=1, num_workers=1)
    loader = Runner.build_dataloader({**cfg, **settings}, seed=3)
    draws = []
    for epoch in range(2):
        seeded(epoch)
        draws.append([[float(v[0]) for v in batch] for batch in loader])
    return draws


def test_epoch_seed_hook():
    seeded(0)
    first = draw()
    random.random()
    seeded(0)
    assert draw() == first
    others = []
    for change in (dict(epoch=1), dict(epoch=0, rank=1), dict(epoch=0, seed=4)):
        seeded(**change)
        others.append(draw())
    values = np.array([first, *others])
    for column in values.T:  # every generator differs in every case
        assert len(set(column)) == 4


def test_worker_seeds_change_with_the_epoch():
    first, second = epoch_draws()  # mmengine's own function
    assert first == second
    ours = dict(worker_init_fn=dict(type="mmwsol.worker_init_fn"))
    first, second = epoch_draws(**ours)
    assert all(a != b for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))
    assert epoch_draws(**ours) == [first, second]
