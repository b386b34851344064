"""DiPS: discriminative pseudo-label sampling (Murtaza et al., IVC 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmwsol.datasets.wrappers import transforms_of
from mmwsol.methods.dips.attention_maps import attention_stack, upsample_maps
from mmwsol.methods.dips.transforms import LoadProposals
from mmwsol.models.box_rules import WSOL, register_preset
from mmwsol.models.features import Features
from mmwsol.models.heads.base import Batch, LocHead
from mmwsol.models.weights import convert_official, read_weights
from mmwsol.registry import MODELS, TASK_UTILS

TRAIN_PARTS = ("classifier", "decoder")
register_preset("ContourBox", "dips", dict(WSOL, interpolation="bilinear"))
# The conference code takes the foreground probability as it is.
register_preset("ContourBox", "dips_raw", dict(WSOL, interpolation="bilinear", norm="none"))


@MODELS.register_module()
class DiPSDecoder(nn.Sequential):
    """From patch tokens to two logits a pixel: blocks of upsampling x2 (nearest) and two 3x3 convolutions.

    Every convolution is followed by batch norm and ReLU, as in the official code the last too: no logit is negative.

    Args:
        in_channels: Width D of the patch tokens.
        channels: Channels of all blocks but the last, which has two; with n blocks the result is 2^n
            times as large as the patch grid. Defaults to (192, 96, 48), for 16x16 patches.
        final_relu: Whether batch norm and ReLU follow the last convolution, which otherwise has a bias.
            Defaults to True.
    """

    def __init__(self, in_channels: int, channels: Sequence[int] = (192, 96, 48), final_relu: bool = True) -> None:
        inputs, outputs = (in_channels, *channels), (*channels, 2)
        super().__init__(*(_DecoderBlock(*sizes) for sizes in zip(inputs, outputs, strict=True)))
        if not final_relu:
            self[-1].conv2 = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1))


class _DecoderBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.conv1 = _conv(in_channels, out_channels)
        self.conv2 = _conv(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(self.upsample(x)))


def _conv(in_channels: int, out_channels: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


@MODELS.register_module()
class DiPSHead(LocHead):
    """Classify by the class tokens of the last blocks; localize by a decoder trained on sampled pixel labels.

    With the features of :class:`DiPSViT`, which is frozen: ``logits = Linear(class tokens)`` (B, C) and
    ``Z = decoder(patch tokens)`` (B, 2, H, W); the map is the class-agnostic foreground probability ``softmax(Z)[1]``
    at full size. The decoder's loss takes one proposal of every image, chosen by ``mmwsol.LoadProposals``: the
    attention map it came from (recomputed on the augmented image) and its box say where pixels are sampled (Eq. 2);
    the dense CRF loss sees all pixels (Eq. 3).

    Args:
        num_classes: Number of classes C.
        in_channels: Width D of the backbone.
        num_cls_tokens: Number of class tokens that the backbone returns. Defaults to 4.
        train_part: 'classifier': the linear layer is trained, and the map is the attention map ``attention_map``.
            'decoder': the decoder is trained. Defaults to 'decoder'.
        map_set: Attention maps that proposals come from, see :func:`attention_stack`. Defaults to
            '1_4_heads_and_mean'.
        attention_map: Localize by this map of the set, 0 the mean, in place of the decoder: the DINO
            baseline (Table 4). Defaults to None: the decoder, unless ``train_part='classifier'``.
        channels: Hidden channels of :class:`DiPSDecoder`. Defaults to (192, 96, 48).
        final_relu: See :class:`DiPSDecoder`. Defaults to True.
        sampler: Defaults to ``dict(type='mmwsol.SeedSampler')``.
        loss_seed: Defaults to ``dict(type='mmwsol.PartialCrossEntropyLoss')``.
        loss_crf: ``dict(type='mmwsol.DenseCRFLoss')``. Defaults to None: no such loss.
        background_class: Class of images without object: all of their pixels are background. Defaults
            to None: there is none.
        fc_weights: File or URL of DINO's linear classifier, loaded by :meth:`draw_weights`. Defaults to
            None.
        **kwargs: Arguments of :class:`LocHead`.

    Raises:
        ValueError: If ``train_part`` is unknown.
    """

    class_agnostic = True

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_cls_tokens: int = 4,
        train_part: str = "decoder",
        map_set: str = "1_4_heads_and_mean",
        attention_map: int | None = None,
        channels: Sequence[int] = (192, 96, 48),
        final_relu: bool = True,
        sampler: dict | None = None,
        loss_seed: dict | None = None,
        loss_crf: dict | None = None,
        background_class: int | None = None,
        fc_weights: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        if train_part not in TRAIN_PARTS:
            raise ValueError(f"train_part must be one of {TRAIN_PARTS}, got {train_part!r}.")
        self.train_part = train_part
        self.map_set = map_set
        self.attention_map = 0 if attention_map is None and train_part == "classifier" else attention_map
        self.background_class = background_class
        self.fc_weights = fc_weights
        self.fc = nn.Linear(num_cls_tokens * in_channels, num_classes)
        self.decoder = DiPSDecoder(in_channels, channels, final_relu)
        self.sampler = TASK_UTILS.build({"type": "mmwsol.SeedSampler", **(sampler or {})})
        self.loss_seed = MODELS.build({"type": "mmwsol.PartialCrossEntropyLoss", **(loss_seed or {})})
        self.loss_crf = None if loss_crf is None else MODELS.build(loss_crf)

    def draw_weights(self) -> None:
        """Initialize the linear layer: normal (std 0.01), zero bias, or the weights of ``fc_weights``.

        Raises:
            FileNotFoundError: If the file of ``fc_weights`` does not exist.
            ValueError: If it holds other weights, or they have another shape.
        """
        super().draw_weights()
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)
        if self.fc_weights is None:
            return
        _, loaded = read_weights(self.fc_weights)
        weights = convert_official(loaded, "dips-linear")
        shape = tuple(weights["head.fc.weight"].shape)
        if shape != tuple(self.fc.weight.shape):
            raise ValueError(f"fc_weights={self.fc_weights!r} is {shape}, the layer {tuple(self.fc.weight.shape)}.")
        self.fc.load_state_dict({name.removeprefix("head.fc."): value for name, value in weights.items()})

    def frozen(self, backbone: nn.Module) -> Sequence[str]:
        """Freeze the backbone and the part that is not trained."""
        return ["backbone", "head.fc" if self.train_part == "decoder" else "head.decoder"]

    def check_dataset(self, dataset: Any) -> None:
        """Compare the maps that the proposals were found in with those of the head.

        Raises:
            ValueError: If they differ.
        """
        for transform in transforms_of(dataset):
            if isinstance(transform, LoadProposals) and transform.map_set not in (None, self.map_set):
                raise ValueError(
                    f"the proposals in '{transform.cache_dir}' were found in the maps '{transform.map_set}', but "
                    f"head.map_set is '{self.map_set}': set it to the same, or make the proposals again."
                )

    def classify(self, encoded: Features) -> Tensor:
        """Compute class logits (B, C)."""
        return self.fc(encoded.need("cls_tokens").flatten(1))

    def localize(self, encoded: Features, labels: Tensor) -> Tensor:
        """Compute the foreground probability (B, 1, H, W), or an attention map (B, 1, h, w)."""
        if self.attention_map is not None:
            return self.attention_maps(encoded)[:, self.attention_map, None]
        return self.decoder(encoded.need("patch_map")).softmax(dim=1)[:, 1:]

    def attention_maps(self, feats: Features) -> Tensor:
        """Compute the attention maps (B, M, h, w) of ``map_set``, of the blocks' sum."""
        return attention_stack(feats.need("cls_attn").sum(dim=1), self.map_set)

    def terms(self, encoded: Features, batch: Batch) -> dict[str, Tensor]:
        """Compute ``loss_cls``, or ``loss_seed``, ``loss_crf`` and, for the log, the mean foreground probability."""
        if self.train_part == "classifier":
            return super().terms(encoded, batch)
        logits = self.decoder(encoded.need("patch_map"))
        labels = self.pseudo_labels(encoded, batch)
        if logits.shape[2:] != labels.shape[1:]:
            raise ValueError(
                f"The decoder's map is {tuple(logits.shape[2:])}, the image {tuple(labels.shape[1:])}: the decoder "
                "has one block more than head.channels, and needs one for every factor of 2 of the patch size."
            )
        losses = dict(loss_seed=self.loss_seed(logits, labels))
        if self.loss_crf is not None:
            losses["loss_crf"] = self.loss_crf(logits, batch.stack("raw_img", "LoadProposals"))
        losses["foreground"] = logits.detach().softmax(dim=1)[:, 1].mean()  # 0 or 1: the decoder has collapsed
        return losses

    @torch.no_grad()
    def pseudo_labels(self, feats: Features, batch: Batch) -> Tensor:
        """Draw the pixel labels (B, H, W) of :class:`SeedSampler` from the chosen proposals of the images."""
        regions = batch.stack("proposal_mask", "LoadProposals")
        index = [sample.get("proposal_map", 0) for sample in batch.data_samples]
        maps = self.attention_maps(feats)
        if max(index) >= maps.shape[1]:
            raise ValueError(
                f"proposal_map is {max(index)}, but head.map_set='{self.map_set}' has {maps.shape[1]} maps: the "
                "proposals were made with another map_set."
            )
        maps = maps[torch.arange(len(maps), device=maps.device), torch.tensor(index, device=maps.device)]
        maps = upsample_maps(maps[:, None], (regions.shape[1], regions.shape[2]))[:, 0]
        boxes = None
        if "all_proposals_mask" in batch.data_samples[0]:
            boxes = batch.stack("all_proposals_mask", "LoadProposals")
        labels = self.sampler(maps, regions, boxes)
        if self.background_class is not None:
            labels[batch.labels == self.background_class] = 0
        return labels
