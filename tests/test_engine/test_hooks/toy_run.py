"""A run of two epochs with a schedule and a best checkpoint, small enough for a second."""

from __future__ import annotations

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from torch import nn
from torch.utils.data import Dataset


@MODELS.register_module(force=True)
class ResumeToyModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        outputs = self.layer(torch.stack(inputs))
        return dict(loss=(outputs - 1).square().mean()) if mode == "loss" else outputs


@DATASETS.register_module(force=True)
class ResumeToyDataset(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([index + 1.0, 1.0]) + torch.rand(2) / 10, data_samples=index)


@METRICS.register_module(force=True)
class ResumeToyMetric(BaseMetric):
    """Better from epoch to epoch."""

    default_prefix = "toy"
    calls = 0

    def process(self, data_batch, data_samples):
        self.results.append(len(data_samples))

    def compute_metrics(self, results):
        ResumeToyMetric.calls += 1
        return dict(acc=float(ResumeToyMetric.calls))


def toy_settings() -> dict:
    sampler = dict(type="DefaultSampler", shuffle=True)
    loader = dict(dataset=dict(type="ResumeToyDataset"), sampler=sampler, batch_size=2, num_workers=0)
    return dict(
        default_scope="mmengine",
        model=dict(type="ResumeToyModel"),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01)),
        param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True)],
        val_dataloader=loader,
        val_cfg=dict(),
        val_evaluator=dict(type="ResumeToyMetric"),
        default_hooks=dict(
            checkpoint=dict(type="CheckpointHook", interval=1, save_best="toy/acc", rule="greater"),
            resume=dict(type="mmwsol.ResumeHook"),
        ),
        custom_hooks=[dict(type="mmwsol.EpochSeedHook")],
        randomness=dict(seed=1),
        log_level="WARNING",
    )
