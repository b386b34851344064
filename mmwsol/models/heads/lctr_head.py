"""LCTR: local continuity transformer (Chen et al., AAAI 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmwsol.models.backbones.tap_vit import ViTFeatures
from mmwsol.models.heads.base import BaseLocHead, LocPrediction, select_maps
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample


class CueDiggingModule(nn.Module):
    """CDM: a convolution whose kernel is a mix of experts chosen by what the attention left out.

    ``X' = Conv(X * (1 - attention))``; gates ``e = sigmoid(FC(mean X') + FC(max X'))`` (B, E); the kernel is the sum of
    ``e_i W_i``. As convolution is linear, all experts convolve at once and their outputs are mixed.

    Args:
        in_channels (int): Width D of the patch map.
        num_classes (int): Number of classes C.
        num_experts (int): Number of kernels E.
    """

    def __init__(self, in_channels: int, num_classes: int, num_experts: int) -> None:
        super().__init__()
        self.erase = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.gate_mean = nn.Linear(in_channels, num_experts)
        self.gate_max = nn.Linear(in_channels, num_experts)
        self.weight = nn.Parameter(torch.empty(num_experts, num_classes, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        for kernel in self.weight:
            nn.init.kaiming_uniform_(kernel, a=math.sqrt(5))  # as nn.Conv2d

    def gates(self, patch_map: Tensor, attention: Tensor) -> Tensor:
        """Compute the shares (B, E) of the experts from patches (B, D, h, w) and attention (B, 1, h, w)."""
        rest = self.erase(patch_map * (1 - attention))
        return (self.gate_mean(rest.mean(dim=(2, 3))) + self.gate_max(rest.amax(dim=(2, 3)))).sigmoid()

    def forward(self, patch_map: Tensor, attention: Tensor) -> Tensor:
        """Compute class maps (B, C, h, w)."""
        gates = self.gates(patch_map, attention)
        experts = F.conv2d(patch_map, self.weight.flatten(0, 1), padding=1).unflatten(1, self.weight.shape[:2])
        return (experts * gates[:, :, None, None, None]).sum(dim=1) + self.bias[:, None, None]


@MODELS.register_module()
class LCTRHead(BaseLocHead):
    """Classify by the cue digging module; localize by its class map times the relational attention of patches.

    The relational patch-attention module has no parameters: block l gives the map ``r_l[k] = mean_q a[q] Q[q, k]``, a
    being the class token's attention to all tokens and Q all tokens' attention to the patches, both head-mean. The map
    of class c is ``mean_l r_l * relu(F[c])``; the logits are the mean of F after a 3x3 average pooling with zero
    padding. The backbone needs ``tap='full', tap_in_train=True``.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Width D of the backbone.
        num_experts (int): Kernels of the cue digging module. Defaults to 4.
        loss_sba (dict, optional): As in :class:`ConvCAMHead`; the class map is detached. Defaults to None.
        **kwargs: Arguments of :class:`BaseLocHead`.
    """

    def __init__(
        self, num_classes: int, in_channels: int, num_experts: int = 4, loss_sba: dict | None = None, **kwargs
    ) -> None:
        super().__init__(num_classes, **kwargs)
        self.cdm = CueDiggingModule(in_channels, num_classes, num_experts)
        self.loss_sba = MODELS.build(dict(loss_sba, num_classes=num_classes)) if loss_sba else None
        self.uses_inputs = self.loss_sba is not None

    def forward(self, feats: ViTFeatures) -> Tensor:
        """Compute class logits (B, C)."""
        return _logits(self.class_maps(feats))

    def loss(
        self, feats: ViTFeatures, data_samples: list[LocDataSample], inputs: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the cross-entropy and, from the network's ``inputs`` (B, 3, H, W) too, ``loss_sba``."""
        maps = self.class_maps(feats)
        target = torch.cat([sample.gt_label for sample in data_samples]).to(maps.device)
        losses = dict(loss_cls=self.loss_cls(_logits(maps), target))
        if self.loss_sba is not None:
            mask = self.relation(feats) * select_maps(maps, target[:, None]).relu().detach()
            losses["loss_sba"] = self.loss_sba(inputs, mask, target)
        return losses

    def check_classes(self, classes: Sequence[str]) -> None:
        """Compare the class names that ``loss_sba`` knows with the data set's; :class:`NumClassesHook` calls it."""
        if self.loss_sba is not None:
            self.loss_sba.check_classes(classes)

    def predict(
        self, feats: ViTFeatures, gt_labels: Tensor | None = None, scores: Tensor | None = None
    ) -> LocPrediction:
        """Compute scores (B, C) and the maps (B, K, h, w) of the top-k and ground-truth classes."""
        maps = self.class_maps(feats)
        if scores is None:
            scores = _logits(maps).softmax(dim=1)
        labels = self.select_labels(scores, gt_labels)
        return LocPrediction(scores, self.relation(feats) * select_maps(maps, labels).relu(), labels)

    def class_maps(self, feats: ViTFeatures) -> Tensor:
        """Compute F (B, C, h, w).

        Raises:
            ValueError: If the backbone returned no attention.
        """
        if feats.cls_attn is None:
            raise ValueError("LCTRHead reads attention: set tap='full' and tap_in_train=True in the backbone.")
        return self.cdm(feats.patch_map, feats.cls_attn.mean(dim=(1, 2))[:, None])

    def relation(self, feats: ViTFeatures) -> Tensor:
        """Compute the relational attention (B, 1, h, w), mean over blocks.

        Raises:
            ValueError: If the backbone did not return whole attention matrices.
        """
        if feats.full_attn is None:
            raise ValueError("LCTRHead localizes by the attention between patches: set tap='full' in the backbone.")
        attn = feats.full_attn.mean(dim=2)  # (B, L, 1 + N, 1 + N)
        maps = (attn[:, :, :1] @ attn)[:, :, 0, 1:].mean(dim=1) / attn.shape[-1]
        return maps.unflatten(1, tuple(feats.patch_map.shape[2:]))[:, None]


def _logits(class_maps: Tensor) -> Tensor:
    return F.avg_pool2d(class_maps, 3, stride=1, padding=1).mean(dim=(2, 3))
