"""CATR: category-aware transformer (Chen et al., ICCV 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmwsol.methods.ts_cam.head import CoupledMapHead
from mmwsol.models.box_rules import TSCAM, register_preset
from mmwsol.models.features import Features
from mmwsol.models.heads.base import Batch
from mmwsol.models.layers.double_conv import double_conv
from mmwsol.registry import MODELS

HEAD_REDUCE = ("sum", "mean")
ATTN_SOURCES = ("cls", "spatial_token")
WEIGHTING = dict(type="mmwsol.AutomaticWeightedLoss")
register_preset("ContourBox", "catr", dict(TSCAM, norm_order="before"))  # thresholds .10 CUB, .15 ILSVRC


class CategoryAwareStimulation(nn.Module):
    """CSM: class maps from attention maps by a U-Net of one level (official code; the paper gives no layers).

    Args:
        in_channels: Attention maps, blocks times heads.
        num_classes: Number of classes C.
        c_base: Half the channels of the encoder, the paper's G.
    """

    def __init__(self, in_channels: int, num_classes: int, c_base: int) -> None:
        super().__init__()
        width = 2 * c_base
        self.encoder = double_conv(in_channels, width)
        self.decoder = double_conv(in_channels + width, num_classes)
        self.classifier = nn.Conv2d(num_classes, num_classes, 1, bias=False)

    def encode(self, attention: Tensor) -> Tensor:
        """Halve the grid: (B, 2 c_base, h // 2, w // 2)."""
        return self.encoder(F.max_pool2d(attention, 2))

    def decode(self, attention: Tensor, encoded: Tensor) -> Tensor:
        """Return to the grid of the attention maps: (B, C, h, w)."""
        up = F.interpolate(encoded, attention.shape[2:], mode="bilinear", align_corners=False)
        return self.decoder(torch.cat([attention, up], dim=1))

    def forward(self, attention: Tensor) -> Tensor:
        """Compute class maps (B, C, h, w) of attention maps (B, L * H, h, w)."""
        return self.classifier(self.decode(attention, self.encode(attention)))


class ObjectAwakening(nn.Module):
    """The pseudo map of OCM: foreground probability from the attention of some blocks.

    Args:
        blocks: Indices into the tapped blocks.
        num_heads: Attention heads H of a block.
    """

    def __init__(self, blocks: Sequence[int], num_heads: int) -> None:
        super().__init__()
        self.indices = tuple(blocks)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(num_heads, 1, 1, bias=False), nn.BatchNorm2d(1), nn.LeakyReLU()) for _ in blocks
        )
        self.fuse = nn.Sequential(nn.Conv2d(len(self.indices), 1, 3, padding=1, bias=False), nn.BatchNorm2d(1))

    def merge_heads(self, attention: Tensor) -> Tensor:
        """Make one map of each block's heads: (B, K, h, w)."""
        maps = [block(attention[:, index]) for index, block in zip(self.indices, self.blocks, strict=True)]
        return torch.cat(maps, dim=1)

    def forward(self, attention: Tensor) -> Tensor:
        """Compute the pseudo map (B, h, w), in (0, 1), of attention maps (B, L, H, h, w)."""
        return self.fuse(self.merge_heads(attention)).sigmoid()[:, 0]


class Encoded(NamedTuple):
    """Features of the backbone and both class maps.

    Attributes:
        feats: Features of the backbone.
        semantic: (B, C, h, w) class maps of the patch tokens, which classify.
        csm: (B, C, h, w) class maps of the attention maps, which are added to localize; None without
            CSM.
    """

    feats: Features
    semantic: Tensor
    csm: Tensor | None = None


@MODELS.register_module()
class CATRHead(CoupledMapHead):
    """TS-CAM with two parts that train on the class token's attention maps; each can be left out.

    * **CSM** makes a second class map from the attention maps of all blocks and heads, with its own cross-entropy.
    * **OCM** pulls weak attention to zero (``loss_ocm_s``) and attention towards a learned map (``loss_ocm_a``).

    Their losses and the classification loss are weighted by ``weighting``, in the order cls, csm, ocm_s, ocm_a. The map
    of class c is ``M * (semantic[c] + csm[c])``, the class scores are those of ``semantic``. OCM does nothing at test.
    The backbone needs ``tap='cls', tap_in_train=True``.

    OCM's losses are terms of their own and not in ``map_losses``: ``weighting`` learns their weights together with
    those of the classification losses, and ``loss_ocm_a`` compares M with a second map, which OCM's layers make.

    Where the paper and the official code differ, defaults are those of the code, except for pairs of images in OCM's
    second loss (:class:`ObjectAwakeningLoss`).

    Args:
        num_classes: Number of classes C.
        in_channels: Width D of the backbone.
        attn_shape: Tapped blocks L and attention heads H of the backbone. Defaults to (12, 6): DeiT-S.
        with_csm: Whether to use CSM. Defaults to True.
        with_ocm: Whether to use OCM. Defaults to True.
        c_base: Half the width of CSM. Defaults to 8 (CUB; ILSVRC 256).
        ocm_blocks: Blocks of the pseudo map: the first K of them, or their indices. Defaults to 9
            (CUB; ILSVRC 10).
        head_reduce: 'sum' (official code) or 'mean' (CDTR's Eq. 5) of the heads in M; the mean over blocks in
            both. Defaults to 'sum'.
        attn_source: M is the class token's attention, 'cls', or the mean gate of :class:`SATViT`, 'spatial_token'
            (CDTR's Table XII). Defaults to 'cls'.
        map_scale: Factor of M in every loss, so that M has the size for which OCM, SKI and SBA were made, 6 /
            197 = 0.03 on average at the start: gates, which start at 0.5, need 12 / 197. It acts neither on predicted
            maps nor on maps of source 'foreground' (:class:`LocHead`). Defaults to 1.0.
        loss_ocm_s: Defaults to ``dict(type='mmwsol.NoiseSuppressionLoss')``.
        loss_ocm_a: Defaults to ``dict(type='mmwsol.ObjectAwakeningLoss')``.
        weighting: Weighting of the terms, an :class:`AutomaticWeightedLoss`, or None: their sum.
            Defaults to ``dict(type='mmwsol.AutomaticWeightedLoss')``.
        further_terms: Number of terms that a subclass adds in :meth:`plain_terms`. Defaults to 0.
        **kwargs: Arguments of :class:`CoupledMapHead`.

    Raises:
        ValueError: If an option is unknown.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        attn_shape: Sequence[int] = (12, 6),
        with_csm: bool = True,
        with_ocm: bool = True,
        c_base: int = 8,
        ocm_blocks: int | Sequence[int] = 9,
        head_reduce: str = "sum",
        attn_source: str = "cls",
        loss_ocm_s: dict | None = None,
        loss_ocm_a: dict | None = None,
        weighting: dict | None = WEIGHTING,
        further_terms: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        if head_reduce not in HEAD_REDUCE:
            raise ValueError(f"head_reduce must be one of {HEAD_REDUCE}, got {head_reduce!r}.")
        if attn_source not in ATTN_SOURCES:
            raise ValueError(f"attn_source must be one of {ATTN_SOURCES}, got {attn_source!r}.")
        self.attn_shape = layers, heads = (int(attn_shape[0]), int(attn_shape[1]))
        self.head_reduce = head_reduce
        self.attn_source = attn_source
        self.csm = CategoryAwareStimulation(layers * heads, num_classes, c_base) if with_csm else None
        self.ocm = ObjectAwakening(_blocks(ocm_blocks, layers), heads) if with_ocm else None
        if with_ocm:
            self.loss_ocm_s = MODELS.build(loss_ocm_s or dict(type="mmwsol.NoiseSuppressionLoss"))
            self.loss_ocm_a = MODELS.build(loss_ocm_a or dict(type="mmwsol.ObjectAwakeningLoss"))
        num_terms = 1 + with_csm + 2 * with_ocm + further_terms
        self.weighting = None if weighting is None else MODELS.build(dict(weighting, num_terms=num_terms))

    def encode(self, feats: Features) -> Encoded:
        """Compute the class maps of the patch tokens and those of CSM."""
        semantic = super().encode(feats).semantic
        csm = None if self.csm is None else self.csm(self.attention_maps(feats).flatten(1, 2))
        return Encoded(feats, semantic, csm)

    def class_maps(self, encoded: Encoded) -> Tensor:
        """Compute the class maps (B, C, h, w) that localize: the sum of both."""
        return encoded.semantic if encoded.csm is None else encoded.semantic + encoded.csm

    def terms(self, encoded: Encoded, batch: Batch) -> dict[str, Tensor]:
        """Compute the weighted terms; with ``weighting``, their plain values and weights are logged too."""
        plain = self.plain_terms(encoded, batch.labels)
        if self.weighting is None:
            return {f"loss_{name}": value for name, value in plain.items()}
        weighted = self.weighting(list(plain.values()))
        losses = {f"loss_{name}": value for name, value in zip(plain, weighted, strict=True)}
        losses.update({name: value.detach() for name, value in plain.items()})
        lambdas = zip(plain, self.weighting.lambdas.detach(), strict=True)
        losses.update({f"lambda_{name}": value for name, value in lambdas})
        return losses

    def plain_terms(self, encoded: Encoded, labels: Tensor) -> dict[str, Tensor]:
        """Compute the terms that ``weighting`` weights, in its order."""
        terms = dict(cls=self.loss_cls(self.classify(encoded), labels))
        if encoded.csm is not None:
            terms["csm"] = self.loss_cls(encoded.csm.mean(dim=(2, 3)), labels)
        if self.ocm is not None:
            attention = self.scaled(self.foreground(encoded))
            terms["ocm_s"] = self.loss_ocm_s(attention)
            terms["ocm_a"] = self.loss_ocm_a(self.ocm(encoded.feats.need("cls_attn")), attention)
        return terms

    def attention(self, feats: Features) -> Tensor:
        """Compute M (B, 1, h, w)."""
        if self.attn_source == "spatial_token":
            return feats.need("gates").mean(dim=1, keepdim=True)
        attention = self.attention_maps(feats).mean(dim=1)  # (B, H, h, w)
        return attention.sum(dim=1, keepdim=True) if self.head_reduce == "sum" else attention.mean(dim=1, keepdim=True)

    def attention_maps(self, feats: Features) -> Tensor:
        """Return the attention maps (B, L, H, h, w).

        Raises:
            ValueError: If the backbone has another number of blocks or heads.
        """
        attention = feats.need("cls_attn")
        shape = tuple(attention.shape[1:3])
        if shape != self.attn_shape:
            raise ValueError(
                f"the backbone returns attention of {shape[0]} blocks with {shape[1]} heads, {type(self).__name__} was "
                f"built for {self.attn_shape}: set attn_shape={shape}."
            )
        return attention


def _blocks(blocks: int | Sequence[int], layers: int) -> tuple[int, ...]:
    """Return the indices of the blocks of the pseudo map."""
    indices = tuple(range(blocks)) if isinstance(blocks, int) else tuple(blocks)
    if not indices or not all(0 <= index < layers for index in indices):
        raise ValueError(f"ocm_blocks must be 1 to {layers} (the tapped blocks) or their indices, got {blocks}.")
    return indices
