"""A model, data set and loop small enough to run several Runners in a second."""

from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, LOOPS, METRICS, MODELS
from mmengine.runner import BaseLoop
from torch import nn
from torch.utils.data import Dataset


@MODELS.register_module(force=True)
class StageToyModel(BaseModel):
    def __init__(self, num_classes=2):
        super().__init__()
        self.head = nn.Linear(2, 1)
        self.head.num_classes = num_classes
        self.dropout = nn.Dropout(0.5)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        outputs = self.head(self.dropout(torch.stack(inputs)))
        return dict(loss=(outputs - 1).square().mean()) if mode == "loss" else outputs


@DATASETS.register_module(force=True)
class StageToyDataset(Dataset):
    metainfo = dict(classes=("a", "b"))

    def __len__(self):
        return 4

    def __getitem__(self, index):
        noise = torch.rand(2) / 10
        return dict(inputs=torch.tensor([index + 1.0, 1.0]) + noise, data_samples=index)


@METRICS.register_module(force=True)
class StageToyMetric(BaseMetric):
    default_prefix = "toy"

    def process(self, data_batch, data_samples):
        self.results.append(len(data_samples))

    def compute_metrics(self, results):
        return dict(acc=float(sum(results)))


@LOOPS.register_module(force=True)
class StageToyPreparation(BaseLoop):
    """A stage that trains nothing and saves no checkpoint."""

    epoch = iter = 0  # the Runner asks every training loop for these
    max_epochs = max_iters = 1

    def run(self):
        self.runner.call_hook("before_train")
        for _ in self.dataloader:
            pass
        return self.runner.model


def toy_config(**settings) -> Config:
    loader = dict(
        dataset=dict(type="StageToyDataset"),
        sampler=dict(type="DefaultSampler", shuffle=True),
        batch_size=2,
        num_workers=0,
    )
    cfg = dict(
        default_scope="mmengine",
        model=dict(type="StageToyModel"),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01)),
        val_dataloader=loader,
        val_cfg=dict(),
        val_evaluator=dict(type="StageToyMetric"),
        custom_hooks=[dict(type="mmwsol.EpochSeedHook")],
        randomness=dict(seed=1),
        log_level="WARNING",
        **settings,
    )
    return Config(cfg)
