"""LCTR: local continuity transformer (Chen et al., AAAI 2022)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmwsol.models.features import Features
from mmwsol.models.heads.base import LocHead, select_maps
from mmwsol.registry import MODELS

NUM_EXPERTS = 4


class CueDiggingModule(nn.Module):
    """CDM: a convolution whose kernel is a mix of experts chosen by what the attention left out.

    ``X' = Conv(X * (1 - attention))``; gates ``e = sigmoid(FC(mean X') + FC(max X'))`` (B, E); the kernel is the sum of
    ``e_i W_i``. As convolution is linear, all experts convolve at once and their outputs are mixed.

    Args:
        in_channels: Width D of the patch map.
        num_classes: Number of classes C.
        num_experts: Number of kernels E.
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


class Encoded(NamedTuple):
    """Features of the backbone and the class maps F.

    Attributes:
        feats: Features of the backbone.
        class_maps: (B, C, h, w) F.
    """

    feats: Features
    class_maps: Tensor


@MODELS.register_module()
class LCTRHead(LocHead):
    """Classify by the cue digging module; localize by its class map times the relational attention of patches.

    The relational patch-attention module has no parameters: block l gives the map ``r_l[k] = mean_q a[q] Q[q, k]``, a
    being the class token's attention to all tokens and Q all tokens' attention to the patches, both head-mean. The map
    of class c is ``mean_l r_l * relu(F[c])``; the logits are the mean of F after a 3x3 average pooling with zero
    padding. The backbone needs ``tap='full', tap_in_train=True``.

    Args:
        num_classes: Number of classes C.
        in_channels: Width D of the backbone.
        **kwargs: Arguments of :class:`LocHead`.
    """

    def __init__(self, num_classes: int, in_channels: int, **kwargs) -> None:
        super().__init__(num_classes, **kwargs)
        self.cdm = CueDiggingModule(in_channels, num_classes, NUM_EXPERTS)

    def encode(self, feats: Features) -> Encoded:
        """Compute the class maps."""
        attention = feats.need("cls_attn").mean(dim=(1, 2))[:, None]
        return Encoded(feats, self.cdm(feats.need("patch_map"), attention))

    def classify(self, encoded: Encoded) -> Tensor:
        """Compute class logits (B, C)."""
        return F.avg_pool2d(encoded.class_maps, 3, stride=1, padding=1).mean(dim=(2, 3))

    def localize(self, encoded: Encoded, labels: Tensor) -> Tensor:
        """Compute the maps (B, K, h, w) of the classes ``labels`` (B, K)."""
        return self.relation(encoded.feats) * select_maps(encoded.class_maps, labels).relu()

    def foreground(self, encoded: Encoded) -> Tensor:
        """Return the relational attention (B, h, w)."""
        return self.relation(encoded.feats)[:, 0]

    def label_map(self, encoded: Encoded, labels: Tensor) -> Tensor:
        """Compute the relational attention times the class map of ``labels`` (B,), without its gradient: (B, h, w)."""
        return self.foreground(encoded) * select_maps(encoded.class_maps, labels[:, None])[:, 0].relu().detach()

    def relation(self, feats: Features) -> Tensor:
        """Compute the relational attention (B, 1, h, w), mean over blocks."""
        attn = feats.need("full_attn").mean(dim=2)  # (B, L, 1 + N, 1 + N)
        maps = (attn[:, :, :1] @ attn)[:, :, 0, 1:].mean(dim=1) / attn.shape[-1]
        return maps.unflatten(1, tuple(feats.need("patch_map").shape[2:]))[:, None]
