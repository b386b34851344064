"""Top-1, Top-5 and GT-known localization accuracy with the protocol switches of the papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmwsol.evaluation.functional import ERROR_TYPES, box_iou, localization_error, threshold_grid
from mmwsol.evaluation.functional.boxes import as_boxes
from mmwsol.evaluation.protocols import LOC_SWITCHES
from mmwsol.registry import METRICS, TASK_UTILS

from .base import (
    MAP_CLASSES,
    BaseLocMetric,
    check_option,
    choose_map,
    field,
    gt_label,
    pred_scores,
    select_map,
    to_numpy,
)
from .record_pool import named_call

SELECT_BY = ("gt_known", "top1", "gt_known+top1", "each")
IOU_EDGES = np.arange(10, 21) / 20  # .50, .55, ..., 1


@METRICS.register_module()
class LocAccuracy(BaseLocMetric):
    """Localization accuracy: GT-known, Top-1 and Top-5 Loc, in percent of the images that have boxes.

    GT-known counts an image if the box of the chosen map has IoU >= ``iou_thr`` with the ground
    truth; Top-k Loc if moreover the ground-truth class is among the k best (TS-CAM and TRT then ask
    for IoU > ``iou_thr``).

    Args:
        protocol: Named set of the switches below: 'tscam' (default; TRT too), 'wsol', 'sat', 'cdtr'
            or 'locloc'. A switch that is given overrides it.
        map_to_box: Config of a TASK_UTIL, e.g. ``dict(type='mmwsol.ContourBox', preset='tscam',
            threshold=.1)``: boxes are made here from ``pred_maps``. Default None: the model's own
            boxes, ``pred_instances.frame_bboxes``.
        threshold: None: that of ``map_to_box``; a number; or a search,
            ``dict(grid=..., select_by='gt_known+top1', select_on='val')``. ``grid`` is a list or a
            step (.01: 0, .01, ...). ``select_by`` 'gt_known', 'top1' or their sum takes the
            threshold with the highest value, the first on ties; 'each' takes for every value its
            own. ``select_on='val'``, the default: the threshold is searched in a validation that
            ``mmwsol.ThresholdCalibrationHook`` watches, which writes it into the model and its
            checkpoints; everywhere else the values are those at the model's threshold.
            ``select_on='test'`` takes the best threshold *on the evaluated set*.
        frame_rule: Ground-truth frame: 'wsol', 'tscam', 'sat' or 'short'.
        frame_size: (H, W) or side of the evaluation frame. Default: the network frame.
        resize_size: Side before the crop, for 'sat' and 'short'.
        gt_mode: 'any' or 'first' ground-truth box.
        iou: 'plus_one' or 'continuous'.
        strict_topk: Top-k Loc needs IoU > ``iou_thr``, not only >=.
        map_class: Map of the 'gt' class, of the 'pred' (top-1) class, or the 'agnostic' one. A
            single class-agnostic map serves for 'gt' and 'pred' too.
        iou_thr: IoU bar. Default .5.
        topk: Values of k. Default (1, 5); () for a model without classes.
        errors: Add ``loc_error/part``, ``more``, ``multi_instance``, ``wrong`` and ``cls``, in
            percent. Default False.
        error_box: Box that the errors are counted for: the 'fixed' one that the other values are
            for, or 'oracle', the best of all thresholds for every image (DiPS).
        iou_stats: Add ``loc/iou_median_all`` and ``loc/iou_median_correct`` (of the boxes that reach
            ``iou_thr``), IoU in percent, and the histogram of correct boxes to ``curve``. Default
            False.
        collect_device: See mmengine's ``BaseMetric``.
        prefix: Prefix of the keys. Default 'loc'.
        collect_dir: See mmengine's ``BaseMetric``.

    Attributes:
        protocol: What the numbers mean.
        curve: After an evaluation: ``threshold`` (T,) and the accuracies (T,) by metric name; with
            ``iou_stats`` also ``iou_edge`` (11,), the edges .50, .55, ..., 1 of the bins, and
            ``iou_count`` (10,), how many boxes lie in each (the last includes 1), to be divided by
            the number of correct boxes or of images ``iou_images`` (1,).
        searching: Whether the threshold is searched on the evaluated set.
    """

    default_prefix = "loc"

    def __init__(
        self,
        protocol: str = "tscam",
        map_to_box: dict | None = None,
        threshold: float | dict | None = None,
        frame_rule: str | None = None,
        frame_size: int | Sequence[int] | None = None,
        resize_size: int | None = None,
        gt_mode: str | None = None,
        iou: str | None = None,
        strict_topk: bool | None = None,
        map_class: str | None = None,
        iou_thr: float = 0.5,
        topk: Sequence[int] = (1, 5),
        errors: bool = False,
        error_box: str = "fixed",
        iou_stats: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        check_option("protocol", protocol, tuple(LOC_SWITCHES))
        given = {
            "frame_rule": frame_rule,
            "gt_mode": gt_mode,
            "iou": iou,
            "strict_topk": strict_topk,
            "map_class": map_class,
        }
        switches = LOC_SWITCHES[protocol] | {k: v for k, v in given.items() if v is not None}
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
        check_option("map_class", switches["map_class"], MAP_CLASSES)
        self.strict_topk = bool(switches["strict_topk"])
        self.map_class = switches["map_class"]
        check_option("error_box", error_box, ("fixed", "oracle"))
        self.iou_thr, self.topk, self.errors, self.iou_stats = iou_thr, tuple(topk), errors, iou_stats
        self.oracle = error_box == "oracle"
        self.map_to_box: Any = None if map_to_box is None else TASK_UTILS.build(map_to_box)
        self.thresholds, self.select_by, self.select_on = self._thresholds(threshold)
        self.searching = self.select_on == "test"
        if self.oracle and len(self.thresholds) < 2:
            raise ValueError("error_box='oracle' needs several thresholds: threshold=dict(grid=...)")
        self.protocol = {
            "name": protocol,
            **self.protocol,
            "map_class": self.map_class,
            "iou_thr": iou_thr,
            "strict_topk": self.strict_topk,
            "box_rule": "of the model" if self.map_to_box is None else self.map_to_box.rule,
            "threshold": "of the model" if self.map_to_box is None else self.thresholds.tolist(),
            "threshold_source": "fixed",
        }
        if errors:
            self.protocol["error_box"] = error_box
        if self.select_by is not None:
            self.protocol["threshold_source"] = {
                "val": f"best {self.select_by} on the validation set",
                "test": f"best {self.select_by} on the EVALUATED set (select_on='test')",
            }[self.select_on]

    @property
    def at_model_threshold(self) -> bool:
        """Whether the values are those at the model's threshold, beside the curve over the grid."""
        return self.select_by is not None and not self.searching

    def _thresholds(self, threshold: float | dict | None) -> tuple[np.ndarray, str | None, str]:
        """Return the thresholds (T,) to evaluate, by which value and on which set to choose one."""
        if self.map_to_box is None:
            if threshold is not None or self.frame_size is not None:
                raise ValueError(
                    "threshold= and frame_size= need map_to_box=: without it the model's own boxes are evaluated"
                )
            return np.array([np.nan]), None, ""  # the model's own
        if threshold is None:
            return np.array([self.map_to_box.get_threshold()]), None, ""
        select_by, select_on = None, ""
        if isinstance(threshold, dict):
            unknown = set(threshold) - {"grid", "select_by", "select_on"}
            if unknown or "grid" not in threshold:
                raise ValueError(f"threshold takes grid, select_by and select_on, got {threshold}")
            select_by, select_on = threshold.get("select_by", "gt_known"), threshold.get("select_on", "val")
            check_option("select_by", select_by, SELECT_BY)
            check_option("select_on", select_on, ("val", "test"))
            if "top1" in select_by and 1 not in self.topk:
                raise ValueError(f"select_by={select_by!r} needs 1 in topk, got {self.topk}")
            if select_by == "each" and select_on == "val":
                raise ValueError("select_by='each' gives no single threshold to keep: it needs select_on='test'")
            given = threshold["grid"]
            grid = threshold_grid(given) if isinstance(given, (int, float)) else np.asarray(given, np.float64)
        else:
            given, grid = [threshold], np.array([threshold], np.float64)
        if grid.ndim != 1 or not len(grid) or grid.min() < 0 or grid.max() >= 1:
            raise ValueError(f"thresholds must lie in [0, 1), got {given}")
        return grid, select_by, select_on

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Append (image id, rank of the ground-truth class, IoU (T,), error codes) per sample.

        IoU is None for an image without ground-truth boxes. The codes are (T,), or (1,) for the
        oracle box. With a calibrated model, its threshold comes before those of the grid.
        """
        for sample in data_samples:
            label, rank = gt_label(sample), -1
            if self.topk or self.errors:
                rank = _rank(pred_scores(sample), label)
            gt, img_id = self.gt_boxes(sample), field(sample, "img_id")
            if not len(gt):
                self.results.append((img_id, rank, None, None))
                continue
            self.results.append((img_id, rank, *self._score(self._boxes(sample), gt, rank == 0)))

    def _score(self, boxes: list[np.ndarray], gt: np.ndarray, correct: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return IoU (T,) and error codes of the boxes (n, 4) at T thresholds."""
        distinct = {id(found): found for found in boxes}  # thresholds with the same mask share an array
        start = np.cumsum([0, *map(len, distinct.values())])[:-1]
        every = np.concatenate(list(distinct.values()))
        per_box = box_iou(every, gt, self.plus_one).max(axis=1)
        column = dict(zip(distinct, range(len(distinct)), strict=True))
        columns = np.array([column[id(found)] for found in boxes])
        iou = np.maximum.reduceat(per_box, start)[columns]
        if not self.errors:
            return iou, np.zeros(0, np.uint8)
        if self.oracle:
            chosen = [every[per_box.argmax()]]
        else:
            chosen = [
                found[per_box[i : i + len(found)].argmax()] for i, found in zip(start, distinct.values(), strict=True)
            ]
        codes = [
            ERROR_TYPES.index(localization_error(box, gt, correct, self.plus_one, self.iou_thr, self.strict_topk))
            for box in chosen
        ]
        return iou, np.array(codes, np.uint8)[[0] if self.oracle else columns]

    def _boxes(self, sample: dict) -> list[np.ndarray]:
        """Return the boxes (n, 4) of a sample for every threshold."""
        if self.map_to_box is None:
            if "box_rule" in sample:  # the localizer writes down how it made the boxes
                rule = dict(sample["box_rule"])
                self.protocol.update(threshold=rule.pop("threshold"), box_rule=rule)
            pred = field(sample, "pred_instances")
            boxes = as_boxes(to_numpy(pred["frame_bboxes"]))
            labels = to_numpy(pred["labels"]).ravel()
            if len(boxes) != len(labels):
                raise ValueError(f"image {sample.get('img_id')!r}: {len(boxes)} boxes, {len(labels)} labels")
            k = choose_map(sample, labels, self.map_class)
            return [boxes[k : k + 1]]
        thresholds = self.thresholds
        if self.at_model_threshold:
            thresholds = np.append(self._model_threshold(sample), thresholds)
        maps, size = select_map(sample, self.map_class), self.frame(sample)
        return named_call(sample["img_id"], self._boxes_of_maps, maps, size, thresholds)

    def _boxes_of_maps(self, maps: np.ndarray, size: tuple[int, int], thresholds: np.ndarray) -> list[np.ndarray]:
        scoremap = self.map_to_box.scoremap(maps, size)[0]
        if len(thresholds) == 1:
            return [self.map_to_box.boxes(scoremap, float(thresholds[0]))]
        return self.map_to_box.boxes_at(scoremap, thresholds)

    def _model_threshold(self, sample: dict) -> float:
        """Return the threshold that the localizer wrote down, if it is one for this box rule."""
        rule = dict(sample.get("box_rule") or {})
        threshold = rule.pop("threshold", None)
        if threshold is None:
            raise ValueError(
                "threshold=dict(select_on='val') evaluates at the threshold of the model, which must be a localizer "
                "with a box rule; dict(select_on='test') takes the best on the evaluated set"
            )
        if rule != self.map_to_box.rule:
            raise ValueError(
                f"the model's threshold is one for its own box rule {rule}; this metric has {self.map_to_box.rule}: "
                "give both the same map_to_box"
            )
        self.protocol["threshold"] = threshold
        return threshold

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the accuracies in percent.

        Raises:
            ValueError: If no image has boxes, or an image comes twice.
        """
        self.check_records(results)
        with_boxes = [record for record in results if record[2] is not None]
        if not with_boxes:
            raise ValueError(
                f"LocAccuracy: none of {len(results)} images has a ground-truth box; evaluate classification only"
            )
        rank = np.array([record[1] for record in with_boxes])[:, None]
        iou = np.stack([record[2] for record in with_boxes])
        known = iou >= self.iou_thr
        localized = iou > self.iou_thr if self.strict_topk else known
        values = {"gt_known": 100.0 * known.mean(axis=0)}
        for k in self.topk:
            values[f"top{k}"] = 100.0 * ((rank < k) & localized).mean(axis=0)
        best = 0
        metrics = {}
        if self.searching and self.select_by == "each":
            index = {name: int(row.argmax()) for name, row in values.items()}
            best = index["gt_known"]
            metrics = {name: float(row[index[name]]) for name, row in values.items()}
            self.protocol["threshold"] = {name: float(self.thresholds[i]) for name, i in index.items()}
        elif self.searching:
            best = int(sum(values[name] for name in str(self.select_by).split("+")).argmax())
            self.protocol["threshold"] = float(self.thresholds[best])
        if not metrics:
            metrics = {name: float(row[best]) for name, row in values.items()}
        if self.searching and self.select_by != "each":
            metrics["threshold"] = self.protocol["threshold"]
        if self.errors:
            codes = np.stack([record[3] for record in with_boxes])[:, 0 if self.oracle else best]
            for code, name in enumerate(ERROR_TYPES):
                if name != "right":
                    metrics[f"error/{name}"] = float(100.0 * (codes == code).mean())
        first = 1 if self.at_model_threshold else 0
        self.curve = {"threshold": self.thresholds, **{name: row[first:] for name, row in values.items()}}
        if self.iou_stats:
            metrics |= self._iou_stats(iou[:, best])
        self.log_protocol(len(with_boxes))
        return metrics

    def _iou_stats(self, iou: np.ndarray) -> dict[str, float]:
        """Return the medians and put the histogram of the boxes with IoU >= .5 into the curve."""
        correct = iou[iou >= self.iou_thr]
        self.curve["iou_edge"] = IOU_EDGES
        self.curve["iou_count"] = np.histogram(iou, IOU_EDGES)[0]
        self.curve["iou_images"] = np.array([len(iou)])
        return {
            "iou_median_all": float(100.0 * np.median(iou)),
            "iou_median_correct": float(100.0 * np.median(correct)) if len(correct) else 0.0,
        }

    def evaluate(self, size: int) -> dict[str, float]:
        """Evaluate as mmengine does; the errors get the prefix ``loc_error`` of their own."""
        metrics = super().evaluate(size)
        old, new = f"{self.prefix}/error/", f"{self.prefix}_error/"
        return {name.replace(old, new): value for name, value in metrics.items()}


def _rank(scores: np.ndarray, label: int) -> int:
    """Return how many classes come before ``label``; equal scores rank by class index."""
    if not 0 <= label < len(scores):
        raise ValueError(f"gt_label {label} is outside the {len(scores)} classes of pred_score")
    return int((scores > scores[label]).sum() + (scores[:label] == scores[label]).sum())
