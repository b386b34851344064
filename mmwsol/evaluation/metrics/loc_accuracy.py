"""Top-1, Top-5 and GT-known localization accuracy under the protocols of the papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mmwsol.evaluation.functional import ERROR_TYPES, ThresholdBoxes, box_iou, localization_error, threshold_boxes
from mmwsol.evaluation.protocols import Protocol, Search, as_thresholds
from mmwsol.evaluation.record import Steps, Track
from mmwsol.registry import METRICS, TASK_UTILS

from .base import BaseLocMetric, frame_size, known_rank
from .record_pool import named_call
from .sample import class_rank, field, model_threshold, rule_settings
from .score_maps import ScoreMaps, chosen_map

IOU_EDGES = np.arange(10, 21) / 20  # .50, .55, ..., 1


class LocHits(NamedTuple):
    """One image at T thresholds. ``iou`` is None without ground-truth boxes."""

    img_id: str
    rank: int | None  # classes before the ground-truth class; None if no value asks for it
    iou: Any  # array (T,)
    errors: Any  # array of codes of ERROR_TYPES: (T,), or (1,) where only one counts
    track: Track | None = None  # if records are kept


@METRICS.register_module()
class LocAccuracy(BaseLocMetric):
    """Localization accuracy: GT-known, Top-1 and Top-5 Loc, in percent of the images that have boxes.

    GT-known counts an image if the box of the chosen map has IoU >= ``iou_thr`` with the ground
    truth; Top-k Loc if moreover the ground-truth class is among the k best (TS-CAM and TRT then ask
    for IoU > ``iou_thr``).

    Args:
        protocol: See :class:`BaseLocMetric`. Defaults to 'tscam' (TRT too).
        map_to_box: Config of a TASK_UTIL, e.g. ``dict(type='mmwsol.ContourBox', preset='tscam',
            threshold=.1)``: boxes are made here from ``pred_maps``. Defaults to None: the model's own
            boxes, ``pred_instances.frame_bboxes``. Where their box rule is another one than the protocol's, the
            description and the log say so. 'model': by the model's rule, with a search of the threshold, see
            :class:`mmwsol.ThresholdCalibrationHook`.
        threshold: For ``map_to_box``: a number; or a search, ``dict(grid=..., select_by='gt_known',
            select_on='val')``, see :class:`mmwsol.evaluation.protocols.Search`. Defaults to None: that of
            ``map_to_box``, or else the protocol's.
        topk: Values of k. Defaults to (1, 5); () for a model without classes.
        errors: Whether to add ``loc_error/part``, ``more``, ``multi_instance``, ``wrong`` and ``cls``, in
            percent; all ground-truth boxes count for them, whatever ``gt_mode`` says of the accuracies.
            Defaults to False.
        iou_stats: Whether to add ``loc/iou_median_all`` and ``loc/iou_median_correct`` (of the boxes that reach
            ``iou_thr``), IoU in percent, and the histogram of correct boxes to ``curve``. Defaults to
            False.
        curve_step: Step of further thresholds for ``curve``, beside a single one that counts. Defaults to None: none.
        prefix: Prefix of the keys. Defaults to 'loc'.
        **overrides: Fields of the protocol that differ, such as ``gt_mode='any'``.

    Attributes:
        curve: After an evaluation: ``threshold`` (T,) and the accuracies (T,) by metric name, none for boxes of a
            model that does not tell its threshold; with ``iou_stats`` also ``iou_edge`` (11,), the edges
            .50, .55, ..., 1 of the bins, and ``iou_count`` (10,), how many boxes lie in each (the last
            includes 1), to be divided by the number of correct boxes or of images ``iou_images`` (1,).
        thresholds: Thresholds (T,) of the boxes that are made here; none where the model makes them.
        search: The search of the threshold, None for a single one.
        searching: Whether the threshold is searched on the evaluated set, see :meth:`start_search`.
        records: At the threshold that counts for GT-known.
    """

    default_prefix = "loc"

    def __init__(
        self,
        protocol: str | Protocol | Mapping[str, Any] = "tscam",
        map_to_box: Mapping[str, Any] | str | None = None,
        threshold: float | Mapping[str, Any] | None = None,
        topk: Sequence[int] = (1, 5),
        errors: bool = False,
        iou_stats: bool = False,
        curve_step: float | None = None,
        prefix: str | None = None,
        **overrides: Any,
    ) -> None:
        if threshold is not None:
            overrides["threshold"] = threshold
        super().__init__(protocol, overrides, prefix)
        self.topk, self.errors, self.iou_stats = tuple(topk), errors, iou_stats
        self.oracle = self.protocol.error_box == "oracle"
        self.rule_of_model = map_to_box == "model"
        if isinstance(map_to_box, Mapping):
            self.map_to_box = TASK_UTILS.build(dict(map_to_box))
        elif map_to_box not in (None, "model"):
            raise ValueError(f"map_to_box must be the config of a box rule, 'model' or None, got {map_to_box!r}")
        policy = self._policy(threshold)
        self.search = policy if isinstance(policy, Search) else None
        self.searching = self.search is not None and self.search.select_on == "test"
        if self.search is not None:
            self.thresholds = self.search.thresholds()
            if "top1" in self.search.select_by and 1 not in self.topk:
                raise ValueError(f"select_by={self.search.select_by!r} needs 1 in topk, got {self.topk}")
        else:
            self.thresholds = np.zeros(0) if self.map_to_box is None else as_thresholds([policy])
        self.given_threshold = None if policy is None or self.search is not None else float(policy)
        if curve_step is not None and self.search is None:
            if self.map_to_box is None:
                raise ValueError("curve_step= needs map_to_box=: the model's own boxes have one threshold")
            self.thresholds = np.union1d(self.thresholds, as_thresholds(curve_step))
        if errors and self.oracle and len(self.thresholds) < 2:
            raise ValueError("error_box='oracle' needs several thresholds: threshold=dict(grid=...)")
        self._describe()

    def _policy(self, threshold: Any) -> Any:
        """Return the threshold, or its search; None for the model's own boxes."""
        if self.rule_of_model:
            if not isinstance(self.protocol.threshold, Search):
                raise ValueError("map_to_box='model' needs a search, threshold=dict(grid=..., select_on='val')")
            return self.protocol.threshold
        if self.map_to_box is None:
            if threshold is not None:
                raise ValueError("threshold= needs map_to_box=: without it the model's own boxes are evaluated")
            return None
        if threshold is not None or (
            np.isnan(float(self.map_to_box.threshold)) and self.protocol.threshold is not None
        ):
            return self.protocol.threshold
        return self.map_to_box.get_threshold()

    def _describe(self) -> None:
        protocol, of_model = self.protocol, self.map_to_box is None and not self.rule_of_model
        self.description |= {
            "map_class": protocol.map_class,
            "iou_thr": protocol.iou_thr,
            "strict_topk": protocol.strict_topk,
            "box_rule": "of the model",
            "threshold": "of the model" if of_model else self.thresholds.tolist(),
            "threshold_source": self.search.source() if self.search else "fixed",
        }
        if self.given_threshold is not None:
            self.description["threshold"] = [self.given_threshold]
        if self.map_to_box is not None:
            self.describe_box_rule(rule_settings(self.map_to_box), "metric")
        if self.errors:
            self.description["error_box"] = protocol.error_box

    @property
    def at_model_threshold(self) -> bool:
        """Whether the values are those at the model's threshold, beside the curve over the grid."""
        return self.search is not None and not self.searching

    @property
    def reported_index(self) -> int | None:
        """Which of the boxes of a result is at the threshold that is reported, None while it is searched."""
        if self.searching:
            return None
        if self.given_threshold is None:  # the model's, before those of the curve
            return 0
        return int(np.searchsorted(self.thresholds, self.given_threshold))

    @classmethod
    def config_of(
        cls,
        protocol: Protocol,
        threshold: float | Search | None,
        scores: bool = True,
        curve_step: float | None = None,
    ) -> dict[str, Any]:
        """Return arguments for boxes by the protocol's own rule, see :meth:`BaseLocMetric.config_of`."""
        policy = threshold if threshold is not None or not protocol.searches else protocol.threshold
        config = {"map_to_box": dict(protocol.map_to_box), **super().config_of(protocol, policy)}
        if not scores:
            config |= dict(topk=(), errors=False)
        if curve_step is not None:
            config["curve_step"] = curve_step
        return config

    def start_search(self) -> None:
        """Search the threshold on the images of the next evaluation, which are those of ``select_on='val'``.

        Raises:
            ValueError: If the metric has no search.
        """
        if self.search is None:
            raise ValueError("there is no threshold to search: give threshold=dict(grid=..., select_on='val')")
        self.searching = True

    def stop_search(self) -> None:
        """Evaluate at the model's threshold again, if the search is not one on every evaluated set."""
        self.searching = self.search is not None and self.search.select_on == "test"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Append a :class:`LocHits` per sample. With a calibrated model, its threshold comes before the grid."""
        self.results += [self._hits(sample) for sample in data_samples]

    def _hits(self, sample: dict) -> LocHits:
        img_id = field(sample, "img_id")
        rank = class_rank(sample) if self.topk or self.errors else None
        gt = self.gt_boxes(sample)
        if not len(gt):
            return LocHits(img_id, rank, None, None)
        boxes = self._boxes(sample)
        iou_of_box = box_iou(boxes.boxes, gt, self.protocol.plus_one).max(axis=1)
        rows = boxes.best(iou_of_box)
        errors = np.zeros(0, np.uint8)
        if self.errors:
            every = self.gt_boxes(sample, gt_mode="any")  # an error may be that the box covers several of them
            index = self.reported_index
            counted = np.array([iou_of_box.argmax()]) if self.oracle else rows if index is None else rows[[index]]
            errors = self._codes(boxes.boxes, counted, every, rank == 0)
        track = None
        if self.keep_records:
            steps = Steps.of(boxes.boxes[rows]), Steps.of(iou_of_box[rows])
            track = Track(*steps, gt, self.frame(sample), known_rank(sample))
        return LocHits(img_id, rank, iou_of_box[rows], errors, track)

    def _codes(self, boxes: np.ndarray, rows: np.ndarray, gt: np.ndarray, correct: bool) -> np.ndarray:
        """Return the code of the kind of error of every row."""
        protocol = self.protocol
        distinct, index = np.unique(rows, return_inverse=True)
        kinds = [
            localization_error(boxes[row], gt, correct, protocol.plus_one, protocol.iou_thr, protocol.strict_topk)
            for row in distinct
        ]
        return np.array([ERROR_TYPES.index(kind) for kind in kinds], np.uint8)[index]

    def _boxes(self, sample: dict) -> ThresholdBoxes:
        """Return the boxes of a sample at every threshold."""
        self.check_rule()
        if self.map_to_box is None:
            return _of_one_threshold(self.model_box(sample))
        thresholds = self.thresholds
        if self.at_model_threshold:
            thresholds = np.append(self._model_threshold(sample), thresholds)
        maps, index = chosen_map(sample, self.protocol.map_class)
        return named_call(sample["img_id"], self._boxes_of_map, maps, index, frame_size(sample), thresholds)

    def _boxes_of_map(
        self, maps: ScoreMaps, index: int, size: tuple[int, int], thresholds: np.ndarray
    ) -> ThresholdBoxes:
        rule = self.map_to_box
        if len(thresholds) == 1:
            return _of_one_threshold(rule.boxes(maps.scoremap(rule, index, size), float(thresholds[0])))
        order = np.argsort(thresholds, kind="stable")
        [pieces] = maps.sweep(rule, index, size, thresholds[order], [rule.rule["contour"]])
        return threshold_boxes(pieces, rule.default_box(size)).reordered(order)

    def _model_threshold(self, sample: dict) -> float:
        """Return the threshold that the localizer wrote down, if it is one for this box rule."""
        threshold = model_threshold(sample, rule_settings(self.map_to_box))
        self.description["threshold"] = threshold
        return threshold

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Compute the accuracies in percent.

        Raises:
            ValueError: If no image has boxes, or an image comes twice.
        """
        self.check_results(results)
        hits = [LocHits(*result) for result in results]  # mmengine hands plain tuples
        scored = [result for result in hits if result.iou is not None]
        if not scored:
            raise ValueError(
                f"LocAccuracy: none of {len(results)} images has a ground-truth box; evaluate classification only"
            )
        iou = np.stack([result.iou for result in scored])
        known = iou >= self.protocol.iou_thr
        localized = iou > self.protocol.iou_thr if self.protocol.strict_topk else known
        values = {"gt_known": 100.0 * known.mean(axis=0)}
        rank = np.array([result.rank for result in scored])[:, None]
        for k in self.topk:
            values[f"top{k}"] = 100.0 * ((rank < k) & localized).mean(axis=0)
        metrics, index = self._at_threshold(values)
        if self.errors:
            codes = np.stack([result.errors for result in scored])
            codes = codes[:, 0 if codes.shape[1] == 1 else index]
            for code, name in enumerate(ERROR_TYPES):
                if name != "right":
                    metrics[f"error/{name}"] = float(100.0 * (codes == code).mean())
        self.curve = self._curve(values)
        if self.iou_stats:
            metrics |= self._iou_stats(iou[:, index])
        self._keep(hits, index)
        self.log_description(len(scored), len(hits) - len(scored))
        return metrics

    def _curve(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return thresholds (T,) and accuracies (T,); empty where the model does not tell its threshold."""
        if self.map_to_box is None:
            threshold = self.description["threshold"]
            return {} if isinstance(threshold, str) else {"threshold": np.array([float(threshold)]), **values}
        first = 1 if self.at_model_threshold else 0
        return {"threshold": self.thresholds, **{name: row[first:] for name, row in values.items()}}

    def _at_threshold(self, values: dict[str, np.ndarray]) -> tuple[dict[str, float], int]:
        """Return the values at the threshold that counts, and its index; it is searched here if it is to be."""
        reported = self.reported_index
        if reported is not None:
            return {name: float(row[reported]) for name, row in values.items()}, reported
        select_by = self.search.select_by if self.search is not None else "gt_known"
        if select_by == "each":
            index = {name: int(row.argmax()) for name, row in values.items()}
            self.description["threshold"] = {name: float(self.thresholds[i]) for name, i in index.items()}
            return {name: float(row[index[name]]) for name, row in values.items()}, index["gt_known"]
        best = int(np.sum([values[name] for name in select_by.split("+")], axis=0).argmax())
        threshold = float(self.thresholds[best])
        self.description["threshold"] = threshold
        return {**{name: float(row[best]) for name, row in values.items()}, "threshold": threshold}, best

    def _keep(self, results: list[LocHits], index: int) -> None:
        """Make the records at the threshold that counts."""
        self.records = {}
        for img_id, _, _, errors, track in results if self.keep_records else ():
            if track is None:
                self.records[img_id] = None
                continue
            if errors is not None and len(errors):
                error = ERROR_TYPES[errors[0 if len(errors) == 1 else index]]
            else:
                error = track.error(index, self.protocol)
            self.records[img_id] = track.record(img_id, index, error)

    def _iou_stats(self, iou: np.ndarray) -> dict[str, float]:
        """Return the medians and put the histogram of the boxes with IoU >= .5 into the curve."""
        correct = iou[iou >= self.protocol.iou_thr]
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


def _of_one_threshold(boxes: np.ndarray) -> ThresholdBoxes:
    return ThresholdBoxes(boxes, np.zeros(1, np.int64), np.zeros(1, np.int64))
