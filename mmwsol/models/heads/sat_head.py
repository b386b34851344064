"""SAT: spatial-aware token (Wu et al., ICCV 2023)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmwsol.models.heads.base import BaseLocHead, LocPrediction
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample


@MODELS.register_module()
class SATHead(BaseLocHead):
    """Classify by a convolution over patch tokens and average pooling; localize by the gates of the spatial token.

    ``logits = mean_hw(Conv(patch_map))``, as TS-CAM. The map is the mean of the gates of :class:`SATViT`, one
    class-agnostic map (B, 1, h, w) of foreground probability; class maps are not used. The loss is
    ``loss_cls + loss_area + loss_norm``; the terms on the map need no label.

    The convolution keeps PyTorch's default initialisation, as in the official code.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Width D of the backbone.
        loss_area (dict, optional): Loss of maps (B, h, w) on their area, such as
            ``dict(type='mmwsol.BatchAreaLoss', target=0.25)``. Defaults to None: no such term.
        loss_norm (dict, optional): Loss of maps that makes them binary, such as
            ``dict(type='mmwsol.MapNormalizationLoss')``. Defaults to None: no such term.
        kernel_size (int): Odd kernel size of the convolution. Defaults to 3.
        conv_channels (int, optional): Channels of the CNN branch of a Conformer, whose pooled map then has a linear
            classifier of its own; the logits of both are summed. Defaults to None: there is no such branch.
        **kwargs: Arguments of :class:`BaseLocHead`.

    Raises:
        ValueError: If ``kernel_size`` is even.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss_area: dict | None = None,
        loss_norm: dict | None = None,
        kernel_size: int = 3,
        conv_channels: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd to keep the patch grid, got {kernel_size}.")
        self.conv = nn.Conv2d(in_channels, num_classes, kernel_size, padding=kernel_size // 2)
        self.fc = None if conv_channels is None else nn.Linear(conv_channels, num_classes)
        terms = {"loss_area": loss_area, "loss_norm": loss_norm}
        # A weight of zero costs nothing and leaves no zero in the log.
        self.map_losses = nn.ModuleDict(
            {name: MODELS.build(term) for name, term in terms.items() if term and term.get("loss_weight", 1.0)}
        )

    def init_weights(self) -> None:
        """Initialise the linear classifier like the transformer's layers; the convolution stays as it is."""
        super().init_weights()
        if self.fc is not None:
            trunc_normal_(self.fc.weight, std=0.02)
            nn.init.zeros_(self.fc.bias)

    def forward(self, feats: Any) -> Tensor:
        """Compute class logits (B, C).

        Convolution and average pooling commute: the mean over positions is taken first, once for each cell of the
        kernel (without the row or column that the cell never meets), with the same result.
        """
        tokens = feats.patch_map.flatten(2).transpose(1, 2)  # (B, h * w, D)
        ones = tokens.new_ones(1, 1, *feats.patch_map.shape[2:])
        meets = F.unfold(ones, self.conv.kernel_size, padding=self.conv.kernel_size[0] // 2)[0].flip(0)  # cells, h * w
        pooled = (meets / tokens.shape[1]) @ tokens  # (B, cells, D)
        logits = F.linear(pooled.flatten(1), self.conv.weight.permute(0, 2, 3, 1).flatten(1), self.conv.bias)
        return logits if self.fc is None else logits + self.fc(feats.conv_map.mean(dim=(2, 3)))

    def loss(self, feats: Any, data_samples: list[LocDataSample]) -> dict[str, Tensor]:
        """Compute ``loss_cls`` and the terms that are switched on, ``loss_area`` and ``loss_norm``."""
        target = torch.cat([sample.gt_label for sample in data_samples])
        logits = self(feats)
        losses = dict(loss_cls=self.loss_cls(logits, target.to(logits.device)))
        if self.map_losses:
            maps = self.foreground(feats)
            losses.update({name: term(maps) for name, term in self.map_losses.items()})
        return losses

    def predict(self, feats: Any, gt_labels: Tensor | None = None, scores: Tensor | None = None) -> LocPrediction:
        """Compute scores (B, C) and the map (B, 1, h, w), labelled -1."""
        if scores is None:
            scores = self(feats).softmax(dim=1)
        return LocPrediction(scores, self.foreground(feats)[:, None], scores.new_full((len(scores), 1), -1).long())

    def foreground(self, feats: Any) -> Tensor:
        """Average the gates over blocks: foreground probability (B, h, w).

        Raises:
            ValueError: If the backbone returned no gates.
        """
        if feats.gates is None:
            raise ValueError("SATHead localizes by gates: set backbone.type='mmwsol.SATViT' with num_sqa_blocks >= 1.")
        return feats.gates.mean(dim=1)
