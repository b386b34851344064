"""CDTR: CLIP-driven transformer (Chen et al., TPAMI 2025), and CATR (ICCV 2023), which is CDTR without SKI and SBA."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmwsol.models.backbones.tap_vit import ViTFeatures
from mmwsol.models.heads.base import select_maps
from mmwsol.models.heads.conv_cam_head import ConvCAMHead
from mmwsol.models.layers.double_conv import double_conv
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample

HEAD_REDUCE = ("sum", "mean")
ATTN_SOURCES = ("cls", "spatial_token")
SKI_INPUTS = ("csm", "out")
SBA_MAPS = ("fused", "attention")
DEFORM_BACKENDS = ("torchvision", "mmcv")
WEIGHTING = dict(type="mmwsol.AutomaticWeightedLoss")


class CategoryAwareStimulation(nn.Module):
    """CSM: class maps from attention maps by a U-Net of one level (official code; the paper gives no layers).

    Args:
        in_channels (int): Attention maps, blocks times heads.
        num_classes (int): Number of classes C.
        c_base (int): Half the channels of the encoder, the paper's G.
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
        blocks (Sequence[int]): Indices into the tapped blocks.
        num_heads (int): Attention heads H of a block.
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


class SemanticKernelIntegrator(nn.Module):
    """SKI: a deformable 3x3 convolution whose offsets come from another map. Used in training only.

    Offsets start near zero: zero weights, PyTorch's bias. The kernel starts as mmcv's ``DeformConv2d``.

    Args:
        channels (int): Channels of both maps.
        backend (str): 'torchvision', or 'mmcv', which needs compiled mmcv. Both give the same values.
    """

    def __init__(self, channels: int, backend: str = "torchvision") -> None:
        super().__init__()
        self.backend = backend
        self.conv_offset = nn.Conv2d(channels, 18, 3, padding=1)  # (dy, dx) of nine taps
        nn.init.zeros_(self.conv_offset.weight)
        bound = math.sqrt(6 / (9 * channels))
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3).uniform_(-bound, bound))

    def forward(self, features: Tensor, offset_map: Tensor) -> Tensor:
        """Convolve features (B, C, h, w) at the offsets that ``offset_map`` (B, C, h, w) gives.

        Raises:
            ImportError: If the backend is mmcv and mmcv has no compiled operators.
        """
        # Neither backend takes mixed precision.
        offset, features = self.conv_offset(offset_map).to(self.weight), features.to(self.weight)
        if self.backend == "torchvision":
            from torchvision.ops import deform_conv2d

            return deform_conv2d(features, offset, self.weight, padding=1)
        try:
            from mmcv.ops import deform_conv2d as mmcv_deform_conv2d
        except ImportError as error:
            raise ImportError(
                "deform_backend='mmcv' needs mmcv with compiled operators (pip install mmcv), not mmcv-lite: install "
                "it or set deform_backend='torchvision'."
            ) from error
        batch = len(features)
        step = next(n for n in range(min(batch, 32), 0, -1) if batch % n == 0)  # must divide the batch
        # stride, padding, dilation, groups, deform_groups, bias, im2col_step
        return mmcv_deform_conv2d(features, offset, self.weight, 1, 1, 1, 1, 1, False, step)


class CDTRMaps(NamedTuple):
    """Maps of B images on a grid (h, w).

    Attributes:
        attention (Tensor): (B, h, w) M, the class token's attention.
        out (Tensor): (B, C, h, w) class maps of the patch tokens, TS-CAM's.
        csm (Tensor | None): (B, C, h, w) class maps of the attention maps.
    """

    attention: Tensor
    out: Tensor
    csm: Tensor | None

    @property
    def fused(self) -> Tensor:
        """Sum of the class maps (B, C, h, w)."""
        return self.out if self.csm is None else self.out + self.csm


@MODELS.register_module()
class CDTRHead(ConvCAMHead):
    """TS-CAM with four parts that train on the class token's attention maps; each can be left out (Table V).

    * **CSM** makes a second class map from the attention maps of all blocks and heads, with its own cross-entropy.
    * **OCM** pulls weak attention to zero (``loss_ocm_s``) and attention towards a learned map (``loss_ocm_a``).
    * **SKI** ties attention and both class maps in a deformable convolution, with its own cross-entropy.
    * **SBA** (``loss_sba``) lets CLIP compare the masked image with the text of its class.

    The losses of the first three and the classification loss are weighted by ``weighting``, in the order cls, csm,
    ocm_s, ocm_a, ski; SBA is added. The map of class c is ``M * (out[c] + csm[c])``, the class scores are those of
    ``out``. OCM, SKI and SBA do nothing at test. The backbone needs ``tap='cls', tap_in_train=True``.

    Where the paper and the official code differ, defaults are those of the code, except for pairs of images in OCM's
    second loss and for the prompts of SBA (:class:`ObjectAwakeningLoss`, :class:`SemanticBoostLoss`).

    Args:
        num_classes (int): Number of classes C.
        in_channels (int): Width D of the backbone.
        attn_shape (Sequence[int]): Tapped blocks L and attention heads H of the backbone. Defaults to (12, 6): DeiT-S.
        with_csm (bool): Whether to use CSM. Defaults to True.
        with_ocm (bool): Whether to use OCM. Defaults to True.
        with_ski (bool): Whether to use SKI, which needs CSM. Defaults to True.
        c_base (int): Half the width of CSM. Defaults to 8 (CUB; ILSVRC 256).
        ocm_blocks (int | Sequence[int]): Blocks of the pseudo map: the first K of them, or their indices. Defaults to 9
            (CUB; ILSVRC 10).
        head_reduce (str): 'sum' (official code) or 'mean' (Eq. 5) of the heads in M; the mean over blocks in both.
            Defaults to 'sum'.
        attn_source (str): M is the class token's attention, 'cls', or the mean gate of :class:`SATViT`, 'spatial_token'
            (Table XII). Defaults to 'cls'.
        ski_input (str): What SKI convolves: 'csm', with offsets from ``out * M`` (official code), or 'out', with
            offsets from ``csm * M`` (paper). Defaults to 'csm'.
        deform_backend (str): 'torchvision' or 'mmcv'. Defaults to 'torchvision'.
        sba_map (str): Map that masks the image for SBA: 'fused', the label's map with its class maps detached (official
            code), or 'attention', M alone (paper). Defaults to 'fused'.
        loss_ocm_s (dict, optional): Defaults to ``dict(type='mmwsol.NoiseSuppressionLoss')``.
        loss_ocm_a (dict, optional): Defaults to ``dict(type='mmwsol.ObjectAwakeningLoss')``.
        loss_maps (dict, optional): Further losses of M by name, such as SAT's ``dict(loss_area=dict(
            type='mmwsol.BatchAreaLoss', target=0.25))``, added like SBA. Defaults to None.
        weighting (dict, optional): Weighting of the terms, or None: their sum. Defaults to
            ``dict(type='mmwsol.AutomaticWeightedLoss')``.
        **kwargs: Arguments of :class:`ConvCAMHead`, among them ``loss_sba`` (None) and ``semantic``, but not
            ``attn_layers`` and ``attn_reduce``.

    Raises:
        ValueError: If options are unknown or exclude each other.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        attn_shape: Sequence[int] = (12, 6),
        with_csm: bool = True,
        with_ocm: bool = True,
        with_ski: bool = True,
        c_base: int = 8,
        ocm_blocks: int | Sequence[int] = 9,
        head_reduce: str = "sum",
        attn_source: str = "cls",
        ski_input: str = "csm",
        deform_backend: str = "torchvision",
        sba_map: str = "fused",
        loss_ocm_s: dict | None = None,
        loss_ocm_a: dict | None = None,
        loss_maps: dict | None = None,
        weighting: dict | None = WEIGHTING,
        **kwargs,
    ) -> None:
        for name in ("attn_layers", "attn_reduce"):
            if name in kwargs:
                raise ValueError(f"CDTRHead has no {name}: M is the mean over the tapped blocks (tap_layers).")
        super().__init__(num_classes, in_channels, **kwargs)
        for name, value, allowed in (
            ("head_reduce", head_reduce, HEAD_REDUCE),
            ("attn_source", attn_source, ATTN_SOURCES),
            ("ski_input", ski_input, SKI_INPUTS),
            ("deform_backend", deform_backend, DEFORM_BACKENDS),
            ("sba_map", sba_map, SBA_MAPS),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {value!r}.")
        if with_ski and not with_csm:
            raise ValueError("with_ski=True needs with_csm=True: SKI works on the class map of CSM.")
        if self.loss_sba is not None and sba_map == "attention" and self.loss_sba.map_norm == "none":
            raise ValueError(
                "sba_map='attention' without normalisation gives CLIP a black image (M is near 0.03): set "
                "map_norm='minmax' in loss_sba."
            )
        self.attn_shape = layers, heads = (int(attn_shape[0]), int(attn_shape[1]))
        self.head_reduce = head_reduce
        self.attn_source = attn_source
        self.ski_input = ski_input
        self.sba_map = sba_map
        self.csm = CategoryAwareStimulation(layers * heads, num_classes, c_base) if with_csm else None
        self.ocm = ObjectAwakening(_blocks(ocm_blocks, layers), heads) if with_ocm else None
        self.ski = SemanticKernelIntegrator(num_classes, deform_backend) if with_ski else None
        if with_ocm:
            self.loss_ocm_s = MODELS.build(loss_ocm_s or dict(type="mmwsol.NoiseSuppressionLoss"))
            self.loss_ocm_a = MODELS.build(loss_ocm_a or dict(type="mmwsol.ObjectAwakeningLoss"))
        for name in loss_maps or {}:
            if not name.startswith("loss_"):
                raise ValueError(f"names in loss_maps must start with 'loss_' to count as losses, got {name!r}.")
        self.loss_maps = nn.ModuleDict({name: MODELS.build(term) for name, term in (loss_maps or {}).items()})
        terms = 1 + with_csm + 2 * with_ocm + with_ski
        self.weighting = MODELS.build(dict(weighting, num_terms=terms)) if weighting else None

    def loss(
        self, feats: ViTFeatures, data_samples: list[LocDataSample], inputs: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute ``loss_terms``, the weighted sum, ``loss_sba`` and those of ``loss_maps``; the terms are logged too.

        Args:
            feats (ViTFeatures): Features of the backbone.
            data_samples (list[LocDataSample]): Samples with labels.
            inputs (Tensor, optional): (B, 3, H, W) network input, needed by ``loss_sba``. Defaults to None.
        """
        maps = self.maps(feats)
        target = torch.cat([sample.gt_label for sample in data_samples]).to(maps.out.device)
        terms = self.terms(feats, maps, target)
        values = list(terms.values())
        losses = dict(loss_terms=torch.stack(values).sum() if self.weighting is None else self.weighting(values))
        if self.loss_sba is not None:
            losses["loss_sba"] = self.loss_sba(inputs, self.boost_map(maps, target), target)
        losses.update({name: term(maps.attention) for name, term in self.loss_maps.items()})
        losses.update({name: value.detach() for name, value in terms.items()})
        if self.weighting is not None and hasattr(self.weighting, "lambdas"):
            lambdas = zip(terms, self.weighting.lambdas.detach(), strict=True)
            losses.update({f"lambda_{name}": value for name, value in lambdas})
        return losses

    def terms(self, feats: ViTFeatures, maps: CDTRMaps, target: Tensor) -> dict[str, Tensor]:
        """Compute the terms that ``weighting`` weights, in its order."""
        terms = dict(cls=self.loss_cls(maps.out.mean(dim=(2, 3)), target))
        if maps.csm is not None:
            terms["csm"] = self.loss_cls(maps.csm.mean(dim=(2, 3)), target)
        if self.ocm is not None:
            terms["ocm_s"] = self.loss_ocm_s(maps.attention)
            terms["ocm_a"] = self.loss_ocm_a(self.ocm(feats.cls_attn), maps.attention)
        if self.ski is not None:
            terms["ski"] = self.loss_cls(self.integrate(maps).mean(dim=(2, 3)), target)
        return terms

    def maps(self, feats: ViTFeatures) -> CDTRMaps:
        """Compute the maps that losses and prediction are made of.

        Raises:
            ValueError: If the backbone returned other attention than the head needs.
        """
        attention = self.attention(feats)[:, 0]
        csm = None if self.csm is None else self.csm(self._stack(feats).flatten(1, 2))
        return CDTRMaps(attention, self.conv(feats.patch_map), csm)

    def attention(self, feats: ViTFeatures) -> Tensor:
        """Compute M (B, 1, h, w).

        Raises:
            ValueError: If the backbone did not return what ``attn_source`` needs.
        """
        if self.attn_source == "spatial_token":
            if feats.gates is None:
                raise ValueError("attn_source='spatial_token' needs backbone.type='mmwsol.SATViT'.")
            return feats.gates.mean(dim=1, keepdim=True)
        attention = self._stack(feats).mean(dim=1)  # (B, H, h, w)
        return attention.sum(dim=1, keepdim=True) if self.head_reduce == "sum" else attention.mean(dim=1, keepdim=True)

    def class_maps(self, feats: ViTFeatures, out: Tensor) -> Tensor:
        """Add the class maps of CSM to those of the patch tokens: (B, C, h, w)."""
        return out if self.csm is None else out + self.csm(self._stack(feats).flatten(1, 2))

    def integrate(self, maps: CDTRMaps) -> Tensor:
        """Apply SKI: (B, C, h, w)."""
        assert self.ski is not None and maps.csm is not None
        features, other = (maps.csm, maps.out) if self.ski_input == "csm" else (maps.out, maps.csm)
        return self.ski(features, other * maps.attention[:, None])

    def boost_map(self, maps: CDTRMaps, target: Tensor) -> Tensor:
        """Compute the map (B, 1, h, w) that masks images for SBA; only M has a gradient."""
        attention = maps.attention[:, None]
        if self.sba_map == "attention":
            return attention
        return attention * select_maps(maps.fused, target[:, None]).detach()

    def _stack(self, feats: ViTFeatures) -> Tensor:
        """Return the attention maps (B, L, H, h, w)."""
        if feats.cls_attn is None:
            raise ValueError("CDTRHead reads attention: set tap='cls' and tap_in_train=True in the backbone.")
        shape = tuple(feats.cls_attn.shape[1:3])
        if shape != self.attn_shape:
            raise ValueError(
                f"the backbone returns attention of {shape[0]} blocks with {shape[1]} heads, CDTRHead was built for "
                f"{self.attn_shape}: set attn_shape={shape}."
            )
        return feats.cls_attn


def _blocks(blocks: int | Sequence[int], layers: int) -> tuple[int, ...]:
    """Return the indices of the blocks of the pseudo map."""
    indices = tuple(range(blocks)) if isinstance(blocks, int) else tuple(blocks)
    if not indices or not all(0 <= index < layers for index in indices):
        raise ValueError(f"ocm_blocks must be 1 to {layers} (the tapped blocks) or their indices, got {blocks}.")
    return indices
