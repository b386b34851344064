"""LocLoc: GrabCut-enhanced generator and local feature digging (Cao et al., ACM MM 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmwsol.methods.locloc.networks import LocalFeatureDigging, PPDGenerator, UNetGenerator
from mmwsol.models.box_rules import TSCAM, register_preset
from mmwsol.models.features import Features
from mmwsol.models.heads.base import Batch, LocHead
from mmwsol.registry import MODELS

TRAIN_PARTS = ("generator", "classifier")
GENERATORS = {"unet": UNetGenerator, "ppd": PPDGenerator}
register_preset("ContourBox", "locloc", TSCAM)  # thresholds .5 CUB, .4 ILSVRC


@MODELS.register_module()
class LocLocHead(LocHead):
    """Localize by a generator trained on pseudo masks, and classify by a network of its own, on one frozen backbone.

    Needs a :class:`TapViT` with ``out_tokens=(0, -1)``, whole and frozen. The generator reads the patch tokens of the
    last block, before the final norm; the classifier all tokens before the first block. Its blocks and norm start as
    copies of the backbone's, unless the loaded weights have a classifier. Maps are class-agnostic.

    Args:
        num_classes: Number of classes C.
        in_channels: Width D of the backbone.
        train_part: 'generator' fits the map to ``pseudo_mask`` of the data samples, ``loss_loc`` = loss_weight *
            MSE (Eq. 3; the mask is reduced to the map's size bilinearly, and so is soft). 'classifier': cross-entropy,
            ``loss_cls``. The other part is frozen and in evaluation mode. Defaults to 'generator'.
        generator: ``type`` 'unet' (:class:`UNetGenerator`) or 'ppd' (:class:`PPDGenerator`), and its
            options. Defaults to None: ``dict(type='unet')``.
        classifier: Options of :class:`LocalFeatureDigging`. Defaults to None: those of DeiT-S.
        final_norm: Whether the generator reads tokens after the final norm, as PPD does. Defaults to False.
        loss_weight: Weight of the MSE; the paper has 1. Defaults to 0.5, as in the official code.
        **kwargs: Arguments of :class:`LocHead`.

    Raises:
        ValueError: If ``train_part`` or the type of the generator is unknown.
    """

    class_agnostic = True

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        train_part: str = "generator",
        generator: dict | None = None,
        classifier: dict | None = None,
        final_norm: bool = False,
        loss_weight: float = 0.5,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        if train_part not in TRAIN_PARTS:
            raise ValueError(f"train_part must be one of {TRAIN_PARTS}, got {train_part!r}.")
        options = dict(generator or {})
        kind = options.pop("type", "unet")
        if kind not in GENERATORS:
            raise ValueError(f"generator.type must be one of {tuple(GENERATORS)}, got {kind!r}.")
        self.train_part = train_part
        self.final_norm = final_norm
        self.loss_weight = loss_weight
        self.generator = GENERATORS[kind](in_channels, **options)
        self.classifier = LocalFeatureDigging(num_classes, in_channels, **(classifier or {}))

    def adapt_weights(self, weights: dict[str, Tensor], prefix: str) -> None:
        """Copy the backbone's blocks and final norm into the classifier, in place; runs whenever weights are loaded.

        Args:
            weights: Weights to be loaded; nothing happens if they have a classifier already.
            prefix: What the names of the localizer's weights begin with.
        """
        head = f"{prefix}head.classifier."
        if any(name.startswith(f"{head}blocks.") for name in weights):
            return
        classifier_names = {f"{head}{name}" for name in self.classifier.state_dict()}
        for source, target in (("backbone.layers.", "blocks."), ("backbone.ln1.", "norm.")):
            for name in [name for name in weights if name.startswith(prefix + source)]:
                copied = head + target + name.removeprefix(prefix + source)
                if copied in classifier_names:
                    weights[copied] = weights[name]

    def frozen(self, backbone: nn.Module) -> Sequence[str]:
        """Freeze the backbone, the part that is not trained, and what the U-Net does not run."""
        if self.train_part == "classifier":
            return ["backbone", "head.generator"]
        return ["backbone", "head.classifier", *(f"head.generator.{name}" for name in self.generator.unused)]

    def classify(self, encoded: Features) -> Tensor:
        """Compute the class logits (B, C)."""
        return self.classifier(_tokens(encoded)[0], encoded.need("patch_map").shape[2:])

    def localize(self, encoded: Features, labels: Tensor) -> Tensor:
        """Compute the map (B, 1, H, W)."""
        patch_map = encoded.need("patch_map")
        if self.final_norm:
            return self.generator(patch_map)
        return self.generator(_tokens(encoded)[1][:, 1:].transpose(1, 2).unflatten(2, patch_map.shape[2:]))

    def terms(self, encoded: Features, batch: Batch) -> dict[str, Tensor]:
        """Compute ``loss_loc`` or ``loss_cls``."""
        if self.train_part == "classifier":
            return super().terms(encoded, batch)
        maps = self.localize(encoded, batch.labels[:, None])
        masks = batch.stack("pseudo_mask", "LoadPseudoMask")[:, None].to(maps)
        target = F.interpolate(masks, maps.shape[2:], mode="bilinear", align_corners=False)
        return dict(loss_loc=self.loss_weight * F.mse_loss(maps, target))


def _tokens(feats: Features) -> tuple[Tensor, Tensor]:
    """Return the tokens before the first and after the last block."""
    if len(feats.tokens) != 2:
        raise ValueError(
            f"LocLocHead needs the tokens of two depths, got {len(feats.tokens)}: set backbone.out_tokens=(0, -1)."
        )
    return feats.tokens[0], feats.tokens[1]
