"""The localizer: backbone, head and box rule behind mmpretrain's classifier interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import InstanceData
from mmpretrain.models.classifiers import BaseClassifier
from torch import Tensor, nn

from mmwsol.models.backbones.sizes import image_size
from mmwsol.models.data_preprocessor import normalization
from mmwsol.models.features import Features, as_features
from mmwsol.models.freezing import freeze
from mmwsol.models.heads.base import LocHead, LocPrediction
from mmwsol.models.initialization import PretrainedLast, split_pretrained
from mmwsol.models.timm_files import build_with_timm_files
from mmwsol.models.weights import check_own_names, load_backbone, load_pretrained, whole_release
from mmwsol.registry import MODELS, TASK_UTILS
from mmwsol.structures import Frame, LocDataSample


@MODELS.register_module()
class ImageLocalizer(PretrainedLast, BaseClassifier):
    """Classify images and localize their object, trained from image labels only.

    Images pass the data preprocessor, the backbone and the head, which gives class scores and maps; the box rule turns
    every map into a box.

    Args:
        backbone: Backbone, such as ``dict(type='mmwsol.TapViT')``.
        head: Localization head, a :class:`mmwsol.models.LocHead`.
        map_to_box: Box rule, in the registry TASK_UTILS. Defaults to TS-CAM's:
            ``dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.1)``.
        data_preprocessor: Defaults to ``dict(type='mmwsol.LocDataPreprocessor')``. ``mean='backbone'`` and
            ``std='backbone'`` are those of the images that a network of timm or torchvision was trained on
            (``pixel_mean``, ``pixel_std`` of the backbone).
        init_cfg: ``dict(type='Pretrained', checkpoint=URL or path)`` starts from ImageNet weights, in
            the layout of OpenMMLab or of an official release (:func:`mmwsol.utils.load_pretrained`). Defaults to
            None: random weights.
        frozen: What is not trained: names of modules ('backbone'), which stay in evaluation mode, or
            patterns of parameter names ('backbone.layers.[0-8].attn.*'), see
            :func:`mmwsol.models.freezing.freeze`. The head may add to it. Defaults to ().

    Raises:
        ValueError: If the head is no :class:`mmwsol.models.LocHead`, an option of the backbone contradicts the head,
            the backbone does not know the mean or std that it is asked for, or ``frozen`` is a string or matches
            nothing or everything.

    Attributes:
        has_classifier: False if the weights that were loaded last are a release without a classifier, which then gives
            all classes the same score.
        dataset_meta: ``classes``, the class names, where :func:`mmwsol.apis.init_model` knows them; else empty.
    """

    dataset_meta: dict[str, Any]

    def __init__(
        self,
        backbone: dict,
        head: dict,
        map_to_box: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        frozen: Sequence[str] = (),
    ) -> None:
        if isinstance(frozen, str):
            raise ValueError(f"frozen must be a list, got the string {frozen!r}: write [{frozen!r}].")
        super().__init__(init_cfg=init_cfg)
        head_type: Any = MODELS.get(head["type"]) if isinstance(head["type"], str) else head["type"]
        if not issubclass(head_type, LocHead):
            raise ValueError(f"head.type must be a localization head (mmwsol.models.LocHead), got {head['type']!r}.")
        options = {name: value for name, value in head.items() if name != "type"}
        for name, value in head_type.backbone_options(**options).items():
            if backbone.get(name, value) != value:
                raise ValueError(f"backbone.{name}={backbone[name]!r} contradicts the head's {value!r}: remove it.")
            backbone = {**backbone, name: value}
        self.backbone = build_with_timm_files(backbone)
        self.data_preprocessor = MODELS.build(_preprocessor(data_preprocessor or {}, self.backbone))
        self.head: LocHead = MODELS.build(head)
        normal = normalization(self.data_preprocessor)
        self.head.set_normalization(normal.mean, normal.std, normal.to_rgb)
        rule = map_to_box or dict(type="mmwsol.ContourBox", preset="tscam", threshold=0.1)
        self.map_to_box = TASK_UTILS.build(rule)
        self.dataset_meta = {}
        self.has_classifier = True
        self._frozen_modules = freeze(self, [*frozen, *self.head.frozen(self.backbone)])
        self._register_load_state_dict_pre_hook(self._adapt_weights)
        self.train()

    def _adapt_weights(self, weights: dict[str, Tensor], prefix: str, *_) -> None:
        mine = {name: value for name, value in weights.items() if name.startswith(prefix)}
        whole = self.take_release({name.removeprefix(prefix): value for name, value in mine.items()})
        if whole is None:
            check_own_names(self, weights, prefix)
        else:
            for name in mine:
                del weights[name]
            weights.update({f"{prefix}{name}": value for name, value in whole.items()})
        self.head.adapt_weights(weights, prefix)

    def take_release(self, weights: dict[str, Tensor]) -> dict[str, Tensor] | None:
        """Rename an official release to which nothing is left to train; see :func:`whole_release`.

        Weights of a classifier that it does not have are zeros.
        """
        whole = whole_release(self, weights)
        if whole is not None:
            own = self.state_dict()
            missing = {f"head.{name}" for name in self.head.optional_weights} - whole.keys()
            whole.update({name: torch.zeros_like(own[name]) for name in missing})
            self.has_classifier = not missing
        return whole

    def train(self, mode: bool = True) -> ImageLocalizer:
        """Set the mode; modules that are frozen whole stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen_modules:
            module.eval()
        return self

    def init_weights(self) -> None:
        """Initialize; see :class:`PretrainedLast`.

        Raises:
            ValueError: If model and backbone both name a file: the model's would replace what the backbone's gave.
        """
        files = [split_pretrained(part.init_cfg)[1] for part in (self, self.backbone) if hasattr(part, "init_cfg")]
        if len(files) == 2 and all(files):
            names = [entries[0]["checkpoint"] for entries in files]
            raise ValueError(
                f"model.init_cfg loads '{names[0]}' over '{names[1]}' of model.backbone.init_cfg: set one to None."
            )
        super().init_weights()

    def load_weights(self, init_cfg: dict[str, Any]) -> None:
        """Load the weights of ``init_cfg``, which may be a release in its official layout."""
        load_pretrained(self, init_cfg["checkpoint"])

    def load_child(self, child: nn.Module, init_cfg: dict[str, Any]) -> None:
        """Load the weights of ``backbone.init_cfg`` of a backbone of mmpretrain, of any layout too."""
        load_backbone(child, init_cfg["checkpoint"], init_cfg.get("prefix"))

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(H, W) of the images that the position embeddings are made for; None if the backbone has no such size."""
        return image_size(self.backbone)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[LocDataSample] | None = None,
        mode: str = "tensor",
        crops: Tensor | None = None,
    ) -> Tensor | dict[str, Tensor] | list[LocDataSample]:
        """Run the model.

        Args:
            inputs: Images (B, 3, H, W), normalized.
            data_samples: Needed by ``mode='loss'``. Defaults to None.
            mode: 'tensor' gives class logits (B, C); 'loss' a dict of losses; 'predict' the data samples with
                ``pred_score``, ``pred_label``, ``pred_maps`` and ``pred_instances``. Defaults to 'tensor'.
            crops: (B, V, 3, h, w) views whose mean probability replaces the class scores of
                ``inputs`` in ``mode='predict'``. Defaults to None.

        Raises:
            ValueError: If ``mode`` is unknown, or is 'loss' without data samples.
        """
        if mode == "tensor":
            return self.head(self.extract_feat(inputs))
        if mode == "loss":
            if not data_samples:
                raise ValueError("mode='loss' needs data_samples with labels, one for every image.")
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples, crops)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}.")

    def extract_feat(self, inputs: Tensor) -> Features:
        """Compute the backbone's features of images (B, 3, H, W)."""
        return as_features(self.backbone(inputs))

    def loss(self, inputs: Tensor, data_samples: list[LocDataSample]) -> dict[str, Tensor]:
        """Compute the head's losses."""
        return self.head.loss(self.extract_feat(inputs), data_samples, inputs)

    def predict(
        self,
        inputs: Tensor,
        data_samples: list[LocDataSample] | None = None,
        crops: Tensor | None = None,
    ) -> list[LocDataSample]:
        """Predict scores, maps and boxes; see :class:`LocDataSample` for the fields.

        The network frame of an image is its ``img_shape``: what is beyond it at the right and the bottom of ``inputs``
        is padding, which the network does not see. Images of one size pass it together.
        """
        size = (inputs.shape[2], inputs.shape[3])
        if data_samples is None:
            frame = dict(frame=Frame.identity(size), ori_shape=size, img_shape=size)
            data_samples = [LocDataSample(metainfo=frame) for _ in inputs]
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, sample in enumerate(data_samples):
            by_size.setdefault(_frame_size(sample, size), []).append(index)
        for (height, width), indices in by_size.items():
            self._predict_one_size(
                inputs[indices, :, :height, :width],
                [data_samples[index] for index in indices],
                None if crops is None else crops[indices],
            )
        return data_samples

    def _predict_one_size(self, inputs: Tensor, data_samples: list[LocDataSample], crops: Tensor | None) -> None:
        """Predict images (B, 3, H, W) without padding, into their samples."""
        gt_labels = None
        if all("gt_label" in sample for sample in data_samples):
            gt_labels = torch.cat([sample.gt_label for sample in data_samples])
            for sample, label in zip(data_samples, gt_labels.cpu().split(1), strict=True):
                sample.set_gt_label(label)  # read from the device once: metrics read it image by image
        scores = None
        if crops is not None:
            logits = self.head(self.extract_feat(crops.flatten(0, 1)))
            scores = logits.softmax(dim=1).unflatten(0, crops.shape[:2]).mean(dim=1)
        prediction = self.head.predict(self.extract_feat(inputs), gt_labels, scores)
        self._fill(prediction, data_samples, (inputs.shape[2], inputs.shape[3]))

    def _fill(self, prediction: LocPrediction, data_samples: list[LocDataSample], size: tuple[int, int]) -> None:
        """Write the prediction into the samples, on the CPU, one box per map."""
        threshold = self.map_to_box.get_threshold()
        rule = dict(type=type(self.map_to_box).__name__, **self.map_to_box.rule, threshold=threshold)
        for sample, (score, maps, labels) in zip(data_samples, prediction.images(), strict=True):
            sample.set_metainfo(dict(box_rule=rule))  # metrics report it
            boxes = self.map_to_box(maps, size, threshold)
            best = self.head.ranked(score).argmax(dim=0, keepdim=True)
            sample.set_pred_score(score).set_pred_label(best)
            sample.pred_maps = InstanceData(maps=maps, labels=labels)
            class_score = torch.where(labels < 0, score[best], score[labels.clamp(min=0)])
            sample.pred_instances = InstanceData(
                bboxes=torch.from_numpy(sample.frame.inverse().boxes(boxes)),
                frame_bboxes=torch.as_tensor(boxes),
                labels=labels,
                scores=class_score,
            )


def _preprocessor(options: dict[str, Any], backbone: nn.Module) -> dict[str, Any]:
    """Complete the config of the data preprocessor: its type, and constants that are the backbone's."""
    options = {"type": "mmwsol.LocDataPreprocessor", **options}
    for name in ("mean", "std"):
        if options.get(name) == "backbone":
            options[name] = getattr(backbone, f"pixel_{name}", None)
            if options[name] is None:
                raise ValueError(
                    f"data_preprocessor.{name}='backbone', but {type(backbone).__name__} does not know it: give three "
                    "numbers in 0-255."
                )
    return options


def _frame_size(sample: LocDataSample, size: tuple[int, int]) -> tuple[int, int]:
    """Return (H, W) of the network frame of a sample in a batch of ``size``.

    Raises:
        ValueError: If it is larger than the batch.
    """
    height, width = sample.metainfo.get("img_shape", size)[:2]
    if height > size[0] or width > size[1]:
        raise ValueError(f"a data sample has img_shape (H, W) = {(height, width)}, the inputs only {size}.")
    return int(height), int(width)
