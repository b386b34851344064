"""TS-CAM on Conformer: two classifiers, one for either branch."""

from __future__ import annotations

from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmwsol.methods.ts_cam.head import ConvCAMHead, Encoded
from mmwsol.models.heads.base import Batch
from mmwsol.registry import MODELS


@MODELS.register_module()
class ConformerCAMHead(ConvCAMHead):
    """TS-CAM's head on the transformer branch, and a linear classifier on the pooled CNN branch.

    ``logits = mean_hw(semantic) + fc(mean_hw(conv_map))``. The maps are those of :class:`ConvCAMHead`: the CNN branch
    has no part in them.

    Args:
        num_classes: Number of classes C.
        in_channels: Width D of the transformer branch: 384 in Conformer-S.
        conv_channels: Channels of the CNN branch's last map: 1024 in Conformer-S.
        branch_losses: Whether each branch has its own loss, and their mean is taken, as in the original
            Conformer. Defaults to False: one loss on the summed logits, as in the official TS-CAM code.
        **kwargs: Arguments of :class:`ConvCAMHead`.
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
        self.branch_losses = branch_losses
        self.fc = nn.Linear(conv_channels, num_classes)

    def draw_weights(self) -> None:
        """Initialize as the official code: He for the convolution's weight, truncated normal for the linear layer."""
        super().draw_weights()
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        trunc_normal_(self.fc.weight, std=0.02)
        nn.init.zeros_(self.fc.bias)

    def branch_logits(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Compute the logits (B, C) of the transformer branch and of the CNN branch."""
        return encoded.semantic.mean(dim=(2, 3)), self.fc(encoded.feats.need("conv_map").mean(dim=(2, 3)))

    def classify(self, encoded: Encoded) -> Tensor:
        """Compute class logits (B, C), the sum of both branches."""
        transformer, cnn = self.branch_logits(encoded)
        return transformer + cnn

    def terms(self, encoded: Encoded, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss of the summed logits, or the mean of both branches' losses."""
        if not self.branch_losses:
            return super().terms(encoded, batch)
        losses = [self.loss_cls(logits, batch.labels) for logits in self.branch_logits(encoded)]
        return dict(loss_cls=(losses[0] + losses[1]) / 2)
