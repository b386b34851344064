"""What every localization head is."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample


class LocPrediction(NamedTuple):
    """Answer of a head for B images with K maps each.

    Attributes:
        scores (Tensor): (B, C) class probabilities.
        maps (Tensor): (B, K, h, w) localization maps, not normalised, not thresholded.
        labels (Tensor): (B, K) class of every map, -1 for class-agnostic maps.
    """

    scores: Tensor
    maps: Tensor
    labels: Tensor


class BaseLocHead(BaseModule, metaclass=ABCMeta):
    """Base of localization heads: class scores and localization maps from a backbone's features.

    Args:
        num_classes (int): Number of classes C.
        loss (dict): Classification loss. Defaults to ``dict(type='mmpretrain.CrossEntropyLoss')``.
        topk (int): How many of the best classes get a map in :meth:`predict`. Defaults to 5.
        init_cfg (dict, optional): mmengine's initialisation config. Defaults to None: PyTorch's own.

    Raises:
        ValueError: If ``num_classes`` is not positive.
    """

    #: Whether :meth:`loss` takes the network's input (B, 3, H, W) as a third argument.
    uses_inputs = False

    def __init__(
        self,
        num_classes: int,
        loss: dict | None = None,
        topk: int = 5,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}.")
        self.num_classes = num_classes
        self.topk = min(topk, num_classes)
        self.loss_cls = MODELS.build(loss or dict(type="mmpretrain.CrossEntropyLoss"))

    @abstractmethod
    def forward(self, feats: Any) -> Tensor:
        """Compute class logits (B, C)."""

    @abstractmethod
    def predict(self, feats: Any, gt_labels: Tensor | None = None, scores: Tensor | None = None) -> LocPrediction:
        """Compute scores and maps.

        Args:
            feats: Output of the backbone.
            gt_labels (Tensor, optional): (B,) ground-truth classes; class-specific heads add their map. Defaults to
                None.
            scores (Tensor, optional): (B, C) class probabilities from elsewhere (ten-crop), which then choose the
                classes in place of the head's own. Defaults to None.
        """

    def loss(self, feats: Any, data_samples: list[LocDataSample]) -> dict[str, Tensor]:
        """Compute the losses of a batch from image labels alone."""
        target = torch.cat([sample.gt_label for sample in data_samples])
        logits = self(feats)
        return dict(loss=self.loss_cls(logits, target.to(logits.device)))

    def select_labels(self, scores: Tensor, gt_labels: Tensor | None) -> Tensor:
        """Give the classes that need a map: the top-k, best first, then the ground truth: (B, k) or (B, k + 1)."""
        labels = scores.topk(self.topk, dim=1).indices
        if gt_labels is not None:
            labels = torch.cat([labels, gt_labels.to(labels)[:, None]], dim=1)
        return labels


def select_maps(maps: Tensor, labels: Tensor) -> Tensor:
    """Take the maps (B, K, h, w) of the classes ``labels`` (B, K) out of those of all classes (B, C, h, w)."""
    return maps.gather(1, labels[:, :, None, None].expand(-1, -1, *maps.shape[2:]))
