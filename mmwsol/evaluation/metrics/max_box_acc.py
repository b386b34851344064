"""MaxBoxAcc and MaxBoxAccV2 (Choe et al., wsolevaluation), exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmwsol.evaluation.functional import (
    LevelBoxes,
    best_iou_per_level,
    box_acc,
    boxes_per_level,
    default_bbox,
    end_boxes,
    largest_and_all_boxes,
    threshold_grid,
)
from mmwsol.registry import METRICS, TASK_UTILS

from .base import MAP_CLASSES, BaseLocMetric, check_option, field, select_map


@METRICS.register_module()
class MaxBoxAcc(BaseLocMetric):
    """Box accuracy at the threshold that is best on the evaluated set, in percent.

    ``loc/max_box_acc`` takes the largest contour at IoU .5; ``loc/max_box_acc_v2`` the best of all
    contours, and is the mean over IoU .3, .5 and .7, each at its own best threshold. Values per IoU
    are ``max_box_acc@50``, ..., the (first) best thresholds ``max_box_acc_threshold`` and
    ``max_box_acc_v2_threshold@50``, ... The defaults give the numbers of wsolevaluation: GT-class
    map, bicubic in float64, 1000 thresholds.

    Args:
        map_to_box: Config of a TASK_UTIL: resize, normalisation and box ends. Its ``contour`` and
            ``threshold`` do not matter. Default ``dict(type='mmwsol.ContourBox', preset='wsol')``.
        thresholds: Step of the grid 0, step, ... (wsolevaluation .001), or the rising thresholds
            themselves.
        iou_thrs: IoU bars of V2.
        multi_contour: Compute V2 as well. Default True.
        map_class: Map of the 'gt' class, of the 'pred' (top-1) class, or the 'agnostic' one. A
            single class-agnostic map serves for 'gt' and 'pred' too.
        frame_rule: Ground-truth frame: 'wsol', 'tscam', 'sat' or 'short'.
        frame_size: (H, W) or side of the evaluation frame. Default: the network frame.
        resize_size: Side before the crop, for 'sat' and 'short'.
        gt_mode: 'any' or 'first' ground-truth box.
        iou: 'plus_one' or 'continuous'.
        collect_device: See mmengine's ``BaseMetric``.
        prefix: Prefix of the keys. Default 'loc'.
        collect_dir: See mmengine's ``BaseMetric``.
        num_threads: Threads that compute boxes while the next batch is in the network; 0 computes
            them at once. Default: 4, or the number of CPUs if that is smaller.

    Attributes:
        protocol: What the numbers mean.
        curve: After an evaluation: ``threshold`` (T,), ``iou_thr`` (D,), accuracies ``single`` and
            ``multi`` (D, T).
    """

    default_prefix = "loc"

    def __init__(
        self,
        map_to_box: dict | None = None,
        thresholds: float | Sequence[float] = 0.001,
        iou_thrs: Sequence[float] = (0.3, 0.5, 0.7),
        multi_contour: bool = True,
        map_class: str = "gt",
        frame_rule: str = "wsol",
        frame_size: int | Sequence[int] | None = None,
        resize_size: int | None = None,
        gt_mode: str = "any",
        iou: str = "plus_one",
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
        num_threads: int | None = None,
    ) -> None:
        super().__init__(
            frame_rule, frame_size, resize_size, gt_mode, iou, collect_device, prefix, collect_dir, num_threads
        )
        check_option("map_class", map_class, MAP_CLASSES)
        if isinstance(thresholds, (int, float)):
            self.thresholds = threshold_grid(thresholds)
        else:
            self.thresholds = np.asarray(thresholds, np.float64)
        grid = self.thresholds
        if grid.ndim != 1 or not len(grid):
            raise ValueError(f"thresholds must be a step or a list, got {thresholds}")
        if grid[0] < 0 or grid[-1] >= 1 or (np.diff(grid) <= 0).any():
            raise ValueError(f"thresholds must rise and lie in [0, 1), got {thresholds}")
        if not len(iou_thrs) or min(iou_thrs) <= 0 or max(iou_thrs) > 1:
            raise ValueError(f"iou_thrs must lie in (0, 1], got {iou_thrs}")
        self.v2_thrs = [float(bar) for bar in iou_thrs]
        self.iou_thrs = np.array(sorted({0.5, *self.v2_thrs}))
        self.multi_contour = multi_contour
        self.map_class = map_class
        self.map_to_box = TASK_UTILS.build(map_to_box or {"type": "mmwsol.ContourBox", "preset": "wsol"})
        rule = {name: value for name, value in self.map_to_box.rule.items() if name != "contour"}
        self.protocol |= {
            "map_class": map_class,
            "box_rule": {"type": type(self.map_to_box).__name__, **rule},
            "threshold": f"{len(grid)} values from {grid[0]:g} to {grid[-1]:g}",
            "threshold_source": "best on the evaluated set, for every IoU bar",
        }

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Append (image id, hits of the largest, hits of all contours) per sample.

        Hits are packed bits (D, T) as bytes, None for an image without ground-truth boxes.
        """
        self.pool.settle(self.results)
        for sample in data_samples:
            gt, img_id = self.gt_boxes(sample), field(sample, "img_id")
            if not len(gt):
                self.results.append((img_id, None, None))
                continue
            maps = select_map(sample, self.map_class)
            self.pool.submit(self.results, img_id, self._record, img_id, maps, self.frame(sample), gt)

    def _record(self, img_id: str, maps: np.ndarray, size: tuple[int, int], gt: np.ndarray) -> tuple:
        single, multi = self.best_ious(self.map_to_box.scoremap(maps, size)[0], gt)
        return img_id, self._pack(single), self._pack(multi)

    def best_ious(self, scoremap: np.ndarray, gt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the best IoU (T,) at every threshold, of the largest and of all contours.

        Args:
            scoremap: (H, W) evaluated map.
            gt: (M, 4) ground-truth boxes in the same frame.

        Returns:
            Two float64 (T,); the second repeats the first if ``multi_contour`` is off.
        """
        rule = self.map_to_box.rule
        size = (scoremap.shape[0], scoremap.shape[1])
        default = default_bbox(rule["default_box"], size)
        mode = self.map_to_box.mode("largest")
        ious = []
        for u8_map, level in self.map_to_box.level_maps(scoremap, self.thresholds):
            found: tuple[LevelBoxes, ...] = (
                largest_and_all_boxes(u8_map, mode.removeprefix("largest_"))
                if self.multi_contour
                else (boxes_per_level(u8_map, mode),)
            )
            ended = [levels._replace(boxes=end_boxes(levels.boxes, size, rule["box_end"])) for levels in found]
            ious.append([best_iou_per_level(levels, gt, default, self.plus_one)[level] for levels in ended])
        whole = [np.concatenate(pieces) for pieces in zip(*ious, strict=True)]
        return whole[0], whole[-1]

    def _pack(self, iou: np.ndarray) -> bytes:
        return np.packbits(iou >= self.iou_thrs[:, None]).tobytes()

    def _unpack(self, hits: list[bytes]) -> np.ndarray:
        """Return bool (N, D, T)."""
        shape = (len(self.iou_thrs), len(self.thresholds))
        rows = np.frombuffer(b"".join(hits), np.uint8).reshape(len(hits), -1)
        bits = np.unpackbits(rows, axis=1, count=shape[0] * shape[1])
        return bits.reshape(-1, *shape).astype(bool)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the accuracies in percent.

        Raises:
            ValueError: If no image has boxes, or an image comes twice.
        """
        self.check_records(results)
        with_boxes = [record for record in results if record[1] is not None]
        if not with_boxes:
            raise ValueError(
                f"MaxBoxAcc: none of {len(results)} images has a ground-truth box; evaluate classification only"
            )
        curves, best, index = box_acc(self._unpack([record[1] for record in with_boxes]))
        self.curve = {"threshold": self.thresholds, "iou_thr": self.iou_thrs, "single": curves}
        bars = self.iou_thrs.tolist()
        metrics = {"max_box_acc": float(best[bars.index(0.5)])}
        for bar in self.v2_thrs:
            metrics[f"max_box_acc@{_name(bar)}"] = float(best[bars.index(bar)])
        metrics["max_box_acc_threshold"] = float(self.thresholds[index[bars.index(0.5)]])
        if self.multi_contour:
            curves, best, index = box_acc(self._unpack([record[2] for record in with_boxes]))
            self.curve["multi"] = curves
            chosen = [bars.index(bar) for bar in self.v2_thrs]
            metrics["max_box_acc_v2"] = float(best[chosen].mean())
            for d, bar in zip(chosen, self.v2_thrs, strict=True):
                metrics[f"max_box_acc_v2@{_name(bar)}"] = float(best[d])
                metrics[f"max_box_acc_v2_threshold@{_name(bar)}"] = float(self.thresholds[index[d]])
        self.log_protocol(len(with_boxes))
        return metrics


def _name(bar: float) -> str:
    """Write an IoU bar in percent: .5 as '50'."""
    return f"{100 * bar:g}"
