"""A plain transformer classifier, localizing by the attention of its class token."""

from __future__ import annotations

from torch import Tensor, nn

from mmwsol.models.features import Features
from mmwsol.models.heads.base import LocHead
from mmwsol.registry import MODELS


@MODELS.register_module()
class ClsTokenHead(LocHead):
    """Classify by a linear layer on the class token, as ViT and DeiT do; the map is the class token's attention.

    The map is the head-mean attention summed over the tapped blocks, one class-agnostic map (B, 1, h, w): the
    attention-only baseline of the WSOL papers. Training it first gives the class token the meaning that TS-CAM takes
    from ImageNet weights.

    Args:
        num_classes: Number of classes C.
        in_channels: Width D of the backbone.
        **kwargs: Arguments of :class:`LocHead`.
    """

    class_agnostic = True
    optional_weights = ("fc.weight", "fc.bias")

    def __init__(self, num_classes: int, in_channels: int, **kwargs) -> None:
        super().__init__(num_classes, **kwargs)
        self.fc = nn.Linear(in_channels, num_classes)

    def classify(self, encoded: Features) -> Tensor:
        """Compute class logits (B, C)."""
        return self.fc(encoded.need("cls_token"))

    def localize(self, encoded: Features, labels: Tensor) -> Tensor:
        """Compute the attention map (B, 1, h, w)."""
        return encoded.need("cls_attn").mean(dim=2).sum(dim=1, keepdim=True)
