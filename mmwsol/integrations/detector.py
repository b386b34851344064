"""A localizer as a detector of mmdet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel, ImgDataPreprocessor
from mmengine.structures import InstanceData
from torch import Tensor

from mmwsol.integrations.masks import instance_masks
from mmwsol.models.data_preprocessor import normalization
from mmwsol.registry import MODELS
from mmwsol.structures import Frame, LocDataSample

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample


@MODELS.register_module()
class WSOLDetector(BaseModel):
    """Give a localizer the interface of mmdet's detectors, for its test tools, metrics, inferencer and visualizer.

    Every image is cut free of padding and resized to ``input_size``, so that the localizer sees what it was trained on
    whatever the pipeline of the detector does (sizes that differ in a batch, ``keep_ratio``, ``Pad``). Boxes come back
    in original pixels through ``scale_factor``, as mmdet's own do.

    An image gets one box for each of its ``topk`` best classes, scored by the class probability. All of them are the
    same box if the localizer has a class-agnostic map only, as SAT.

    Checkpoints of the localizer load as they are. The model does not train: that is done with the localizer's config.

    Args:
        localizer: Model config of the localizer, or name or path of a config of mmwsol.
        stage: Which stage of that config. Defaults to None: the last one.
        input_size: (H, W) of the network's input, or the side of a square. Defaults
            to None: the localizer's ``input_size``, or, if it has none, the size of the image in the pipeline, rounded
            to multiples of 32.
        topk: Boxes an image. Defaults to 5.
        class_agnostic: Whether to give one box an image, that of the best class, under label 0. Defaults to
            False.
        with_masks: Whether to add ``masks``, the region of the thresholded map inside the box. Defaults to
            False.
        data_preprocessor: Must normalize as the localizer's does. Defaults to None: a
            ``DetDataPreprocessor`` that does.
        init_cfg: mmengine's initialization config. Defaults to None.

    Raises:
        ImportError: If mmdet is not installed.
        ValueError: If ``data_preprocessor`` normalizes in another way, or an argument is out of range.
    """

    def __init__(
        self,
        localizer: dict | str,
        stage: str | None = None,
        input_size: int | Sequence[int] | None = None,
        topk: int = 5,
        class_agnostic: bool = False,
        with_masks: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        require_mmdet("WSOLDetector")
        if topk < 1:
            raise ValueError(f"topk must be at least 1, got {topk}.")
        model = MODELS.build(_model_config(localizer, stage) if isinstance(localizer, str) else localizer)
        super().__init__(data_preprocessor or _same_normalization(model.data_preprocessor), init_cfg)
        _check_normalization(self.data_preprocessor, model.data_preprocessor)
        self.localizer = model
        self.localizer.head.topk = topk = min(1 if class_agnostic else topk, model.head.num_classes)
        self.topk = topk
        self.class_agnostic = class_agnostic
        self.with_masks = with_masks
        self.input_size = _input_size(input_size, model)
        self._register_load_state_dict_pre_hook(_add_prefix)

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample] | None = None, mode: str = "tensor"
    ) -> Tensor | list[DetDataSample]:
        """Run the model on images (B, 3, H, W): 'tensor' gives class logits (B, C), 'predict' detections.

        Raises:
            ValueError: If ``mode`` is 'loss' or unknown.
        """
        if mode == "tensor":
            return self.localizer(inputs, mode="tensor")
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode == "loss":
            raise ValueError(
                "WSOLDetector does not train. Train the localizer with its own config, or a detector of mmdet on the "
                "boxes that tools/pseudo_boxes.py exports."
            )
        raise ValueError(f"mode must be 'tensor' or 'predict', got {mode!r}.")

    def extract_feat(self, inputs: Tensor) -> Any:
        """Compute the features of the localizer's backbone."""
        return self.localizer.extract_feat(inputs)

    @torch.no_grad()
    def predict(
        self, inputs: Tensor, data_samples: list[DetDataSample] | None = None, rescale: bool = True
    ) -> list[DetDataSample]:
        """Detect.

        Args:
            inputs: (B, 3, H, W), normalized, padded at the right and the bottom.
            data_samples: With ``img_shape`` and, after a resize, ``ori_shape`` and
                ``scale_factor`` (x, y). Defaults to None: the inputs are the original images.
            rescale: Whether boxes are in original pixels, else in those of ``inputs``. Defaults to True.

        Returns:
            The samples with ``pred_instances``: ``bboxes`` (K, 4) x0, y0, x1, y1, ``scores`` (K,)
            best first, ``labels`` (K,) and, if asked for, ``masks`` (K, H, W) bool.
        """
        if data_samples is None:
            from mmdet.structures import DetDataSample

            data_samples = [DetDataSample(metainfo=dict(img_shape=tuple(inputs.shape[2:]))) for _ in inputs]
        by_size = defaultdict(list)  # one size, unless it follows the image
        for sample, image in zip(data_samples, inputs, strict=True):
            view, frame = self._view(image, sample, rescale)
            by_size[frame.shape].append((view, frame, sample))
        for views, frames, samples in (zip(*group, strict=True) for group in by_size.values()):
            predictions = [
                LocDataSample(metainfo=dict(frame=frame, ori_shape=frame.ori_shape, img_shape=frame.shape))
                for frame in frames
            ]
            predictions = self.localizer(torch.stack(views), predictions, mode="predict")
            for prediction, sample in zip(predictions, samples, strict=True):
                sample.pred_instances = self._instances(prediction).to(inputs.device)
        return data_samples

    def _view(self, image: Tensor, sample: DetDataSample, rescale: bool) -> tuple[Tensor, Frame]:
        """Cut the padding off (3, H, W) and resize; also give the frame, which begins at the pixels of the boxes."""
        height, width = sample.img_shape[:2]
        scale_x, scale_y = sample.metainfo.get("scale_factor", (1.0, 1.0))
        ori_height, ori_width = sample.metainfo.get("ori_shape", (height, width))[:2]
        # The transform Pad counts its border to img_shape.
        height = min(height, round(ori_height * scale_y))
        width = min(width, round(ori_width * scale_x))
        size = self.input_size or tuple(max(32, round(side / 32) * 32) for side in (height, width))
        view = image[None, :, :height, :width]
        if view.shape[2:] != size:
            # antialiased, as Pillow resizes in the localizer's own pipeline
            view = F.interpolate(view, size, mode="bilinear", align_corners=False, antialias=True)
        frame = Frame.identity((height, width))
        if rescale:
            frame = Frame((ori_height, ori_width), (height, width), (scale_x, scale_y))
        return view[0], frame.resized(size)

    def _instances(self, prediction: LocDataSample) -> InstanceData:
        """Turn a localizer's prediction into detections, without boxes that are empty."""
        predicted = prediction.pred_instances
        scores, labels = prediction.pred_score.topk(self.topk)
        bboxes, index = predicted.bboxes, torch.arange(self.topk)
        if int(predicted.labels[0]) < 0:  # a class-agnostic map: the same box for every class
            index = index.new_zeros(self.topk)
        else:
            scores, labels = predicted.scores[: self.topk], predicted.labels[: self.topk]
        if self.class_agnostic:
            labels = torch.zeros_like(labels)
        instances = InstanceData(bboxes=bboxes[index], scores=scores.cpu(), labels=labels.cpu())
        if self.with_masks:
            instances.masks = torch.from_numpy(instance_masks(self.localizer.map_to_box, prediction))[index]
        return instances[(instances.bboxes[:, 2:] > instances.bboxes[:, :2]).all(dim=1)]


def require_mmdet(what: str) -> None:
    """Raise an ImportError that says how to install mmdet, if its models cannot be imported."""
    try:
        import mmdet.models  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{what} needs mmdet and mmcv with compiled operators, but: {error}. Install mmwsol[mmdet] as the README "
            "says; 'mmwsol doctor' tells what is missing."
        ) from error


def _model_config(name: str, stage: str | None) -> dict:
    from mmwsol.engine.stages import select_stage, stage_configs
    from mmwsol.utils.config import load_config

    return select_stage(stage_configs(load_config(name)), stage).cfg.model


def _same_normalization(preprocessor: Any) -> dict:
    """Make the config of a ``DetDataPreprocessor`` that normalizes like a localizer's preprocessor."""
    mean, std, to_rgb = _numbers(preprocessor)
    return dict(type="mmdet.DetDataPreprocessor", mean=mean, std=std, bgr_to_rgb=to_rgb)


def _numbers(preprocessor: Any) -> tuple[list[float], list[float], bool]:
    normal = normalization(preprocessor)
    return normal.mean.tolist(), normal.std.tolist(), normal.to_rgb


def _check_normalization(given: Any, wanted: Any) -> None:
    if not isinstance(given, ImgDataPreprocessor):
        return
    has, wants = _numbers(given), _numbers(wanted)
    if has != wants:
        raise ValueError(
            f"data_preprocessor normalizes with mean={has[0]}, std={has[1]}, BGR to RGB: {has[2]}, but the localizer "
            f"was trained with mean={wants[0]}, std={wants[1]}, BGR to RGB: {wants[2]}. Leave data_preprocessor out, "
            "or write these numbers."
        )


def _input_size(given: int | Sequence[int] | None, localizer: Any) -> tuple[int, int] | None:
    """Return (H, W), or None if the size follows the image."""
    if given is None:
        return localizer.input_size
    pair = (given, given) if isinstance(given, int) else tuple(given)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"input_size must be a positive integer or (H, W), got {given!r}.")
    return pair[0], pair[1]


def _add_prefix(state_dict: dict, prefix: str, *_: Any) -> None:
    """Rename the weights of a checkpoint of the localizer alone, in place."""
    inner = f"{prefix}localizer."
    if any(name.startswith(inner) for name in state_dict):
        return
    for name in [name for name in state_dict if name.startswith(prefix)]:
        state_dict[inner + name[len(prefix) :]] = state_dict.pop(name)
