"""What all localization metrics share: ground truth in the frame, choice of the map, protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmwsol.evaluation.functional import check_geometry, gt_to_frame
from mmwsol.evaluation.functional.boxes import as_boxes
from mmwsol.evaluation.functional.frames import FRAME_RULES

from .record_pool import RecordPool

MAP_CLASSES = ("gt", "pred", "agnostic")
IOUS = ("plus_one", "continuous")


class BaseLocMetric(BaseMetric):
    """Base of the metrics that compare boxes in an evaluation frame.

    ``process`` of a subclass appends exactly one compact tuple per sample, the image id first, so
    that the collection over ranks can drop the sampler's padding.

    Args:
        frame_rule: How ground-truth boxes get into the frame: 'wsol', 'tscam', 'sat' or 'short',
            see :func:`mmwsol.evaluation.functional.gt_to_frame`.
        frame_size: (H, W) or side of the evaluation frame. Default: the network frame,
            ``img_shape``.
        resize_size: Side before the crop, for the rules 'sat' and 'short'.
        gt_mode: 'any' ground-truth box may match, or only the 'first' of the list.
        iou: 'plus_one' or 'continuous', see :func:`mmwsol.evaluation.functional.box_iou`.
        collect_device: See mmengine's ``BaseMetric``.
        prefix: Prefix of the keys.
        collect_dir: See mmengine's ``BaseMetric``.
        num_threads: Threads of ``self.pool``, for metrics that compute their records there. Default 0.

    Attributes:
        protocol: What the numbers mean: frame, box rule, threshold and how it was chosen.
        curve: After an evaluation, arrays by name, on the main process.
    """

    def __init__(
        self,
        frame_rule: str,
        frame_size: int | Sequence[int] | None = None,
        resize_size: int | None = None,
        gt_mode: str = "any",
        iou: str = "plus_one",
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
        num_threads: int | None = 0,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        check_option("frame_rule", frame_rule, FRAME_RULES)
        check_option("gt_mode", gt_mode, ("any", "first"))
        check_option("iou", iou, IOUS)
        if isinstance(frame_size, int):
            frame_size = (frame_size, frame_size)
        self.frame_rule = frame_rule
        self.frame_size = None if frame_size is None else (int(frame_size[0]), int(frame_size[1]))
        self.resize_size = resize_size
        self.gt_mode = gt_mode
        self.plus_one = iou == "plus_one"
        self.pool = RecordPool(num_threads)
        self.curve: dict[str, np.ndarray] = {}
        self.protocol: dict[str, Any] = {
            "prefix": self.prefix,
            "frame_rule": frame_rule,
            "frame_size": self.frame_size or "network frame",
            "gt_mode": gt_mode,
            "iou": iou,
        }
        if resize_size is not None:
            self.protocol["resize_size"] = resize_size

    def frame(self, sample: dict) -> tuple[int, int]:
        """Return (H, W) of the evaluation frame of a sample."""
        if self.frame_size is not None:
            return self.frame_size
        height, width = field(sample, "img_shape")[:2]
        return int(height), int(width)

    def gt_boxes(self, sample: dict, rule: str | None = None, gt_mode: str | None = None) -> np.ndarray:
        """Return the ground-truth boxes (M, 4) of a sample in the evaluation frame.

        Args:
            sample: Data sample as a dict.
            rule: Frame rule in place of the metric's.
            gt_mode: In place of the metric's; 'first' keeps one box at most.

        Raises:
            ValueError: If the test pipeline made another frame than the rule assumes.
        """
        rule = rule or self.frame_rule
        size, ori_shape = self.frame(sample), field(sample, "ori_shape")
        boxes = as_boxes(to_numpy(field(sample, "gt_bboxes_ori")))
        if "frame" in sample:
            check_geometry(sample["frame"], ori_shape, sample["img_shape"][:2], rule, self.resize_size)
        if (gt_mode or self.gt_mode) == "first":
            boxes = boxes[:1]
        if rule == "wsol":
            # wsolevaluation's lists end at the last pixel; lists of x, y, w, h reach one further.
            height, width = ori_shape[:2]
            boxes = np.minimum(boxes, (width - 1, height - 1, width - 1, height - 1))
        return gt_to_frame(boxes, ori_shape, size, rule, self.resize_size)

    def evaluate(self, size: int) -> dict[str, float]:
        """Evaluate as mmengine does, once all records are there."""
        self.pool.settle(self.results)
        self.pool.close()
        return super().evaluate(size)

    def check_records(self, results: Iterable[tuple]) -> None:
        """Raise ``ValueError`` if nothing was processed or an image was counted twice."""
        counts = Counter(record[0] for record in results)
        if not counts:
            raise ValueError(f"{type(self).__name__}: no sample was processed")
        twice = [img_id for img_id, n in counts.items() if n > 1]
        if twice:
            raise ValueError(
                f"{type(self).__name__}: {len(twice)} images were evaluated more than once, e.g. "
                f"{twice[0]!r}: image ids must be unique, and the sampler must pad only at the end "
                "(DefaultSampler)"
            )

    def log_protocol(self, images: int) -> None:
        """Write the protocol into the log, in one line."""
        items = ", ".join(f"{name}={value}" for name, value in self.protocol.items())
        print_log(f"{type(self).__name__} on {images} images: {items}", logger="current")


def check_option(name: str, value: Any, allowed: Sequence) -> None:
    """Raise ``ValueError`` naming ``value`` if it is not allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {tuple(allowed)}, got {value!r}")


def field(sample: dict, name: str) -> Any:
    """Return a field of a data sample.

    Raises:
        ValueError: If the sample has no such field.
    """
    if sample.get(name) is None:
        raise ValueError(
            f"data sample {sample.get('img_id', '')!r} has no {name!r}: the test pipeline "
            "(mmwsol.PackLocInputs) or the model's predict must provide it"
        )
    return sample[name]


def to_numpy(value: Any) -> np.ndarray:
    """Return a tensor, list or array as a numpy array on the CPU."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.asarray(value)


def gt_label(sample: dict) -> int:
    """Return the ground-truth class of a sample, which must be one."""
    labels = to_numpy(field(sample, "gt_label")).ravel()
    if len(labels) != 1:
        raise ValueError(f"image {sample.get('img_id')!r} has gt_label {labels.tolist()}: one label is needed")
    return int(labels[0])


def pred_scores(sample: dict) -> np.ndarray:
    """Return the class scores (C,) of a sample, which must not be NaN."""
    scores = to_numpy(field(sample, "pred_score")).ravel()
    if np.isnan(scores).any():
        raise ValueError(f"image {sample.get('img_id')!r}: pred_score has NaN values")
    return scores


def choose_map(sample: dict, labels: np.ndarray, map_class: str) -> int:
    """Return the index of the map (or box) to evaluate.

    Args:
        sample: Data sample as a dict.
        labels: (K,) class of every map, -1 for a class-agnostic one.
        map_class: 'gt' or 'pred': the map of the ground-truth or of the top-1 class; a single
            class-agnostic map stands for every class. 'agnostic': the class-agnostic map.

    Raises:
        ValueError: If there is no such map.
    """
    if map_class == "agnostic" or labels.tolist() == [-1]:
        wanted, what = -1, "class-agnostic map (label -1)"
    elif map_class == "gt":
        wanted = gt_label(sample)
        what = f"map of the ground-truth class {wanted}"
    else:
        wanted = int(pred_scores(sample).argmax())
        what = f"map of the predicted class {wanted}"
    found = np.flatnonzero(labels == wanted)
    if not len(found):
        raise ValueError(
            f"image {sample.get('img_id')!r} has no {what}, only of {labels.tolist()}: predict "
            "must return the maps of the top-5 and the ground-truth class, or set map_class="
        )
    return int(found[0])


def select_map(sample: dict, map_class: str) -> np.ndarray:
    """Return the localization map (1, h, w) to evaluate, see :func:`choose_map`."""
    pred = field(sample, "pred_maps")
    maps, labels = pred["maps"], to_numpy(pred["labels"]).ravel()
    if maps.ndim != 3 or len(maps) != len(labels):
        raise ValueError(
            f"image {sample.get('img_id')!r}: pred_maps.maps must have shape (K, h, w) with "
            f"K = {len(labels)} labels, got {tuple(maps.shape)}"
        )
    k = choose_map(sample, labels, map_class)
    return to_numpy(maps[k : k + 1])
