"""TS-CAM: token semantic coupled attention map (Gao et al., ICCV 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmwsol.models.backbones.tap_vit import ViTFeatures
from mmwsol.models.heads.base import BaseLocHead, LocPrediction, select_maps
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample

ATTN_REDUCE = ("sum", "last", "rollout")


@MODELS.register_module()
class ConvCAMHead(BaseLocHead):
    """Classify by a convolution over patch tokens and average pooling; couple its maps with attention.

    ``semantic = Conv(patch_map)`` (B, C, h, w); ``logits = mean_hw(semantic)``; the map of class c is
    ``attention * semantic[c]``, ``attention`` (B, 1, h, w) being the class token's, head-mean, summed over blocks.
    No ReLU and no normalisation before the product, as in the official code. The paper averages over blocks, the code
    sums: the same map after min-max.

    The convolution keeps PyTorch's default initialisation, as in the official code.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Width D of the backbone.
        kernel_size (int): Odd kernel size of the convolution. Defaults to 3.
        couple (bool): Whether to multiply with the attention. False gives the class maps alone. Defaults to True.
        semantic (bool): Whether to multiply with the class map. False gives the attention alone, the same for every
            class. Defaults to True.
        attn_layers (Sequence[int], optional): Indices into the tapped blocks whose attention is used. Defaults to
            None: all.
        attn_reduce (str): How blocks combine: 'sum' (official), 'last', or 'rollout' (product of
            (A + I) / 2, needs a backbone with ``tap='full'`` on all blocks). Defaults to 'sum'.
        inherit_bias (bool): Whether the convolution's bias starts from the bias of a pretrained linear classifier with
            the same number of classes, as the official loader does (ILSVRC). Defaults to True.
        loss_sba (dict, optional): A further loss of the label's map, such as
            ``dict(type='mmwsol.SemanticBoostLoss', text_embeddings=...)`` (CDTR, Table X). Its gradient goes to the
            attention alone: the backbone needs ``tap_in_train=True``. Defaults to None.
        **kwargs: Arguments of :class:`BaseLocHead`.

    Raises:
        ValueError: If an option is unknown, or both ``couple`` and ``semantic`` are off.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        kernel_size: int = 3,
        couple: bool = True,
        semantic: bool = True,
        attn_layers: list[int] | None = None,
        attn_reduce: str = "sum",
        inherit_bias: bool = True,
        loss_sba: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        if attn_reduce not in ATTN_REDUCE:
            raise ValueError(f"attn_reduce must be one of {ATTN_REDUCE}, got {attn_reduce!r}.")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd to keep the patch grid, got {kernel_size}.")
        if not (couple or semantic):
            raise ValueError("couple=False and semantic=False leave no map: switch one of them on.")
        self.couple = couple
        self.semantic = semantic
        self.attn_layers = attn_layers
        self.attn_reduce = attn_reduce
        self.inherit_bias = inherit_bias
        self.conv = nn.Conv2d(in_channels, num_classes, kernel_size, padding=kernel_size // 2)
        self.loss_sba = MODELS.build(dict(loss_sba, num_classes=num_classes)) if loss_sba else None
        self.uses_inputs = self.loss_sba is not None

    def forward(self, feats: ViTFeatures) -> Tensor:
        """Compute class logits (B, C)."""
        return self.conv(feats.patch_map).mean(dim=(2, 3))

    def loss(
        self, feats: ViTFeatures, data_samples: list[LocDataSample], inputs: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the cross-entropy and, from the network's ``inputs`` (B, 3, H, W) too, ``loss_sba``."""
        losses = super().loss(feats, data_samples)
        if self.loss_sba is None:
            return losses
        target = torch.cat([sample.gt_label for sample in data_samples]).to(feats.patch_map.device)
        with torch.no_grad():
            semantic = select_maps(self.conv(feats.patch_map), target[:, None])
        loss_sba = self.loss_sba(inputs, self.attention(feats) * semantic, target)
        return dict(loss_cls=losses["loss"], loss_sba=loss_sba)

    def check_classes(self, classes: Sequence[str]) -> None:
        """Compare the class names that ``loss_sba`` knows with the data set's; :class:`NumClassesHook` calls it."""
        if self.loss_sba is not None:
            self.loss_sba.check_classes(classes)

    def class_maps(self, feats: ViTFeatures, semantic: Tensor) -> Tensor:
        """Return the class maps (B, C, h, w) that localize; ``semantic`` are those that classify."""
        return semantic

    def predict(
        self, feats: ViTFeatures, gt_labels: Tensor | None = None, scores: Tensor | None = None
    ) -> LocPrediction:
        """Compute scores (B, C) and the maps (B, K, h, w) of the top-k and ground-truth classes."""
        semantic = self.conv(feats.patch_map)
        if scores is None:
            scores = semantic.mean(dim=(2, 3)).softmax(dim=1)
        labels = self.select_labels(scores, gt_labels)
        if self.semantic:
            maps = select_maps(self.class_maps(feats, semantic), labels)
        else:
            maps = semantic.new_ones(*labels.shape, *semantic.shape[2:])
        if self.couple:
            maps = maps * self.attention(feats)
        return LocPrediction(scores, maps, labels)

    def attention(self, feats: ViTFeatures) -> Tensor:
        """Combine class-token attention over heads and blocks: (B, 1, h, w).

        Raises:
            ValueError: If the backbone did not return the attention that ``attn_reduce`` needs.
        """
        if self.attn_reduce == "rollout":
            return self._rollout(feats)
        if feats.cls_attn is None:
            raise ValueError(
                "ConvCAMHead couples with attention: set tap='cls' in the backbone, and tap_in_train=True for loss_sba."
            )
        attn = feats.cls_attn.mean(dim=2)  # (B, L, h, w)
        if self.attn_layers is not None:
            attn = attn[:, list(self.attn_layers)]
        if self.attn_reduce == "last":
            return attn[:, -1:]
        return attn.sum(dim=1, keepdim=True)

    def _rollout(self, feats: ViTFeatures) -> Tensor:
        if feats.full_attn is None:
            raise ValueError("attn_reduce='rollout' needs tap='full' in the backbone.")
        attn = feats.full_attn.mean(dim=2)  # (B, L, 1 + N, 1 + N)
        if self.attn_layers is not None:
            attn = attn[:, list(self.attn_layers)]
        eye = torch.eye(attn.shape[-1], dtype=attn.dtype, device=attn.device)
        joint = eye.expand_as(attn[:, 0])
        for layer in attn.unbind(dim=1):
            joint = (layer + eye) / 2 @ joint
        return joint[:, :1, 1:].unflatten(2, tuple(feats.patch_map.shape[2:]))
