"""TS-CAM on Conformer: two classifiers, one for either branch."""

from __future__ import annotations

import torch
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmwsol.models.backbones.tap_conformer import ConformerFeatures
from mmwsol.models.heads.base import LocPrediction
from mmwsol.models.heads.conv_cam_head import ConvCAMHead
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample


@MODELS.register_module()
class ConformerCAMHead(ConvCAMHead):
    """TS-CAM's head on the transformer branch, and a linear classifier on the pooled CNN branch.

    ``logits = mean_hw(semantic) + fc(mean_hw(conv_map))``. The maps are those of :class:`ConvCAMHead`: the CNN branch
    has no part in them.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Width D of the transformer branch: 384 in Conformer-S.
        conv_channels (int): Channels of the CNN branch's last map: 1024 in Conformer-S.
        branch_losses (bool): Whether each branch has its own loss, and their mean is taken, as in the original
            Conformer. Defaults to False: one loss on the summed logits, as in the official TS-CAM code.
        **kwargs: Arguments of :class:`ConvCAMHead`.

    Raises:
        ValueError: If both ``branch_losses`` and ``loss_sba`` are on.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        conv_channels: int,
        branch_losses: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        if branch_losses and self.loss_sba is not None:
            raise ValueError("branch_losses=True has no loss_sba: switch one of them off.")
        self.branch_losses = branch_losses
        self.fc = nn.Linear(conv_channels, num_classes)

    def init_weights(self) -> None:
        """Initialise as the official code: He for the convolution's weight, truncated normal for the linear layer."""
        super().init_weights()
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        trunc_normal_(self.fc.weight, std=0.02)
        nn.init.zeros_(self.fc.bias)

    def branch_logits(self, feats: ConformerFeatures) -> tuple[Tensor, Tensor]:
        """Compute the logits (B, C) of the transformer branch and of the CNN branch."""
        return self.conv(feats.patch_map).mean(dim=(2, 3)), self.fc(feats.conv_map.mean(dim=(2, 3)))

    def forward(self, feats: ConformerFeatures) -> Tensor:  # type: ignore[override]
        """Compute class logits (B, C), the sum of both branches."""
        trans, conv = self.branch_logits(feats)
        return trans + conv

    def loss(  # type: ignore[override]
        self, feats: ConformerFeatures, data_samples: list[LocDataSample], inputs: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of the summed logits, or half the loss of either branch."""
        if not self.branch_losses:
            return super().loss(feats, data_samples, inputs)  # type: ignore[arg-type]
        trans, conv = self.branch_logits(feats)
        target = torch.cat([sample.gt_label for sample in data_samples]).to(trans.device)
        return dict(loss_trans=self.loss_cls(trans, target) / 2, loss_conv=self.loss_cls(conv, target) / 2)

    def predict(  # type: ignore[override]
        self, feats: ConformerFeatures, gt_labels: Tensor | None = None, scores: Tensor | None = None
    ) -> LocPrediction:
        """Compute scores (B, C) of the summed logits and maps (B, K, h, w) of the top-k and ground-truth classes."""
        scores = self(feats).softmax(dim=1) if scores is None else scores
        return super().predict(feats, gt_labels, scores)  # type: ignore[arg-type]
