"""What two boxes that look at no picture reach, to stand beside the model's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmwsol.evaluation.functional import baseline_boxes, baseline_ious
from mmwsol.evaluation.protocols import LOC_SWITCHES
from mmwsol.registry import METRICS

from .base import BaseLocMetric, check_option, field


@METRICS.register_module()
class LocBaselines(BaseLocMetric):
    """Accuracy of the whole frame and of the centre box, from the ground truth alone.

    The sides of the centre box are half the frame's.
    ``baseline/whole_frame_gt_known`` and ``baseline/centre_box_gt_known`` follow a protocol of
    ``LocAccuracy``; ``baseline/whole_frame_box_acc_v2`` and ``baseline/centre_box_box_acc_v2``, the
    mean over ``iou_thrs``, those of ``MaxBoxAcc``. All in percent of the images that have boxes.

    Args:
        protocol: Named protocol of ``LocAccuracy``. Default 'tscam'.
        box_acc_frame_rule: Ground-truth frame of the ``box_acc_v2`` values. Default: 'wsol', or
            that of the protocol if it crops ('sat', 'short').
        iou_thrs: IoU bars of the ``box_acc_v2`` values.
        frame_size: (H, W) or side of the evaluation frame. Default: the network frame.
        resize_size: Side before the crop, for the frame rules 'sat' and 'short'.
        collect_device: See mmengine's ``BaseMetric``.
        prefix: Prefix of the keys. Default 'baseline'.
        collect_dir: See mmengine's ``BaseMetric``.
    """

    default_prefix = "baseline"

    def __init__(
        self,
        protocol: str = "tscam",
        box_acc_frame_rule: str | None = None,
        iou_thrs: Sequence[float] = (0.3, 0.5, 0.7),
        frame_size: int | Sequence[int] | None = None,
        resize_size: int | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        check_option("protocol", protocol, tuple(LOC_SWITCHES))
        switches = LOC_SWITCHES[protocol]
        super().__init__(
            switches["frame_rule"],
            frame_size,
            resize_size,
            switches["gt_mode"],
            switches["iou"],
            collect_device,
            prefix,
            collect_dir,
        )
        if box_acc_frame_rule is None:
            plain = self.frame_rule in ("wsol", "tscam")
            box_acc_frame_rule = "wsol" if plain else self.frame_rule
        self.box_acc_frame_rule = box_acc_frame_rule
        self.iou_thrs = np.asarray(iou_thrs, np.float64)
        self.protocol = {
            "name": protocol,
            **self.protocol,
            "box_acc_frame_rule": box_acc_frame_rule,
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
                size = self.frame(sample)
                known_boxes = baseline_boxes(size, "exclusive")
                # wsolevaluation limits ends to the last pixel.
                acc_boxes = baseline_boxes(size, "exclusive_clip")
                iou = np.array(
                    [
                        [
                            baseline_ious([known], known_boxes[name], self.plus_one)[0],
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
        self.check_records(results)
        ious = [record[1] for record in results if record[1] is not None]
        if not ious:
            raise ValueError(f"LocBaselines: none of {len(results)} images has a ground-truth box")
        iou = np.stack(ious)
        metrics = {}
        for n, name in enumerate(("whole_frame", "centre_box")):
            metrics[f"{name}_gt_known"] = float(100.0 * (iou[:, n, 0] >= 0.5).mean())
            hits = iou[:, n, 1, None] >= self.iou_thrs
            metrics[f"{name}_box_acc_v2"] = float((100.0 * hits.mean(axis=0)).mean())
        self.log_protocol(len(ious))
        return metrics
