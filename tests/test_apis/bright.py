"""A localizer that needs no training: class 1 if the image is bright in the middle; the map is the brightness."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from mmwsol.models.heads.base import LocHead
from mmwsol.registry import MODELS

CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.BrightBackbone'),
    head=dict(type='mmwsol.BrightHead', num_classes=3),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.5))
test_dataloader = dict(dataset=dict(type='mmwsol.LocListDataset', metainfo=dict(classes=['dark', 'bright', 'odd']),
    pipeline=[
        dict(type='mmwsol.LoadImage'),
        dict(type='mmwsol.Resize', scale=(32, 32)),
        dict(type='mmwsol.LoadMasks'),
        dict(type='mmwsol.PackLocInputs'),
    ]))
"""


@MODELS.register_module(force=True)
class BrightBackbone(nn.Module):
    img_size = (32, 32)

    def forward(self, x):
        return x.mean(dim=1, keepdim=True)


@MODELS.register_module(force=True)
class BrightHead(LocHead):
    """Scores (0.1, 0.7, 0.2); the map of every class is the brightness."""

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.scale = nn.Parameter(torch.ones(()))

    def classify(self, feats):
        return torch.tensor([0.1, 0.7, 0.2]).log().expand(len(feats.patch_map), 3) * self.scale

    def localize(self, feats, labels):
        return feats.patch_map.expand(-1, labels.shape[1], -1, -1)


def config() -> Config:
    return Config.fromstring(CONFIG, ".py")


def checkpoint(path, text=CONFIG, **meta):
    """Write what a training run writes."""
    init_default_scope("mmpretrain")
    model = MODELS.build(config().model)
    torch.save(dict(meta=dict(cfg=text, **meta), state_dict=model.state_dict(), message_hub={}), path)
    return path


def picture(box=(20, 10, 60, 40), size=(80, 50)):
    """A black picture of (W, H) with a white box."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    return image
