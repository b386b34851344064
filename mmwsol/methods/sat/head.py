"""SAT: spatial-aware token (Wu et al., ICCV 2023)."""

from __future__ import annotations

from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmwsol.methods.sat.pooled_conv import pooled_conv
from mmwsol.models.box_rules import TSCAM, register_preset
from mmwsol.models.features import Features
from mmwsol.models.heads.base import LocHead
from mmwsol.registry import MODELS

# thresholds .4 CUB, .3 ILSVRC
register_preset("ComponentBox", "sat", dict(TSCAM, norm="minmax_eps", norm_order="before", default_box="frame"))


@MODELS.register_module()
class SATHead(LocHead):
    """Classify by a convolution over patch tokens and average pooling; localize by the gates of the spatial token.

    ``logits = mean_hw(Conv3x3(patch_map))``, as TS-CAM. The map is the mean of the gates of :class:`SATViT`, one
    class-agnostic map (B, 1, h, w) of foreground probability; class maps are not used. The loss of the paper is
    ``loss_cls + loss_area + loss_norm``, the latter two being ``map_losses``:
    :class:`BatchAreaLoss` and :class:`MapNormalizationLoss`.

    The convolution keeps PyTorch's default initialization, as in the official code.

    Args:
        num_classes: Number of classes C.
        in_channels: Width D of the backbone.
        conv_channels: Channels of the CNN branch of a Conformer, whose pooled map then has a linear
            classifier of its own; the logits of both are summed. Defaults to None: there is no such branch.
        **kwargs: Arguments of :class:`LocHead`.
    """

    class_agnostic = True

    def __init__(self, num_classes: int, in_channels: int, conv_channels: int | None = None, **kwargs) -> None:
        super().__init__(num_classes, **kwargs)
        self.conv = nn.Conv2d(in_channels, num_classes, 3, padding=1)
        self.fc = None if conv_channels is None else nn.Linear(conv_channels, num_classes)

    def draw_weights(self) -> None:
        """Initialize the linear classifier like the transformer's layers; the convolution stays as it is."""
        super().draw_weights()
        if self.fc is not None:
            trunc_normal_(self.fc.weight, std=0.02)
            nn.init.zeros_(self.fc.bias)

    def classify(self, encoded: Features) -> Tensor:
        """Compute class logits (B, C)."""
        logits = pooled_conv(self.conv, encoded.need("patch_map"))
        return logits if self.fc is None else logits + self.fc(encoded.need("conv_map").mean(dim=(2, 3)))

    def localize(self, encoded: Features, labels: Tensor) -> Tensor:
        """Average the gates over blocks: foreground probability (B, 1, h, w)."""
        return encoded.need("gates").mean(dim=1, keepdim=True)
