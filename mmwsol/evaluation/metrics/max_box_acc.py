"""MaxBoxAcc and MaxBoxAccV2 (Choe et al., wsolevaluation), exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mmwsol.evaluation.functional import best_ious, box_acc, threshold_boxes
from mmwsol.evaluation.protocols import Protocol, Search, as_thresholds
from mmwsol.evaluation.record import Steps, Track
from mmwsol.registry import METRICS

from .base import BaseLocMetric, frame_size, known_rank
from .sample import field, model_threshold, rule_settings
from .score_maps import ScoreMaps, chosen_map


class BoxHits(NamedTuple):
    """One image: at which thresholds it is localized. ``single`` is None without ground-truth boxes."""

    img_id: str
    single: Any  # packed bits (D, T) of the largest contour as bytes, for D IoU thresholds
    multi: Any  # of all contours; None if they do not count
    track: Track | None = None  # if records are kept


@METRICS.register_module()
class MaxBoxAcc(BaseLocMetric):
    """Box accuracy at the threshold that is best on the evaluated set, in percent.

    ``loc/max_box_acc`` takes the largest contour at IoU .5; ``loc/max_box_acc_v2`` the best of all
    contours, and is the mean over IoU .3, .5 and .7, each at its own best threshold. Values per IoU
    are ``max_box_acc@50``, ..., the (first) best thresholds ``max_box_acc_threshold`` and
    ``max_box_acc_v2_threshold@50``, ... The defaults give the numbers of wsolevaluation: GT-class
    map, bicubic in float64, 1000 thresholds. With the protocols 'sat' and 'dips' ``max_box_acc_v2`` is
    what these papers call so, the mean over IoU of the largest contour.

    Args:
        protocol: See :class:`BaseLocMetric`. Of its box rule, resize, normalization and box ends matter; ``contour``
            and ``threshold`` do not. Defaults to 'wsol_v2'.
        threshold: A number; ``dict(grid=...)``, the best on the evaluated set for every value, of the step 0, step, ...
            (wsolevaluation .001) or of a list that rises; or 'model': the threshold of the model, a localizer whose
            box rule makes the same map. Defaults to None: that of the protocol.
        prefix: Prefix of the keys. Defaults to 'loc'.
        num_threads: Threads that compute boxes while the next batch is in the network; 0 computes
            them at once. Defaults to None: 4, or the number of CPUs if that is smaller.
        **overrides: Fields of the protocol that differ, such as ``multi_contour=False`` (without V2),
            ``frame_rule='sat'`` or ``iou_thrs=(0.5,)`` (those of V2). ``map_to_box='model'``: the model's rule, see
            :class:`mmwsol.ThresholdCalibrationHook`.

    Raises:
        ValueError: On an unknown option; in :meth:`process`, if the threshold of the model is needed and it has none,
            or one for another box rule.

    Attributes:
        curve: After an evaluation: ``threshold`` (T,), ``iou_thr`` (D,), accuracies ``single`` and
            ``multi`` (D, T).
        records: At the threshold that is best at IoU .5, of all contours if they count.
    """

    default_prefix = "loc"

    def __init__(
        self,
        protocol: str | Protocol | Mapping[str, Any] = "wsol_v2",
        threshold: float | Mapping[str, Any] | str | None = None,
        prefix: str | None = None,
        num_threads: int | None = None,
        **overrides: Any,
    ) -> None:
        self.of_model = threshold == "model"
        self.rule_of_model = overrides.get("map_to_box") == "model"
        if self.rule_of_model:
            del overrides["map_to_box"]
        if isinstance(threshold, Mapping):
            overrides["threshold"] = {"select_by": "each", "select_on": "test", **threshold}
        elif threshold is not None and not self.of_model:
            overrides["threshold"] = threshold
        super().__init__(protocol, overrides, prefix, num_threads)
        protocol = self.protocol
        self.thresholds: Any = None if self.of_model else self._grid()
        self.v2_thrs = [float(iou_thr) for iou_thr in protocol.iou_thrs]
        self.iou_thrs = np.array(sorted({0.5, *self.v2_thrs}))
        self.contours = ("largest", "all") if protocol.multi_contour else ("largest",)
        if not self.rule_of_model:
            self.map_to_box = self.protocol_box_rule
        self.description |= {
            "map_class": protocol.map_class,
            "multi_contour": protocol.multi_contour,
            "box_rule": "of the model" if self.rule_of_model else self._rule_of_map(),
            "threshold": "of the model",
            "threshold_source": "fixed",
        }
        if self.thresholds is not None and len(self.thresholds) > 1:
            first, last = self.thresholds[0], self.thresholds[-1]
            self.description["threshold"] = f"{len(self.thresholds)} values from {first:g} to {last:g}"
            self.description["threshold_source"] = "best on the evaluated set, for every IoU threshold"
        elif self.thresholds is not None:
            self.description["threshold"] = float(self.thresholds[0])

    def _rule_of_map(self) -> dict[str, Any]:
        """Return the settings of the box rule that matter here: which contours count is the protocol's."""
        return {name: value for name, value in rule_settings(self.map_to_box).items() if name != "contour"}

    def take_rule(self, rule: Any) -> None:
        """Make boxes by the box rule of the model from now on."""
        self.map_to_box = rule
        self.description["box_rule"] = self._rule_of_map()

    def _grid(self) -> np.ndarray:
        """Return the thresholds (T,) of the protocol."""
        policy = self.protocol.threshold
        if policy is None:
            raise ValueError(f"protocol {self.protocol.name!r} needs a threshold: give threshold=")
        if isinstance(policy, Search) and policy.select_on == "val":
            raise ValueError(
                "MaxBoxAcc takes the best threshold of the evaluated set, select_on='test', got 'val'; for the "
                "threshold that the model keeps, give threshold='model'"
            )
        grid = policy.thresholds() if isinstance(policy, Search) else as_thresholds([policy])
        if (np.diff(grid) <= 0).any():
            raise ValueError(f"thresholds must rise, got {grid.tolist()}")
        return grid

    @classmethod
    def config_of(
        cls,
        protocol: Protocol,
        threshold: float | Search | None,
        scores: bool = True,
        curve_step: float | None = None,
    ) -> dict[str, Any]:
        """Return the threshold, see :meth:`BaseLocMetric.config_of`; of a search, every value takes its own."""
        if isinstance(threshold, Search):
            return {"threshold": {"grid": threshold.grid}}
        return super().config_of(protocol, threshold)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Append a :class:`BoxHits` per sample."""
        self.check_rule()
        self.pool.settle(self.results)
        for sample in data_samples:
            gt, img_id = self.gt_boxes(sample), field(sample, "img_id")
            if not len(gt):
                self.results.append(BoxHits(img_id, None, None))
                continue
            if self.of_model:
                # contours and box ends may be others
                needed = {"type": type(self.map_to_box).__name__, **dict(self.map_to_box.map_options())}
                self._take_threshold(model_threshold(sample, needed, "map_to_box, as far as the map goes"))
            maps, index = chosen_map(sample, self.protocol.map_class)
            size = frame_size(sample)
            frame_and_rank = (self.frame(sample), known_rank(sample)) if self.keep_records else None
            self.pool.submit(self.results, img_id, self._hits, img_id, maps, index, size, gt, frame_and_rank)

    def _take_threshold(self, threshold: float) -> None:
        """Evaluate at the threshold of the model; all images of an evaluation share it."""
        if self.results and self.thresholds is not None and self.thresholds.tolist() != [threshold]:
            raise ValueError(f"the threshold of the model changed from {self.thresholds[0]:g} to {threshold:g}")
        self.thresholds = np.array([threshold])
        self.description["threshold"] = threshold

    def _hits(
        self,
        img_id: str,
        maps: ScoreMaps,
        index: int,
        size: tuple[int, int],
        gt: np.ndarray,
        frame_and_rank: tuple | None,
    ) -> BoxHits:
        sweeps = maps.sweep(self.map_to_box, index, size, self.thresholds, self.contours)
        default = self.map_to_box.default_box(size)
        ious = [best_ious(pieces, gt, default, self.protocol.plus_one) for pieces in sweeps]
        track = None
        if frame_and_rank is not None:
            frame, rank = frame_and_rank
            largest = threshold_boxes(sweeps[0], default)
            boxes = largest.boxes[largest.start[largest.mask]]
            track = Track(Steps.of(boxes), Steps.of(ious[-1]), gt, frame, rank)
        return BoxHits(img_id, self._pack(ious[0]), self._pack(ious[1]) if len(ious) > 1 else None, track)

    def _pack(self, iou: np.ndarray) -> bytes:
        return np.packbits(iou >= self.iou_thrs[:, None]).tobytes()

    def _unpack(self, hits: list[bytes]) -> np.ndarray:
        """Return bool (N, D, T)."""
        shape = (len(self.iou_thrs), len(self.thresholds))
        rows = np.frombuffer(b"".join(hits), np.uint8).reshape(len(hits), -1)
        bits = np.unpackbits(rows, axis=1, count=shape[0] * shape[1])
        return bits.reshape(-1, *shape).astype(bool)

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Compute the accuracies in percent.

        Raises:
            ValueError: If no image has boxes, or an image comes twice.
        """
        self.check_results(results)
        hits = [BoxHits(*result) for result in results]  # mmengine hands plain tuples
        scored = [result for result in hits if result.single is not None]
        if not scored:
            raise ValueError(
                f"MaxBoxAcc: none of {len(results)} images has a ground-truth box; evaluate classification only"
            )
        curves, best, index = box_acc(self._unpack([result.single for result in scored]))
        self.curve = {"threshold": self.thresholds, "iou_thr": self.iou_thrs, "single": curves}
        columns = self.iou_thrs.tolist()
        half = columns.index(0.5)
        metrics = {"max_box_acc": float(best[half])}
        for iou_thr in self.v2_thrs:
            metrics[f"max_box_acc@{_name(iou_thr)}"] = float(best[columns.index(iou_thr)])
        metrics["max_box_acc_threshold"] = float(self.thresholds[index[half]])
        if self.protocol.v2_contour == "largest":  # excludes the other definition
            metrics["max_box_acc_v2"] = float(best[[columns.index(iou_thr) for iou_thr in self.v2_thrs]].mean())
        if self.protocol.multi_contour:
            curves, best, index = box_acc(self._unpack([result.multi for result in scored]))
            self.curve["multi"] = curves
            chosen = [columns.index(iou_thr) for iou_thr in self.v2_thrs]
            metrics["max_box_acc_v2"] = float(best[chosen].mean())
            for d, iou_thr in zip(chosen, self.v2_thrs, strict=True):
                metrics[f"max_box_acc_v2@{_name(iou_thr)}"] = float(best[d])
                metrics[f"max_box_acc_v2_threshold@{_name(iou_thr)}"] = float(self.thresholds[index[d]])
        self._keep(hits, int(index[half]))
        self.log_description(len(scored), len(hits) - len(scored))
        return metrics

    def _keep(self, results: list[BoxHits], index: int) -> None:
        """Make the records at one of the thresholds."""
        self.records = {}
        if not self.keep_records:
            return
        for img_id, _, _, track in results:
            if track is None:
                self.records[img_id] = None
                continue
            error = None if self.protocol.multi_contour else track.error(index, self.protocol)
            self.records[img_id] = track.record(img_id, index, error)


def _name(iou_thr: float) -> str:
    """Write an IoU threshold in percent: .5 as '50'."""
    return f"{100 * iou_thr:g}"
