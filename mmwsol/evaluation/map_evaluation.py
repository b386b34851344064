"""Evaluation of stored maps under named protocols, and its results file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric

from mmwsol.registry import METRICS

from .functional import best_iou_per_level, box_iou, boxes_per_level, default_bbox, end_boxes, localization_error
from .functional.contours import LEVELS
from .map_files import MapFiles, read_ground_truth, read_scores
from .metrics.base import BaseLocMetric, select_map
from .protocols import THRESHOLDS, protocol_metrics
from .results_file import frame_to_original

CURVE_STEP = 0.01  # of the curves of protocols with a fixed threshold
Progress = Callable[[Iterable], Iterable]
# What a map covers, by the frame rule of the ground truth.
_GEOMETRY = {
    "wsol": "the whole image",
    "tscam": "the whole image",
    "sat": "the centre of the squashed image",
    "short": "the centre of the image",
}


def build_runs(
    names: Sequence[str],
    threshold: float | str | None = None,
    iou_thrs: Sequence[float] = (0.3, 0.5, 0.7),
    frame: tuple[int, int] = (224, 224),
    scores: bool = False,
    keep: bool = True,
) -> list[ProtocolRun]:
    """Build the metrics of named protocols.

    Args:
        names: Names in :data:`mmwsol.evaluation.protocols.PROTOCOLS`. One alone has the prefix 'loc', several have
            their names.
        threshold: For the protocols with one threshold: a number, 'CUB' or 'ILSVRC' for the published one, or 'best',
            the one of 0, .01, ... with the highest GT-known on the evaluated set itself.
        iou_thrs: IoU bars of ``MaxBoxAcc``.
        frame: (H, W) of the evaluation frame.
        scores: Whether there are class scores: without, there is no Top-k.
        keep: See :class:`ProtocolRun`.

    Raises:
        ValueError: If a name is unknown or comes twice, a threshold is missing or not needed, or the protocols assume
            maps of different parts of the image.
    """
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"name every protocol once, got {list(names)}")
    if threshold is not None and not set(names) & set(THRESHOLDS):
        raise ValueError(f"protocols {list(names)} search their thresholds: leave out threshold={threshold!r}")
    runs = []
    for name in names:
        fixed = name in THRESHOLDS
        given = (0.0 if threshold == "best" else threshold) if fixed else None
        configs = protocol_metrics(name, given, "loc" if len(names) == 1 else name, frame_size=frame)
        for config in configs:
            best = fixed and threshold == "best"
            if config["type"] == "mmwsol.MaxBoxAcc":
                config["iou_thrs"] = tuple(iou_thrs)
                if best:
                    config["thresholds"] = CURVE_STEP
                continue
            if best:
                config["threshold"] = dict(grid=CURVE_STEP, select_by="gt_known", select_on="test")
            if not scores:
                config |= dict(topk=(), errors=False, error_box="fixed")
        runs.append(ProtocolRun(name, [METRICS.build(config) for config in configs], keep))
    frames = {_GEOMETRY[run.metric.frame_rule]: run.name for run in runs}
    if len(frames) > 1:
        listed = ", ".join(f"'{name}' of {what}" for what, name in frames.items())
        raise ValueError(
            f"these protocols cannot share maps: {listed}. A map belongs to one frame, that of the test pipeline that "
            "made it: evaluate the protocols one by one, each on maps of its own frame"
        )
    return runs


class _Runs(NamedTuple):
    """Rows that change seldom along an axis: the row ``values[n]`` holds from index ``starts[n]`` on."""

    starts: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> _Runs:
        flat = rows.reshape(len(rows), -1)
        changed = (flat[1:] != flat[:-1]).any(axis=1)
        starts = np.concatenate([[0], np.flatnonzero(changed) + 1])
        return cls(starts.astype(np.uint16), rows[starts])

    def at(self, index: int) -> np.ndarray:
        return self.values[np.searchsorted(self.starts, index, side="right") - 1]


def threshold_boxes(rule: Any, scoremap: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Find the box of the largest region at every threshold.

    Args:
        rule: A box rule, ``ContourBox`` or ``ComponentBox``.
        scoremap: (H, W) evaluated map, ``rule.scoremap(...)[k]``.
        thresholds: (T,) rising thresholds.

    Returns:
        float64 (T, 4), row t equal to ``rule.boxes(scoremap, thresholds[t])`` of the rule's largest region.
    """
    size = (scoremap.shape[0], scoremap.shape[1])
    found = []
    for u8_map, level in rule.level_maps(scoremap, thresholds):
        levels = boxes_per_level(u8_map, rule.mode("largest"))
        length = levels.high - levels.low + 1
        at = np.arange(length.sum()) + np.repeat(levels.low - (np.cumsum(length) - length), length)
        table = np.repeat(default_bbox(rule.rule["default_box"], size), LEVELS, axis=0)
        table[at] = np.repeat(end_boxes(levels.boxes, size, rule.rule["box_end"]), length, axis=0)
        found.append(table[level])
    return np.concatenate(found)


class ProtocolRun:
    """One protocol on its way over the images: its metrics, and what the results file tells about every image.

    Args:
        name: Protocol.
        metrics: ``LocAccuracy`` with a ``map_to_box`` or ``MaxBoxAcc``. Images are reported under the first.
        keep: Whether to keep per-image boxes and IoUs, and curves. They cost a second sweep over each map and about
            2 kB an image.
    """

    def __init__(self, name: str, metrics: Sequence[BaseLocMetric], keep: bool = True) -> None:
        self.name, self.metrics, self.keep = name, metrics, keep
        self.metric: Any = metrics[0]
        metric = self.metric
        self.sweeps = hasattr(metric, "multi_contour")  # MaxBoxAcc
        self.multi = self.sweeps and metric.multi_contour
        self.values: dict[str, float] = {}
        self._boxes: list[_Runs | None] = []
        self._ious: list[_Runs | None] = []
        self._hits: dict[str, np.ndarray] = {}
        self._images = 0
        self.thresholds = metric.thresholds
        if not self.sweeps:
            self.thresholds = np.union1d(metric.thresholds, np.arange(0, 1, CURVE_STEP))

    def process(self, samples: Sequence[dict]) -> None:
        """Take a batch of data samples."""
        for metric in self.metrics:
            metric.process(None, samples)
        for sample in samples if self.keep else ():
            gt = self.metric.gt_boxes(sample)
            if not len(gt):
                self._boxes.append(None)
                self._ious.append(None)
                continue
            rule = self.metric.map_to_box
            scoremap = rule.scoremap(select_map(sample, self.metric.map_class), self.metric.frame(sample))[0]
            # Protocols that differ only in the contours they take share this sweep; the sample carries it.
            options = tuple((name, option) for name, option in rule.rule.items() if name != "contour")
            key = (type(rule), options, self.metric.map_class, self.thresholds.tobytes())
            swept = sample.setdefault("threshold_boxes", {})
            if key not in swept:
                swept[key] = threshold_boxes(rule, scoremap, self.thresholds)
            boxes = swept[key]
            if self.multi:
                iou = self._best_of_all(rule, scoremap, gt)
            else:
                iou = box_iou(boxes, gt, self.metric.plus_one).max(axis=1)
            self._boxes.append(_Runs.of(boxes.astype(np.int16)))
            self._ious.append(_Runs.of(iou))
            if not self.sweeps:
                self._count(sample, iou)

    def _best_of_all(self, rule: Any, scoremap: np.ndarray, gt: np.ndarray) -> np.ndarray:
        """Return the best IoU (T,) of any region at every threshold, as ``MaxBoxAcc`` for V2."""
        size = (scoremap.shape[0], scoremap.shape[1])
        default, found = default_bbox(rule.rule["default_box"], size), []
        for u8_map, level in rule.level_maps(scoremap, self.thresholds):
            regions = boxes_per_level(u8_map, rule.mode("all"))
            regions = regions._replace(boxes=end_boxes(regions.boxes, size, rule.rule["box_end"]))
            found.append(best_iou_per_level(regions, gt, default, self.metric.plus_one)[level])
        return np.concatenate(found)

    def _count(self, sample: dict, iou: np.ndarray) -> None:
        """Add an image to the curves of GT-known and Top-k."""
        bar = self.metric.iou_thr
        hits = {"gt_known": iou >= bar}
        if self.metric.topk:
            order = np.argsort(-np.asarray(sample["pred_score"]), kind="stable").tolist()
            localized = iou > bar if self.metric.strict_topk else iou >= bar
            rank = order.index(int(sample["gt_label"]))
            hits |= {f"top{k}": localized & (rank < k) for k in self.metric.topk}
        for name, hit in hits.items():
            self._hits[name] = self._hits.get(name, 0) + hit.astype(np.int64)
        self._images += 1

    def finish(self, size: int) -> None:
        """Compute the metrics over ``size`` images."""
        self.values = {key: value for metric in self.metrics for key, value in metric.evaluate(size).items()}

    @property
    def threshold(self) -> float:
        """Threshold at which images are reported: the metric's; for ``MaxBoxAcc`` the best one at IoU .5."""
        if not self.sweeps:
            return float(np.atleast_1d(self.metric.protocol["threshold"])[0])
        bars = self.metric.iou_thrs.tolist()
        curve = self.metric.curve["multi" if self.multi else "single"]
        return float(self.thresholds[curve[bars.index(0.5)].argmax()])

    def curve(self) -> dict[str, list]:
        """Return thresholds and accuracies in percent: (T,) or, for ``MaxBoxAcc``, (D, T) for D IoU bars."""
        if self.sweeps:
            left_out = "single" if self.multi else ""  # wsol_v1 shows it
            return {name: values.tolist() for name, values in self.metric.curve.items() if name != left_out}
        curve = {name: (100.0 * hits / self._images).tolist() for name, hits in self._hits.items()}
        return {"threshold": self.thresholds.tolist(), **curve}

    def image(self, index: int, item: dict, class_correct: bool) -> dict[str, Any] | None:
        """Return box (original pixels), IoU and kind of error of an image; None if it has no ground-truth box.

        Args:
            index: Place of the image in the order of :meth:`process`.
            item: Its ground truth.
            class_correct: Whether the top-1 class is right, for the kind of error.

        Returns:
            ``bbox`` of the largest region, ``iou`` and ``error``. Where all contours compete (MaxBoxAccV2), ``iou`` is
            that of the best of them and ``error`` None.
        """
        runs, ious = self._boxes[index], self._ious[index]
        if runs is None or ious is None:
            return None
        metric, size = self.metric, self.metric.frame(item)
        at = int(np.searchsorted(self.thresholds, self.threshold))
        box = runs.at(at).astype(np.float64)
        error = None
        if not self.multi:
            bar, strict = getattr(metric, "iou_thr", 0.5), getattr(metric, "strict_topk", False)
            error = localization_error(box, metric.gt_boxes(item), class_correct, metric.plus_one, bar, strict)
        original = frame_to_original(box[None], item["ori_shape"], size, metric.frame_rule, metric.resize_size)[0]
        return {"bbox": original.tolist(), "iou": float(ious.at(at)), "error": error}


def evaluate_maps(
    items: Sequence[dict[str, Any]],
    maps: MapFiles,
    runs: Sequence[ProtocolRun],
    frame: tuple[int, int] = (224, 224),
    scores: Mapping[str, np.ndarray] | None = None,
    masks: BaseMetric | None = None,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate stored maps under several protocols in one pass.

    Args:
        items: Ground truth, see :func:`mmwsol.evaluation.map_files.read_ground_truth`.
        maps: Maps that were matched with the ids of ``items``.
        runs: The protocols, see :func:`build_runs`.
        frame: (H, W) of the evaluation frame. Default (224, 224).
        scores: Class scores (C,) by image id, where Top-k is wanted.
        masks: Metric ``PxAP``, for images with masks.
        batch_size: Images that a metric gets at once. Default 32.
        progress: Wraps the sequence of batches, to show a bar.

    Returns:
        What :func:`mmwsol.evaluation.results_file.save_results` writes: ``metrics``, ``protocol``, ``curves`` and
        ``predictions``.

    Raises:
        ValueError: As the maps and the metrics raise it.
    """
    batches = [range(start, min(start + batch_size, len(items))) for start in range(0, len(items), batch_size)]
    for batch in batches if progress is None else progress(batches):
        samples = [_sample(items[i], maps, frame, scores) for i in batch]
        for run in runs:
            run.process(samples)
        if masks is not None:
            masks.process(None, samples)
    results: dict[str, Any] = {"metrics": {}, "protocol": {}, "curves": {}, "predictions": []}
    for run in runs:
        run.finish(len(items))
        results["metrics"] |= run.values
        for index, metric in enumerate(run.metrics):
            results["protocol"][f"{run.name}/{type(metric).__name__}" if index else run.name] = metric.protocol
        if run.keep:
            results["curves"][run.name] = run.curve()
    if masks is not None:
        results["metrics"] |= masks.evaluate(len(items))
        results["protocol"][type(masks).__name__] = getattr(masks, "protocol", {})
    results["class_scores"] = "none: kinds of errors take the class for right" if scores is None else "given"
    if all(run.keep for run in runs):
        results["predictions"] = [_record(i, item, runs, scores, frame) for i, item in enumerate(items)]
    return results


def evaluate_files(
    maps: str | Path,
    meta: str | Path,
    protocols: Sequence[str] = ("wsol_v1", "wsol_v2"),
    threshold: float | str | None = None,
    iou_thrs: Sequence[float] = (0.3, 0.5, 0.7),
    frame: tuple[int, int] = (224, 224),
    scores: str | Path | None = None,
    bad_maps: str = "error",
    ignore_extra_maps: bool = False,
    keep: bool = True,
    progress: Progress | None = None,
    **ground_truth: Any,
) -> dict[str, Any]:
    """Evaluate maps in files against a list in a file: what ``tools/analysis_tools/eval_maps.py`` does.

    Args:
        maps: See :class:`mmwsol.evaluation.map_files.MapFiles`, also for ``bad_maps``.
        meta: See :func:`mmwsol.evaluation.map_files.read_ground_truth`.
        protocols: See :func:`build_runs`, also for ``threshold`` and ``iou_thrs``.
        threshold: As there.
        iou_thrs: As there.
        frame: (H, W) of the evaluation frame. Default (224, 224).
        scores: File of class scores, see :func:`mmwsol.evaluation.map_files.read_scores`.
        bad_maps: 'error' or 'zero'.
        ignore_extra_maps: Whether maps may belong to no image.
        keep: Whether the results get ``curves`` and ``predictions``.
        progress: See :func:`evaluate_maps`, also for the result.
        **ground_truth: Further arguments of :func:`mmwsol.evaluation.map_files.read_ground_truth`; with ``mask_root``,
            PxAP and pIoU are computed.

    Raises:
        FileNotFoundError, ValueError: As the files and the metrics raise it.
    """
    # What can be wrong with the options comes before anything slow.
    runs = build_runs(protocols, threshold, iou_thrs, frame, scores is not None, keep)
    masks = None
    if ground_truth.get("mask_root"):
        masks = METRICS.build(dict(type="mmwsol.PxAP", cache_masks=False))
        if runs[0].metric.frame_rule not in ("wsol", "tscam"):
            raise ValueError(f"PxAP needs maps of the whole image, protocol '{runs[0].name}' has others: leave one out")
    items, classes = read_ground_truth(meta, **ground_truth)
    if masks is not None and not any(len(item["gt_bboxes_ori"]) for item in items):
        runs = []  # a set with masks only, such as OpenImages
    ids = [item["img_id"] for item in items]
    source = MapFiles(maps, classes, bad_maps)
    source.match(ids, ignore_extra_maps)
    table = None if scores is None else read_scores(scores, ids)
    results = evaluate_maps(items, source, runs, frame, table, masks, progress=progress)
    results["num_zeroed_maps"] = source.num_zeroed
    return results


def _sample(
    item: dict[str, Any],
    maps: MapFiles,
    frame: tuple[int, int],
    scores: Mapping[str, np.ndarray] | None,
) -> dict[str, Any]:
    """Return the data sample that a model's ``predict`` would have made."""
    found, labels = maps.load(item["img_id"], frame)
    sample = {**item, "img_shape": frame, "pred_maps": {"maps": found, "labels": labels}}
    if scores is not None:
        sample["pred_score"] = scores[item["img_id"]]
    return sample


def _record(
    index: int,
    item: dict[str, Any],
    runs: Sequence[ProtocolRun],
    scores: Mapping[str, np.ndarray] | None,
    frame: tuple[int, int],
) -> dict[str, Any]:
    """Return the entry of an image in the results file, with the fields of ``PredictionDumpHook``."""
    record: dict[str, Any] = {name: item[name] for name in ("img_id", "img_path")}
    record["ori_shape"] = [int(side) for side in item["ori_shape"]]
    record["img_shape"] = list(frame)
    record["gt_label"] = int(item["gt_label"])
    record["gt_bboxes"] = np.asarray(item["gt_bboxes_ori"], np.float64).tolist()
    correct = True
    if scores is not None:
        own = np.asarray(scores[item["img_id"]])
        best = np.argsort(-own, kind="stable")[:5].tolist()
        record["pred_label"] = best[0]
        record["pred_score"] = {"labels": best, "scores": own[best].tolist()}
        correct = best[0] == record["gt_label"]
    sample = {**item, "img_shape": frame}
    record["evaluated"] = {run.name: run.image(index, sample, correct) for run in runs}
    return record
