"""A plain transformer classifier, localizing by the attention of its class token."""

from __future__ import annotations

from torch import Tensor, nn

from mmwsol.models.backbones.tap_vit import ViTFeatures
from mmwsol.models.heads.base import BaseLocHead, LocPrediction
from mmwsol.registry import MODELS


@MODELS.register_module()
class ClsTokenHead(BaseLocHead):
    """Classify by a linear layer on the class token, as ViT and DeiT do; the map is the class token's attention.

    The map is the head-mean attention summed over the tapped blocks, one class-agnostic map (B, 1, h, w): the
    attention-only baseline of the WSOL papers. Training it first gives the class token the meaning that TS-CAM takes
    from ImageNet weights.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Width D of the backbone.
        **kwargs: Arguments of :class:`BaseLocHead`.
    """

    def __init__(self, num_classes: int, in_channels: int, **kwargs) -> None:
        super().__init__(num_classes, **kwargs)
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, feats: ViTFeatures) -> Tensor:
        """Compute class logits (B, C)."""
        return self.fc(feats.cls_token)

    def predict(
        self, feats: ViTFeatures, gt_labels: Tensor | None = None, scores: Tensor | None = None
    ) -> LocPrediction:
        """Compute scores (B, C) and the attention map (B, 1, h, w), labelled -1.

        Raises:
            ValueError: If the backbone returned no attention.
        """
        if feats.cls_attn is None:
            raise ValueError("ClsTokenHead localizes by attention: set tap='cls' in the backbone.")
        if scores is None:
            scores = self(feats).softmax(dim=1)
        maps = feats.cls_attn.mean(dim=2).sum(dim=1, keepdim=True)
        return LocPrediction(scores, maps, scores.new_full((len(scores), 1), -1).long())
