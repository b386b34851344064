"""What the whole frame and the center box reach without a model, to stand beside the model's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmwsol.evaluation.functional import FRAME_RULES, baseline_boxes, baseline_ious
from mmwsol.evaluation.protocols import Protocol
from mmwsol.registry import METRICS

from .base import BaseLocMetric, frame_size
from .sample import field


@METRICS.register_module()
class LocBaselines(BaseLocMetric):
    """Accuracy of the whole frame and of the center box, from the ground truth alone.

    The sides of the center box are half the frame's.
    ``baseline/whole_frame_gt_known`` and ``baseline/center_box_gt_known`` are GT-known under the
    protocol; ``baseline/whole_frame_box_acc_v2`` and ``baseline/center_box_box_acc_v2``, the
    mean over its ``iou_thrs``, those of ``MaxBoxAcc``: any box, in the frame of wsolevaluation, or that of a protocol
    that crops. All in percent of the images that have boxes.

    Args:
        protocol: See :class:`BaseLocMetric`. Defaults to 'tscam'.
        prefix: Prefix of the keys. Defaults to 'baseline'.
        **overrides: Fields of the protocol that differ.
    """

    default_prefix = "baseline"

    def __init__(
        self,
        protocol: str | Protocol | Mapping[str, Any] = "tscam",
        prefix: str | None = None,
        **overrides: Any,
    ) -> None:
        super().__init__(protocol, overrides, prefix)
        rule = self.protocol.frame_rule
        self.box_acc_frame_rule = rule if FRAME_RULES[rule].crops else "wsol"
        self.description |= {
            "box_acc_frame_rule": self.box_acc_frame_rule,
            "threshold": None,
            "threshold_source": "no model",
        }

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Append (image id, IoU (2, 2) or None) per sample: baselines by (GT-known, BoxAccV2)."""
        for sample in data_samples:
            known = self.gt_boxes(sample)
            box_acc = self.gt_boxes(sample, self.box_acc_frame_rule, "any")
            iou = None
            if len(known):
                size = frame_size(sample)
                known_boxes = baseline_boxes(size, "exclusive")
                # wsolevaluation limits ends to the last pixel.
                acc_boxes = baseline_boxes(size, "exclusive_clip")
                iou = np.array(
                    [
                        [
                            baseline_ious([known], known_boxes[name], self.protocol.plus_one)[0],
                            baseline_ious([box_acc], acc_boxes[name])[0],
                        ]
                        for name in known_boxes
                    ]
                )
            self.results.append((field(sample, "img_id"), iou))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the accuracies in percent.

        Raises:
            ValueError: If no image has boxes, or an image comes twice.
        """
        self.check_results(results)
        ious = [iou for _, iou in results if iou is not None]
        if not ious:
            raise ValueError(f"LocBaselines: none of {len(results)} images has a ground-truth box")
        iou = np.stack(ious)
        metrics = {}
        for n, name in enumerate(("whole_frame", "center_box")):
            metrics[f"{name}_gt_known"] = float(100.0 * (iou[:, n, 0] >= self.protocol.iou_thr).mean())
            hits = iou[:, n, 1, None] >= np.array(self.protocol.iou_thrs)
            metrics[f"{name}_box_acc_v2"] = float((100.0 * hits.mean(axis=0)).mean())
        self.log_description(len(ious))
        return metrics
