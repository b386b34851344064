"""CAM: class activation maps (Zhou et al., CVPR 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmwsol.models.features import Features
from mmwsol.models.heads.base import LocHead
from mmwsol.registry import MODELS


@MODELS.register_module()
class LinearCAMHead(LocHead):
    """Classify by global average pooling and a linear layer; the map of a class is its row times the features.

    ``map[c] = sum_d weight[c, d] * feature[d]`` (B, C, h, w), no ReLU; its mean plus the bias is the logit.
    wsolevaluation takes the mean over d in place of the sum: the same map after min-max.

    It takes the last map of a backbone of mmpretrain, or the patch tokens of a transformer.

    Args:
        num_classes: Number of classes C.
        in_channels: Channels D of the backbone's map.
        map_bias: Whether to add the class's bias to its map, which min-max undoes. Defaults to False, as in the
            official codes.
        init_cfg: mmengine's initialization config. Defaults to None: N(0, 0.01) and zero bias, as in
            the codes of TS-CAM (VGG16) and wsolevaluation.
        **kwargs: Arguments of :class:`LocHead`.
    """

    def __init__(
        self, num_classes: int, in_channels: int, map_bias: bool = False, init_cfg: dict | None = None, **kwargs
    ) -> None:
        init_cfg = init_cfg or dict(type="Normal", layer="Linear", std=0.01)
        super().__init__(num_classes, init_cfg=init_cfg, **kwargs)
        self.map_bias = map_bias
        self.fc = nn.Linear(in_channels, num_classes)

    def encode(self, feats: Features) -> Tensor:
        """Return the map (B, D, h, w)."""
        return feats.need("patch_map")

    def classify(self, encoded: Tensor) -> Tensor:
        """Compute class logits (B, C)."""
        return self.fc(encoded.mean(dim=(2, 3)))

    def localize(self, encoded: Tensor, labels: Tensor) -> Tensor:
        """Compute the maps (B, K, h, w) of the classes ``labels`` (B, K)."""
        maps = torch.einsum("bkd,bdhw->bkhw", self.fc.weight[labels], encoded)
        return maps + self.fc.bias[labels][:, :, None, None] if self.map_bias else maps
