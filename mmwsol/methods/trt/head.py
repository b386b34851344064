"""TRT: re-attention transformer (Su et al., BMVC 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmwsol.methods.trt.backbone import check_train_part
from mmwsol.models.box_rules import TSCAM, register_preset
from mmwsol.models.features import Features
from mmwsol.models.heads.base import Batch, LocHead, select_maps
from mmwsol.registry import MODELS

CLS_BRANCHES = ("tpsm", "cam", "mean")
register_preset("ContourBox", "trt", TSCAM)
register_preset("ContourBox", "trt_v2", dict(TSCAM, contour="all", box_end="exclusive_clip", default_box="zero"))


@MODELS.register_module()
class TRTHead(LocHead):
    """Classify by the class token, and multiply its re-attention with class maps.

    With the features of :class:`TRTViT`: ``logits_t = Linear(cls_token)``; ``M_C = Conv(cam_map)`` (B, C, h, w),
    ``logits_c = mean_hw(M_C)``; the map of class c is ``attn_map * M_C[c]``, with no ReLU and no normalization before
    the product. Class scores come from ``logits_t``, as in the official code.

    Args:
        num_classes: Number of classes C.
        in_channels: Width D of the backbone.
        train_part: 'tpsm': cross-entropy of ``logits_t``; there are no class maps, and ``attn_map`` is the map.
            'cam': cross-entropy of ``logits_c``; all but the CAM branch and its convolution is frozen. 'joint': the sum
            of both (Eq. 2), ``loss_cls`` and ``loss_cam``. The backbone learns it from here. Defaults to 'joint'.
        fuse_cam: Whether maps are the product or, as an ablation, ``attn_map`` alone. Defaults to True.
        cls_branch: Logits that give the class scores: 'tpsm', 'cam' or 'mean' of both. Defaults to 'tpsm'.
        **kwargs: Arguments of :class:`LocHead`.

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
        self.class_agnostic = not fuse_cam or train_part == "tpsm"
        self.cls_branch = cls_branch
        self.fc = nn.Linear(in_channels, num_classes)
        if train_part != "tpsm":
            # PyTorch's initialization, as in the official code.
            self.cam_conv = nn.Conv2d(in_channels, num_classes, 3, padding=1)

    def draw_weights(self) -> None:
        """Initialize the linear layer like DeiT's: truncated normal (std 0.02), zero bias."""
        super().draw_weights()
        trunc_normal_(self.fc.weight, std=0.02)
        nn.init.zeros_(self.fc.bias)

    @classmethod
    def backbone_options(cls, **options: Any) -> dict[str, Any]:
        """Tell the backbone which part is trained."""
        return dict(train_part=options.get("train_part", "joint"))

    def frozen(self, backbone: nn.Module) -> Sequence[str]:
        """Freeze all but the part that is trained."""
        if self.train_part == "joint":
            return ()
        modules = [name for name, _ in backbone.named_children()]
        if self.train_part == "tpsm":
            return ["backbone.cam"] if "cam" in modules else []
        # The backbone as a whole stays in training mode, in which it skips what the CAM branch does not read.
        tokens = [name for name, _ in backbone.named_parameters(recurse=False)]
        return [f"backbone.{name}" for name in (*tokens, *modules) if name != "cam"] + ["head.fc"]

    def classify(self, encoded: Features) -> Tensor:
        """Compute the class logits (B, C) of ``cls_branch``."""
        if self.cls_branch == "tpsm":
            return self.fc(encoded.need("cls_token"))
        cam = self.class_maps(encoded).mean(dim=(2, 3))
        return cam if self.cls_branch == "cam" else (self.fc(encoded.need("cls_token")) + cam) / 2

    def localize(self, encoded: Features, labels: Tensor) -> Tensor:
        """Compute the products (B, K, h, w) of the classes ``labels`` (B, K), or the re-attention (B, 1, h, w)."""
        attention = encoded.need("attn_map")
        return attention if self.class_agnostic else select_maps(self.class_maps(encoded), labels) * attention

    def terms(self, encoded: Features, batch: Batch) -> dict[str, Tensor]:
        """Compute ``loss_cls`` of the branch that is trained; 'joint' adds ``loss_cam``."""
        losses = {}
        if self.train_part != "cam":
            losses["loss_cls"] = self.loss_cls(self.fc(encoded.need("cls_token")), batch.labels)
        if self.train_part != "tpsm":
            logits = self.class_maps(encoded).mean(dim=(2, 3))
            losses["loss_cam" if losses else "loss_cls"] = self.loss_cls(logits, batch.labels)
        return losses

    def class_maps(self, feats: Features) -> Tensor:
        """Compute ``M_C`` (B, C, h, w)."""
        return self.cam_conv(feats.need("cam_map"))
