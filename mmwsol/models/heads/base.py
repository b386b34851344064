"""The contract of localization heads."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmwsol.models.features import Features
from mmwsol.models.initialization import PretrainedLast
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample


class Batch(NamedTuple):
    """What losses may use besides the features of B images.

    Attributes:
        labels: (B,) class of every image, on the device of the features.
        data_samples: The samples that the pipeline packed.
        inputs: (B, 3, H, W) input of the network; None where a head is called without a localizer.
    """

    labels: Tensor
    data_samples: Sequence[LocDataSample]
    inputs: Tensor | None = None

    def stack(self, field: str, transform: str) -> Tensor:
        """Stack a tensor field of all samples: (B, ...).

        Args:
            field: Name of the field.
            transform: The transform that adds it, which the error names.

        Raises:
            ValueError: If a sample has no such field.
        """
        if not all(field in sample for sample in self.data_samples):
            raise ValueError(f"the data samples have no {field!r}: put mmwsol.{transform} into the training pipeline.")
        return torch.stack([sample.get(field) for sample in self.data_samples]).to(self.labels.device)


class LocPrediction(NamedTuple):
    """Class scores and localization maps of B images with K maps each.

    Attributes:
        scores: (B, C) class probabilities.
        maps: (B, K, h, w) localization maps, neither normalized nor thresholded.
        labels: (B, K) class of every map, -1 for a class-agnostic map. The ground-truth class, if given, is
            the last, even where it is also among the best.
    """

    scores: Tensor
    maps: Tensor
    labels: Tensor

    def images(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield scores (C,), maps (K, h, w) in float32 and labels (K,) of every image, each class once.

        They are on the CPU; the batch is copied from the device once.
        """
        scores, maps, labels = self.scores.cpu(), self.maps.float().cpu(), self.labels.cpu()
        for image_scores, image_maps, image_labels in zip(scores, maps, labels, strict=True):
            classes = image_labels.tolist()
            first = [k for k, label in enumerate(classes) if label not in classes[:k]]
            yield image_scores, image_maps[first], image_labels[first]


class MapLoss(nn.Module):
    """Base of losses of localization maps, which any head takes in ``map_losses``.

    Attributes:
        source: Map that the loss gets: 'foreground' (:meth:`LocHead.foreground`) or 'label'
            (:meth:`LocHead.label_map`).
        num_classes: Number of classes of the head; the head sets it.
    """

    source = "foreground"
    num_classes: int | None = None

    def forward(self, maps: Tensor, batch: Batch | None = None) -> Tensor:
        """Compute the loss of maps (B, h, w); ``batch`` has labels and inputs for losses that need them."""
        raise TypeError(f"{type(self).__name__} has no forward.")

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raise ``ValueError`` if the loss knows class names that differ from ``classes``. Does nothing by default."""

    def set_normalization(self, mean: Tensor, std: Tensor, to_rgb: bool = True) -> None:
        """Take the mean and standard deviation (3,) of the inputs, in 0-255, and whether they are RGB, not BGR.

        Does nothing by default.
        """


class LocHead(PretrainedLast, metaclass=ABCMeta):
    """Base of localization heads: class scores and localization maps from the features of a backbone.

    A head implements :meth:`classify` and :meth:`localize`. Both get what :meth:`encode` returns, which is computed
    once; :meth:`terms` may be overridden for further losses. The base class does the rest: it chooses the classes that
    get a map, takes class scores from elsewhere (ten-crop), labels class-agnostic maps -1, and adds losses of maps.

    Args:
        num_classes: Number of classes C.
        loss: Classification loss, ``loss_cls`` of the head and in the log; the option has the name of
            mmpretrain's heads. Defaults to None: ``dict(type='mmpretrain.CrossEntropyLoss')``.
        topk: Number of classes, the most probable ones, that get a map in :meth:`predict`. Defaults to 5.
        map_losses: Losses of maps by name, each a :class:`MapLoss`, such as
            ``dict(loss_area=dict(type='mmwsol.BatchAreaLoss', target=0.25))``. One that is None or has
            ``loss_weight=0`` is left out. Defaults to None: no such loss.
        map_scale: Factor of the map that losses of source 'label' get, where the head's map has another size
            than the one that a loss was made for. Predicted maps and maps of source 'foreground' are without it.
            Defaults to 1.0.
        init_cfg: mmengine's initialization config. Defaults to None: PyTorch's own.

    Raises:
        ValueError: If ``num_classes`` or ``map_scale`` is not positive, or a map loss is no :class:`MapLoss` or has a
            name that does not start with 'loss_'.

    Attributes:
        class_agnostic: Whether there is one map for all classes, labeled -1. Defaults to False.
        optional_weights: Names of weights that the maps do not need: a release without a classifier (DINO) localizes as
            it is. Defaults to ().
        allowed: Labels of the classes that :meth:`predict` chooses from. Defaults to None: all.
    """

    class_agnostic = False
    optional_weights: tuple[str, ...] = ()
    allowed: Sequence[int] | None = None

    def __init__(
        self,
        num_classes: int,
        loss: dict | None = None,
        topk: int = 5,
        map_losses: dict[str, dict] | None = None,
        map_scale: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}.")
        if not map_scale > 0:
            raise ValueError(f"map_scale must be positive, got {map_scale}.")
        self.map_scale = map_scale
        self.num_classes = num_classes
        self.topk = min(topk, num_classes)
        self.loss_cls = MODELS.build(loss or dict(type="mmpretrain.CrossEntropyLoss"))
        self.map_losses: Any = nn.ModuleDict()  # of MapLoss
        for name, cfg in (map_losses or {}).items():
            if not name.startswith("loss_"):
                raise ValueError(f"names in map_losses must start with 'loss_' to count as losses, got {name!r}.")
            if cfg is None or cfg.get("loss_weight", 1.0) == 0:  # it costs nothing and leaves no zero in the log
                continue
            map_loss = MODELS.build(cfg)
            if not isinstance(map_loss, MapLoss):
                raise ValueError(f"map_losses.{name} must be a mmwsol.models.MapLoss, got {cfg['type']!r}.")
            map_loss.num_classes = num_classes
            self.map_losses[name] = map_loss

    # What a head implements.

    def encode(self, feats: Features) -> Any:
        """Compute what scores, maps and losses share. Defaults to the features themselves."""
        return feats

    @abstractmethod
    def classify(self, encoded: Any) -> Tensor:
        """Compute class logits (B, C)."""

    @abstractmethod
    def localize(self, encoded: Any, labels: Tensor) -> Tensor:
        """Compute localization maps, not normalized.

        Args:
            encoded: What :meth:`encode` returned.
            labels: (B, K) classes that get a map; a class-agnostic head ignores them.

        Returns:
            (B, K, h, w), or (B, 1, h, w) of a class-agnostic head.
        """

    # What a head may override.

    def terms(self, encoded: Any, batch: Batch) -> dict[str, Tensor]:
        """Compute all losses except those of ``map_losses``, by name.

        Names that do not start with 'loss_' are logged only. Defaults to ``loss_cls``, the classification loss.
        """
        return dict(loss_cls=self.loss_cls(self.classify(encoded), batch.labels))

    def foreground(self, encoded: Any) -> Tensor:
        """Compute the class-agnostic map (B, h, w) that map losses of source 'foreground' get, with gradient.

        Defaults to the map of a class-agnostic head.

        Raises:
            ValueError: If the head has no such map.
        """
        if not self.class_agnostic:
            raise ValueError(f"{type(self).__name__} has no class-agnostic map, which a loss in map_losses asks for.")
        return self.localize(encoded, torch.empty(0))[:, 0]

    def label_map(self, encoded: Any, labels: Tensor) -> Tensor:
        """Compute the maps (B, h, w) of classes ``labels`` (B,) that map losses of source 'label' get, with gradient.

        Heads that multiply attention by class maps let gradients into the attention alone.
        """
        return self.localize(encoded, labels[:, None])[:, 0]

    @classmethod
    def backbone_options(cls, **options: Any) -> dict[str, Any]:
        """Return options of the backbone that follow from ``options``, those of the head. Defaults to none."""
        return {}

    def frozen(self, backbone: nn.Module) -> Sequence[str]:
        """Return entries to add to ``frozen`` of the localizer: what is not trained. Defaults to none."""
        return ()

    def adapt_weights(self, weights: dict[str, Tensor], prefix: str) -> None:
        """Change weights that are about to be loaded to fit this head, in place. Does nothing by default.

        Args:
            weights: Weights of a localizer: ``backbone.*`` and ``head.*``.
            prefix: Prefix of the names of the localizer's weights.
        """

    def check_classes(self, classes: Sequence[str]) -> None:
        """Compare the class names of the data set with those that losses know.

        Raises:
            ValueError: If they differ.
        """
        for map_loss in self.map_losses.values():
            map_loss.check_classes(classes)

    def set_normalization(self, mean: Tensor, std: Tensor, to_rgb: bool = True) -> None:
        """Tell losses of maps what :meth:`MapLoss.set_normalization` takes."""
        for map_loss in self.map_losses.values():
            map_loss.set_normalization(mean, std, to_rgb)

    def check_dataset(self, dataset: Any) -> None:
        """Check that the training set gives what the losses need. Does nothing by default.

        Args:
            dataset: The data set, out of its wrappers; ``dataset.pipeline.transforms`` are its transforms.

        Raises:
            ValueError: If it does not.
        """

    # What heads inherit.

    def forward(self, feats: Features) -> Tensor:
        """Compute class logits (B, C)."""
        return self.classify(self.encode(feats))

    def loss(
        self, feats: Features, data_samples: Sequence[LocDataSample], inputs: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute all losses of a batch, by name.

        Args:
            feats: Features of the backbone.
            data_samples: Samples with labels.
            inputs: (B, 3, H, W) input of the network, for losses that use it. Defaults to None.
        """
        encoded = self.encode(feats)
        labels = torch.cat([sample.gt_label for sample in data_samples]).to(_device(feats))
        batch = Batch(labels, data_samples, inputs)
        losses = self.terms(encoded, batch)
        maps: dict[str, Tensor] = {}
        for name, map_loss in self.map_losses.items():
            if map_loss.source not in maps:
                of_label = map_loss.source == "label"
                raw = self.scaled(self.label_map(encoded, labels)) if of_label else self.foreground(encoded)
                maps[map_loss.source] = raw
            losses[name] = map_loss(maps[map_loss.source], batch)
        return losses

    def scaled(self, maps: Tensor) -> Tensor:
        """Bring maps of any shape to the size for which losses of them were made: times ``map_scale``."""
        return maps * self.map_scale

    def ranked(self, scores: Tensor) -> Tensor:
        """Return class probabilities (..., C), with -1 for classes that are not ``allowed``."""
        if self.allowed is None:
            return scores
        ranked = torch.full_like(scores, -1)
        ranked[..., self.allowed] = scores[..., self.allowed]
        return ranked

    def predict(self, feats: Features, gt_labels: Tensor | None = None, scores: Tensor | None = None) -> LocPrediction:
        """Compute class scores and maps.

        Args:
            feats: Features of the backbone.
            gt_labels: (B,) ground-truth classes, for which a class-specific head adds a map.
                Defaults to None.
            scores: (B, C) class probabilities from elsewhere (ten-crop), in place of the head's
                own. Defaults to None.
        """
        encoded = self.encode(feats)
        if scores is None:
            scores = self.classify(encoded).softmax(dim=1)
        if self.class_agnostic:
            labels = scores.new_full((len(scores), 1), -1, dtype=torch.long)
        else:
            number = self.topk if self.allowed is None else min(self.topk, len(self.allowed))
            labels = self.ranked(scores).topk(number, dim=1).indices
            if gt_labels is not None:
                labels = torch.cat([labels, gt_labels.to(labels)[:, None]], dim=1)
        return LocPrediction(scores, self.localize(encoded, labels), labels)


def select_maps(maps: Tensor, labels: Tensor) -> Tensor:
    """Take the maps (B, K, h, w) of the classes ``labels`` (B, K) out of those of all classes (B, C, h, w)."""
    return maps.gather(1, labels[:, :, None, None].expand(-1, -1, *maps.shape[2:]))


def _device(feats: Features) -> torch.device:
    return next(value.device for value in feats if isinstance(value, Tensor))
