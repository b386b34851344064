"""A localizer whose answer is known: the map of class c is the color channel c of its input."""

from __future__ import annotations

import cv2
import numpy as np
from mmengine.model import BaseModule

from mmwsol.models.heads.base import LocHead, select_maps

BOXES = {0: (8, 6, 48, 46), 1: (60, 10, 84, 34), 2: (52, 44, 92, 60)}  # of red, green and blue; areas 1600, 576, 640


class Pixels(BaseModule):
    """Hand on the input."""

    def forward(self, x):
        return x


class ChannelHead(LocHead):
    """Score a class by the mean of its channel, or, class-agnostic, map the sum of the channels."""

    def __init__(self, agnostic=False, **kwargs):
        super().__init__(num_classes=3, **kwargs)
        self.class_agnostic = agnostic

    def classify(self, feats):
        return feats.patch_map.mean(dim=(2, 3)) * 4

    def localize(self, feats, labels):
        if self.class_agnostic:
            return feats.patch_map.sum(dim=1, keepdim=True)
        return select_maps(feats.patch_map, labels)


def localizer(agnostic=False):
    """Return the config; the box is that of the pixels above half of the range."""
    return dict(
        type="mmwsol.ImageLocalizer",
        backbone=dict(type=Pixels),
        head=dict(type=ChannelHead, agnostic=agnostic),
        map_to_box=dict(type="mmwsol.ContourBox", preset="tscam", threshold=0.5),
    )


def write_picture(path, width=100, height=64, zoom=1):
    """Write a black picture with a red, a green and a blue box; return their boxes in its pixels."""
    image = np.zeros((height, width, 3), np.uint8)
    for label, (x0, y0, x1, y1) in BOXES.items():
        image[y0:y1, x0:x1, 2 - label] = 255  # BGR
    image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(path), image)
    return {label: [side * zoom for side in box] for label, box in BOXES.items()}
