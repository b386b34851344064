"""CAM: class activation maps (Zhou et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Sequence

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

    It takes the last map of a backbone of mmpretrain, or the patch tokens of a transformer. Where a network has further
    layers behind its pool (:class:`mmwsol.models.TimmCNN`), the logit is the network's own, not the map's mean.

    Args:
        num_classes: Number of classes C.
        in_channels: Channels D of the backbone's map.
        map_bias: Whether to add the class's bias to its map, which min-max undoes. Defaults to False, as in the
            official codes.
        rows: Rows of a larger classifier in loaded weights that become the C classes: of ImageNet's 1000,
            ``rows=(0, 217)`` makes a localizer of two without training. Weights of C classes are taken as they are.
            Defaults to None: all rows.
        init_cfg: mmengine's initialization config. Defaults to None: N(0, 0.01) and zero bias, as in
            the codes of TS-CAM (VGG16) and wsolevaluation.
        **kwargs: Arguments of :class:`LocHead`.

    Raises:
        ValueError: If ``rows`` are not C different numbers, or weights have fewer rows.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        map_bias: bool = False,
        rows: Sequence[int] | None = None,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        init_cfg = init_cfg or dict(type="Normal", layer="Linear", std=0.01)
        super().__init__(num_classes, init_cfg=init_cfg, **kwargs)
        if rows is not None and not len(rows) == len(set(rows)) == num_classes:
            raise ValueError(f"rows must be num_classes={num_classes} different numbers, got {list(rows)}.")
        self.map_bias = map_bias
        self.rows = None if rows is None else list(rows)
        self.fc = nn.Linear(in_channels, num_classes)

    def adapt_weights(self, weights: dict[str, Tensor], prefix: str) -> None:
        """Take the ``rows`` out of a classifier of other classes."""
        for name in (f"{prefix}head.fc.weight", f"{prefix}head.fc.bias"):
            if self.rows is None or name not in weights or len(weights[name]) == self.num_classes:
                continue
            if not 0 <= min(self.rows) <= max(self.rows) < len(weights[name]):
                raise ValueError(f"rows={self.rows}: the weights are of a classifier of {len(weights[name])} classes.")
            weights[name] = weights[name][self.rows]

    def encode(self, feats: Features) -> tuple[Tensor, Tensor]:
        """Return the map (B, D, h, w) and what the classifier reads (B, D)."""
        maps = feats.need("patch_map")
        return maps, maps.mean(dim=(2, 3)) if feats.pooled is None else feats.pooled

    def classify(self, encoded: tuple[Tensor, Tensor]) -> Tensor:
        """Compute class logits (B, C)."""
        return self.fc(encoded[1])

    def localize(self, encoded: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        """Compute the maps (B, K, h, w) of the classes ``labels`` (B, K)."""
        maps = torch.einsum("bkd,bdhw->bkhw", self.fc.weight[labels], encoded[0])
        return maps + self.fc.bias[labels][:, :, None, None] if self.map_bias else maps
