"""CAM: class activation maps (Zhou et al., CVPR 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmwsol.models.backbones.tap_vit import ViTFeatures
from mmwsol.models.heads.base import BaseLocHead, LocPrediction
from mmwsol.registry import MODELS


@MODELS.register_module()
class LinearCAMHead(BaseLocHead):
    """Classify by global average pooling and a linear layer; the map of a class is its row times the features.

    ``map[c] = sum_d weight[c, d] * feature[d]`` (B, C, h, w), no ReLU; its mean plus the bias is the logit.
    wsolevaluation takes the mean over d in place of the sum: the same map after min-max.

    It takes the last map of a backbone of mmpretrain, or the patch tokens of a transformer.

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Channels D of the backbone's map.
        map_bias (bool): Whether to add the class's bias to its map, which min-max undoes. Defaults to False, as in the
            official codes.
        init_cfg (dict, optional): mmengine's initialisation config. Defaults to None: N(0, 0.01) and zero bias, as in
            the codes of TS-CAM (VGG16) and wsolevaluation.
        **kwargs: Arguments of :class:`BaseLocHead`.

    Raises:
        ValueError: In the forward pass, if the backbone gives no map.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        map_bias: bool = False,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        init_cfg = init_cfg or dict(type="Normal", layer="Linear", std=0.01)
        super().__init__(num_classes, init_cfg=init_cfg, **kwargs)
        self.map_bias = map_bias
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, feats: Tensor | tuple[Tensor, ...] | ViTFeatures) -> Tensor:
        """Compute class logits (B, C)."""
        return self.fc(_feature_map(feats).mean(dim=(2, 3)))

    def predict(
        self,
        feats: Tensor | tuple[Tensor, ...] | ViTFeatures,
        gt_labels: Tensor | None = None,
        scores: Tensor | None = None,
    ) -> LocPrediction:
        """Compute scores (B, C) and the maps (B, K, h, w) of the top-k and ground-truth classes."""
        features = _feature_map(feats)
        if scores is None:
            scores = self(feats).softmax(dim=1)
        labels = self.select_labels(scores, gt_labels)
        maps = torch.einsum("bkd,bdhw->bkhw", self.fc.weight[labels], features)
        if self.map_bias:
            maps = maps + self.fc.bias[labels][:, :, None, None]
        return LocPrediction(scores, maps, labels)


def _feature_map(feats: Tensor | tuple[Tensor, ...] | ViTFeatures) -> Tensor:
    """Take the map (B, D, h, w) out of a backbone's output."""
    if not isinstance(feats, Tensor):
        feats = feats.patch_map if hasattr(feats, "patch_map") else feats[-1]
    if feats.ndim != 4:
        raise ValueError(
            f"LinearCAMHead needs a map (B, D, h, w), but the backbone gives {tuple(feats.shape)}: "
            "switch off its pooling, or take another backbone."
        )
    return feats
