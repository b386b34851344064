"""What all localization metrics share: protocol, ground truth in the frame, records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmwsol.evaluation.functional import check_frame, frame_of_rule, gt_to_frame
from mmwsol.evaluation.functional.boxes import as_boxes
from mmwsol.evaluation.protocols import Protocol, Search, get_protocol
from mmwsol.evaluation.record import Record
from mmwsol.registry import TASK_UTILS
from mmwsol.structures import Frame

from .record_pool import RecordPool
from .sample import class_rank, field, model_box, rule_settings, to_numpy


class BaseLocMetric(BaseMetric):
    """Base of the localization metrics: a protocol says what the numbers mean, a metric what is counted.

    ``process`` of a subclass appends exactly one compact tuple per sample, the image id first, so
    that the collection over ranks can drop the sampler's padding.

    Args:
        protocol: Name, instance, or dict with a name and fields that differ, see
            :class:`mmwsol.evaluation.protocols.Protocol`.
        overrides: Fields of the protocol that differ.
        prefix: Prefix of the keys.
        num_threads: Threads of ``self.pool``, for metrics that compute their results there. Defaults to 0.

    Attributes:
        protocol: The protocol.
        description: What the numbers mean, as plain values, for the log and the results file: frame, box rule,
            threshold and how it was chosen. ``name`` is that of the protocol, or says that the boxes are of another
            box rule than the protocol's.
        curve: After an evaluation, arrays by name, on the main process.
        keep_records: Whether to keep a :class:`mmwsol.evaluation.record.Record` of every image; costs time and memory.
        records: After an evaluation, if they were kept, the records by image id, None for an image without
            ground-truth boxes; on the main process. Metrics without a box per image have none.
        rule_of_model: Whether boxes are made by the model's box rule, ``map_to_box='model'``, which
            :class:`mmwsol.ThresholdCalibrationHook` hands to :meth:`take_rule`.
    """

    rule_of_model = False
    map_to_box: Any = None

    def __init__(
        self,
        protocol: str | Protocol | Mapping[str, Any],
        overrides: Mapping[str, Any],
        prefix: str | None = None,
        num_threads: int | None = 0,
    ) -> None:
        super().__init__(prefix=prefix)
        self.protocol = get_protocol(protocol, **overrides)
        self.pool = RecordPool(num_threads)
        self.curve: dict[str, np.ndarray] = {}
        self.keep_records = False
        self.records: dict[str, Record | None] = {}
        self.description: dict[str, Any] = {
            "name": self.protocol.name,
            "prefix": self.prefix,
            "frame_rule": self.protocol.frame_rule,
            "gt_mode": self.protocol.gt_mode,
            "iou": self.protocol.iou,
        }
        if self.protocol.resize_size is not None:
            self.description["resize_size"] = self.protocol.resize_size

    @classmethod
    def config_of(
        cls,
        protocol: Protocol,
        threshold: float | Search | None,
        scores: bool = True,
        curve_step: float | None = None,
    ) -> dict[str, Any]:
        """Return arguments with which the metric evaluates as a protocol says, beside the protocol itself.

        A metric that needs more than the threshold overrides this.

        Args:
            protocol: Protocol.
            threshold: A number, or a search on the evaluated set; None where the protocol has its own.
            scores: Whether there are class scores. Defaults to True.
            curve_step: Step of the thresholds of a curve, where one is wanted. Defaults to None.
        """
        if threshold is None:
            return {}
        return {"threshold": asdict(threshold) if isinstance(threshold, Search) else threshold}

    @cached_property
    def protocol_box_rule(self) -> Any:
        """The box rule of the protocol."""
        return TASK_UTILS.build(dict(self.protocol.map_to_box))

    def take_rule(self, rule: Any) -> None:
        """Make boxes by the box rule of the model from now on."""
        self.map_to_box = rule
        self.describe_box_rule(rule_settings(rule), "model")

    def check_rule(self) -> None:
        """Refuse to make boxes without a rule.

        Raises:
            ValueError: If the rule is the model's, and nobody has handed it in.
        """
        if self.rule_of_model and self.map_to_box is None:
            raise ValueError(
                f"{type(self).__name__}: map_to_box='model' needs mmwsol.ThresholdCalibrationHook among custom_hooks, "
                "which knows the model; else write the rule down"
            )

    def describe_box_rule(self, settings: dict[str, Any], owner: str) -> None:
        """Write the box rule into the description; where it is not the protocol's, its name and the log say so.

        Args:
            settings: Of the rule that makes the boxes, as :func:`mmwsol.evaluation.metrics.sample.rule_settings`.
            owner: Whose rule it is, 'model' or 'metric'.
        """
        if settings == self.description.get("box_rule"):
            return
        self.description |= {"name": self.protocol.name, "box_rule": settings}
        wanted = rule_settings(self.protocol_box_rule)
        names = [name for name in {**wanted, **settings} if settings.get(name) != wanted.get(name)]
        if names:
            self.description["name"] += f" with the {owner}'s box rule"
            listed = ", ".join(f"{name} {settings.get(name)!r}, not {wanted.get(name)!r}" for name in names)
            print_log(
                f"{type(self).__name__} '{self.prefix}': protocol '{self.protocol.name}' with the {owner}'s box rule, "
                f"which is another one ({listed}): these are not the protocol's numbers",
                logger="current",
            )

    def model_box(self, sample: dict) -> np.ndarray:
        """Return the box (1, 4) that the model made of the protocol's map, in the frame; describe its rule.

        Raises:
            ValueError: If there is no such box.
        """
        if sample.get("box_rule") is not None:  # the localizer writes down how it made the boxes
            settings = dict(sample["box_rule"])
            self.description["threshold"] = settings.pop("threshold")
            # A localizer's box is that of the largest region, also where the rule finds all.
            self.describe_box_rule({**settings, "contour": "largest"}, "model")
        return model_box(sample, self.protocol.map_class)

    def gt_boxes(self, sample: dict, frame_rule: str | None = None, gt_mode: str | None = None) -> np.ndarray:
        """Return the ground-truth boxes (M, 4) of a sample in the evaluation frame.

        Args:
            sample: Data sample as a dict.
            frame_rule: In place of the protocol's.
            gt_mode: In place of the protocol's; 'first' keeps one box at most.

        Raises:
            ValueError: If the test pipeline made another frame than the rule assumes.
        """
        rule, resize_size = frame_rule or self.protocol.frame_rule, self.protocol.resize_size
        ori_shape = field(sample, "ori_shape")
        boxes = as_boxes(to_numpy(field(sample, "gt_bboxes_ori")))
        if sample.get("frame") is not None:
            check_frame(sample["frame"], rule, resize_size)
        if (gt_mode or self.protocol.gt_mode) == "first":
            boxes = boxes[:1]
        if rule == "wsol":
            # wsolevaluation's lists end at the last pixel; lists of x, y, w, h reach one further.
            height, width = ori_shape[:2]
            boxes = np.minimum(boxes, (width - 1, height - 1, width - 1, height - 1))
        return gt_to_frame(boxes, ori_shape, frame_size(sample), rule, resize_size)

    def frame(self, sample: dict) -> Frame:
        """Return the way from original pixels to the evaluation frame: the pipeline's, or else the rule's."""
        if sample.get("frame") is not None:
            return sample["frame"]
        protocol = self.protocol
        return frame_of_rule(sample["ori_shape"], frame_size(sample), protocol.frame_rule, protocol.resize_size)

    def evaluate(self, size: int) -> dict[str, float]:
        """Evaluate as mmengine does, once all results are there."""
        self.pool.settle(self.results)
        self.pool.close()
        return super().evaluate(size)

    def check_results(self, results: Iterable[tuple]) -> None:
        """Raise ``ValueError`` if nothing was processed or an image was counted twice."""
        counts = Counter(result[0] for result in results)
        if not counts:
            raise ValueError(f"{type(self).__name__}: no sample was processed")
        twice = [img_id for img_id, n in counts.items() if n > 1]
        if twice:
            raise ValueError(
                f"{type(self).__name__}: {len(twice)} images were evaluated more than once, e.g. "
                f"{twice[0]!r}: image ids must be unique, and the sampler must pad only at the end "
                "(DefaultSampler)"
            )

    def log_description(self, images: int, left_out: int = 0) -> None:
        """Write what the numbers mean into the log, in one line; ``left_out`` images have no ground truth."""
        items = ", ".join(f"{name}={value}" for name, value in self.description.items())
        without = f" ({left_out} without boxes left out, which classification counts)" if left_out else ""
        print_log(f"{type(self).__name__} on {images} images{without}: {items}", logger="current")


def frame_size(sample: dict) -> tuple[int, int]:
    """Return (H, W) of the evaluation frame of a sample, that of the network."""
    height, width = field(sample, "img_shape")[:2]
    return int(height), int(width)


def known_rank(sample: dict) -> int | None:
    """Return the rank of the ground-truth class, None for a sample without class scores."""
    return None if sample.get("pred_score") is None else class_rank(sample)
