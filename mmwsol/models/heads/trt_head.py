"""TRT: re-attention transformer (Su et al., BMVC 2022)."""

from __future__ import annotations

import torch
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmwsol.models.backbones.trt_vit import TRTFeatures, check_train_part, freeze_untrained
from mmwsol.models.heads.base import BaseLocHead, LocPrediction
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample

CLS_BRANCHES = ("tpsm", "cam", "mean")


@MODELS.register_module()
class TRTHead(BaseLocHead):
    """Classify by the class token, and multiply its re-attention with class maps.

    With the features of :class:`TRTViT`: ``logits_t = Linear(cls_token)``; ``M_C = Conv(cam_map)`` (B, C, h, w),
    ``logits_c = mean_hw(M_C)``; the map of class c is ``attn_map * M_C[c]``, with no ReLU and no normalisation before
    the product. Class scores come from ``logits_t``, as in the official code.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Width D of the backbone.
        train_part (str): 'tpsm': cross-entropy of ``logits_t``; there are no class maps, and ``attn_map`` is the map.
            'cam': cross-entropy of ``logits_c``, the linear layer is frozen. 'joint': the sum of both (Eq. 2). The
            backbone has the same option. Defaults to 'joint'.
        fuse_cam (bool): Whether maps are the product or, as an ablation, ``attn_map`` alone. Defaults to True.
        cls_branch (str): Logits that give the class scores: 'tpsm', 'cam' or 'mean' of both. Defaults to 'tpsm'.
        **kwargs: Arguments of :class:`BaseLocHead`.

    Raises:
        ValueError: If an option is unknown, or asks for class maps with ``train_part='tpsm'``.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        train_part: str = "joint",
        fuse_cam: bool = True,
        cls_branch: str = "tpsm",
        **kwargs,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        check_train_part(train_part)
        if cls_branch not in CLS_BRANCHES:
            raise ValueError(f"cls_branch must be one of {CLS_BRANCHES}, got {cls_branch!r}.")
        if cls_branch != "tpsm" and train_part == "tpsm":
            raise ValueError(f"cls_branch={cls_branch!r} needs class maps, which train_part='tpsm' does not have.")
        self.train_part = train_part
        self.fuse_cam = fuse_cam and train_part != "tpsm"
        self.cls_branch = cls_branch
        self.fc = nn.Linear(in_channels, num_classes)
        if train_part != "tpsm":
            # PyTorch's initialisation, as in the official code.
            self.cam_conv = nn.Conv2d(in_channels, num_classes, 3, padding=1)
        freeze_untrained(self, train_part)

    def init_weights(self) -> None:
        """Initialise the linear layer like DeiT's: truncated normal (std 0.02), zero bias."""
        super().init_weights()
        trunc_normal_(self.fc.weight, std=0.02)
        nn.init.zeros_(self.fc.bias)

    def forward(self, feats: TRTFeatures) -> Tensor:
        """Compute the class logits (B, C) of ``cls_branch``."""
        if self.cls_branch == "tpsm":
            return self.tpsm_logits(feats)
        cam = self.class_maps(feats).mean(dim=(2, 3))
        return cam if self.cls_branch == "cam" else (self.tpsm_logits(feats) + cam) / 2

    def tpsm_logits(self, feats: TRTFeatures) -> Tensor:
        """Compute ``logits_t`` (B, C).

        Raises:
            ValueError: If the backbone was built to train something else.
        """
        if feats.cls_token is None:
            raise ValueError("The backbone's train_part='cam' skips TPSM in training: give the head the same.")
        return self.fc(feats.cls_token)

    def class_maps(self, feats: TRTFeatures) -> Tensor:
        """Compute ``M_C`` (B, C, h, w).

        Raises:
            ValueError: If the backbone was built to train something else.
        """
        if feats.cam_map is None:
            raise ValueError("The backbone's train_part='tpsm' has no CAM branch: give the head the same.")
        return self.cam_conv(feats.cam_map)

    def loss(self, feats: TRTFeatures, data_samples: list[LocDataSample]) -> dict[str, Tensor]:
        """Compute ``loss_tpsm``, ``loss_cam`` or both."""
        target = torch.cat([sample.gt_label for sample in data_samples])
        losses = {}
        if self.train_part != "cam":
            logits = self.tpsm_logits(feats)
            losses["loss_tpsm"] = self.loss_cls(logits, target.to(logits.device))
        if self.train_part != "tpsm":
            logits = self.class_maps(feats).mean(dim=(2, 3))
            losses["loss_cam"] = self.loss_cls(logits, target.to(logits.device))
        return losses

    def predict(
        self, feats: TRTFeatures, gt_labels: Tensor | None = None, scores: Tensor | None = None
    ) -> LocPrediction:
        """Compute scores (B, C) and maps: (B, K, h, w) of the top-k and ground-truth classes, or (B, 1, h, w)."""
        if scores is None:
            scores = self(feats).softmax(dim=1)
        attention = feats.attn_map
        if attention is None:
            raise ValueError("Maps need the re-attention, which the backbone computes in evaluation mode: call eval().")
        if not self.fuse_cam:
            return LocPrediction(scores, attention, scores.new_full((len(scores), 1), -1).long())
        labels = self.select_labels(scores, gt_labels)
        maps = self.class_maps(feats)
        maps = maps.gather(1, labels[:, :, None, None].expand(-1, -1, *maps.shape[2:]))
        return LocPrediction(scores, maps * attention, labels)
