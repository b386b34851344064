"""TS-CAM: token semantic coupled attention map (Gao et al., ICCV 2021)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmwsol.models.features import Features
from mmwsol.models.heads.base import LocHead, select_maps
from mmwsol.registry import MODELS

ATTN_REDUCE = ("sum", "last", "rollout")


class Encoded(NamedTuple):
    """Features of the backbone and the class maps that classify.

    Attributes:
        feats: Features of the backbone.
        semantic: (B, C, h, w) class maps.
    """

    feats: Features
    semantic: Tensor


class CoupledMapHead(LocHead):
    """Base of heads whose map is attention times a class map made by a convolution over patch tokens.

    ``semantic = Conv3x3(patch_map)`` (B, C, h, w); ``logits = mean_hw(semantic)``; the map of class c is
    ``attention * semantic[c]``. A subclass says what the attention is. The convolution keeps PyTorch's default
    initialization, as in the official codes.

    Args:
        num_classes: Number of classes C.
        in_channels: Width D of the backbone.
        couple: Whether to multiply with the attention. False gives the class maps alone. Defaults to True.
        semantic: Whether to multiply with the class map. False gives the attention alone, the same for every
            class. Defaults to True.
        inherit_bias: Whether the convolution's bias starts from the bias of a pretrained linear classifier with
            the same number of classes, as the official TS-CAM loader does (ILSVRC). Defaults to True.
        **kwargs: Arguments of :class:`LocHead`. Losses of ``map_losses`` train the attention alone, and need a backbone
            with ``tap_in_train=True``.

    Raises:
        ValueError: If both ``couple`` and ``semantic`` are off.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        couple: bool = True,
        semantic: bool = True,
        inherit_bias: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        if not (couple or semantic):
            raise ValueError("couple=False and semantic=False leave no map: switch one of them on.")
        self.couple = couple
        self.semantic = semantic
        self.inherit_bias = inherit_bias
        self.conv = nn.Conv2d(in_channels, num_classes, 3, padding=1)

    @abstractmethod
    def attention(self, feats: Features) -> Tensor:
        """Compute the class-agnostic attention (B, 1, h, w)."""

    def class_maps(self, encoded: Any) -> Tensor:
        """Compute the class maps (B, C, h, w) that localize."""
        return encoded.semantic

    def encode(self, feats: Features) -> Any:
        """Compute the class maps, an :class:`Encoded`; a subclass may add fields."""
        return Encoded(feats, self.conv(feats.need("patch_map")))

    def classify(self, encoded: Any) -> Tensor:
        """Compute class logits (B, C)."""
        return encoded.semantic.mean(dim=(2, 3))

    def localize(self, encoded: Any, labels: Tensor) -> Tensor:
        """Compute the maps (B, K, h, w) of the classes ``labels`` (B, K)."""
        if not self.semantic:
            return self.attention(encoded.feats).expand(-1, labels.shape[1], -1, -1)
        maps = select_maps(self.class_maps(encoded), labels)
        return maps * self.attention(encoded.feats) if self.couple else maps

    def foreground(self, encoded: Any) -> Tensor:
        """Return the attention (B, h, w)."""
        return self.attention(encoded.feats)[:, 0]

    def label_map(self, encoded: Any, labels: Tensor) -> Tensor:
        """Compute the attention times the class map of ``labels`` (B,), which gets no gradient: (B, h, w)."""
        return self.foreground(encoded) * select_maps(self.class_maps(encoded), labels[:, None])[:, 0].detach()

    def adapt_weights(self, weights: dict[str, Tensor], prefix: str) -> None:
        """Drop the linear classifiers of a plain network; the bias of one may become that of the convolution."""
        layers = dict(self.named_children())
        inherited = None
        for name in ("fc", "conv"):  # Conformer has both: fc is that of its CNN, conv that of its tokens
            layer = f"{prefix}head.{name}"
            weight = weights.get(f"{layer}.weight")
            if weight is None or weight.ndim != 2 or isinstance(layers.get(name), nn.Linear):
                continue
            del weights[f"{layer}.weight"]
            inherited = weights.pop(f"{layer}.bias", None)
        if inherited is not None and self.inherit_bias:
            weights[f"{prefix}head.conv.bias"] = inherited


@MODELS.register_module()
class ConvCAMHead(CoupledMapHead):
    """TS-CAM: the attention is the class token's, head-mean, summed over blocks.

    No ReLU and no normalization before the product, as in the official code. The paper averages over blocks, the code
    sums: the same map after min-max.

    Args:
        num_classes: Number of classes C.
        in_channels: Width D of the backbone.
        attn_layers: Indices into the tapped blocks whose attention is used. Defaults to
            None: all.
        attn_reduce: How blocks combine: 'sum' (official), 'last', or 'rollout' (product of
            (A + I) / 2, needs a backbone with ``tap='full'`` on all blocks). Defaults to 'sum'.
        **kwargs: Arguments of :class:`CoupledMapHead`.

    Raises:
        ValueError: If ``attn_reduce`` is unknown.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        attn_layers: Sequence[int] | None = None,
        attn_reduce: str = "sum",
        **kwargs,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        if attn_reduce not in ATTN_REDUCE:
            raise ValueError(f"attn_reduce must be one of {ATTN_REDUCE}, got {attn_reduce!r}.")
        self.attn_layers = attn_layers
        self.attn_reduce = attn_reduce

    def attention(self, feats: Features) -> Tensor:
        """Combine class-token attention over heads and blocks: (B, 1, h, w).

        Raises:
            ValueError: If the backbone did not return the attention that ``attn_reduce`` needs.
        """
        if self.attn_reduce == "rollout":
            return self._rollout(feats)
        attn = feats.need("cls_attn").mean(dim=2)  # (B, L, h, w)
        if self.attn_layers is not None:
            attn = attn[:, list(self.attn_layers)]
        if self.attn_reduce == "last":
            return attn[:, -1:]
        return attn.sum(dim=1, keepdim=True)

    def _rollout(self, feats: Features) -> Tensor:
        attn = feats.need("full_attn").mean(dim=2)  # (B, L, 1 + N, 1 + N)
        if self.attn_layers is not None:
            attn = attn[:, list(self.attn_layers)]
        eye = torch.eye(attn.shape[-1], dtype=attn.dtype, device=attn.device)
        joint = eye.expand_as(attn[:, 0])
        for layer in attn.unbind(dim=1):
            joint = (layer + eye) / 2 @ joint
        return joint[:, :1, 1:].unflatten(2, tuple(feats.need("patch_map").shape[2:]))
