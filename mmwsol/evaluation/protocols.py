"""Protocols of the literature: everything that decides what a number means, as data.

Numbers of different protocols are not comparable: frame, box rule, IoU and choice of the threshold
differ. Several can be evaluated in one pass over the same maps, each under its own prefix:

    cfg.test_evaluator = [
        *cfg.test_evaluator, *protocol_metrics("wsol_v2"), *protocol_metrics("tscam", "CUB")]

In a config file, write the same dicts out; ``print(protocol_metrics(...))`` shows them. A protocol of your own is one
instance: ``protocol_metrics(PROTOCOLS["wsol_v2"].changed(name="mine", gt_mode="first"))``, or one more entry of
:data:`PROTOCOLS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from mmwsol.registry import METRICS

from .functional import FRAME_RULES, threshold_grid

MAP_CLASSES = ("gt", "pred", "agnostic")
V2_CONTOURS = ("all", "largest")
IOUS = ("plus_one", "continuous")
GT_MODES = ("any", "first")
ERROR_BOXES = ("fixed", "oracle")
SELECT_BY = ("gt_known", "top1", "gt_known+top1", "each")
SELECT_ON = ("val", "test")


def check_option(name: str, value: Any, allowed: Sequence) -> None:
    """Raise ``ValueError`` naming ``value`` if it is not allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {tuple(allowed)}, got {value!r}")


@dataclass(frozen=True)
class Search:
    """The search of a threshold.

    Args:
        grid: The thresholds, or a step (.01: 0, .01, ...).
        select_by: 'gt_known', 'top1' or their sum 'gt_known+top1': the threshold with the highest value, the first on
            ties; 'each': every value takes its own. Defaults to 'gt_known'.
        select_on: 'val': on the validation set that ``mmwsol.ThresholdCalibrationHook`` watches; everywhere else the
            values are those at the model's threshold. 'test': on the *evaluated* set. Defaults to 'val'.

    Raises:
        ValueError: If an option has another value, or 'each' is to be searched on 'val'.
    """

    grid: float | Sequence[float]
    select_by: str = "gt_known"
    select_on: str = "val"

    def __post_init__(self) -> None:
        check_option("select_by", self.select_by, SELECT_BY)
        check_option("select_on", self.select_on, SELECT_ON)
        if self.select_by == "each" and self.select_on == "val":
            raise ValueError("select_by='each' gives no single threshold to keep: it needs select_on='test'")

    def thresholds(self) -> np.ndarray:
        """Return the thresholds (T,), float64."""
        return as_thresholds(self.grid)

    def source(self) -> str:
        """Say in words which threshold this gives."""
        images = "validation set" if self.select_on == "val" else "EVALUATED set (select_on='test')"
        return f"best {self.select_by} on the {images}"


@dataclass(frozen=True)
class Protocol:
    """What a number means.

    Metrics take a protocol by name, as an instance, or as a dict, ``dict(name='wsol_v2', gt_mode='first')``; they
    differ only in what they count. A field may also be given to a metric directly.

    Args:
        name: Name.
        frame_rule: How ground-truth boxes get into the frame of the maps, see
            :data:`mmwsol.evaluation.functional.FRAME_RULES`.
        resize_size: Side before the crop, for the frame rules 'sat' and 'short'. Defaults to None: that of the rule.
        map_to_box: Config of the box rule, in the registry TASK_UTILS.
        multi_contour: Whether the best of all contours counts, not the largest (``MaxBoxAcc``).
        v2_contour: Contours of ``max_box_acc_v2``: 'all', as wsolevaluation defines MaxBoxAccV2, thus only with
            ``multi_contour``; or the 'largest' alone, whose mean over IoU thresholds SAT and DiPS report by that name.
        map_class: Map of the 'gt' class, of the 'pred' (top-1) class, or the 'agnostic' one. A single class-agnostic
            map serves for 'gt' and 'pred' too.
        gt_mode: 'any' ground-truth box may match, or only the 'first' of the list.
        iou: 'plus_one' or 'continuous', see :func:`mmwsol.evaluation.functional.box_iou`.
        iou_thr: IoU threshold of GT-known and Top-k Loc.
        iou_thrs: IoU thresholds of MaxBoxAccV2.
        strict_topk: Whether Top-k Loc needs IoU > ``iou_thr``, not only >=.
        threshold: Of the box rule: a number, a :class:`Search`, or None: one that must be given.
        published: Thresholds of the papers and codes, by data set.
        error_box: Box that the kinds of errors are counted for: the 'fixed' one of the other values, or 'oracle', the
            best of all thresholds for every image.
        metrics: Metrics that the papers report, :class:`mmwsol.evaluation.metrics.BaseLocMetric`: configs without what
            the protocol says.

    Raises:
        ValueError: If a field has a value that is not listed.
    """

    name: str
    frame_rule: str = "wsol"
    resize_size: int | None = None
    map_to_box: Mapping[str, Any] = field(default_factory=lambda: _contour("wsol"))
    multi_contour: bool = False
    v2_contour: str = "all"
    map_class: str = "gt"
    gt_mode: str = "any"
    iou: str = "plus_one"
    iou_thr: float = 0.5
    iou_thrs: tuple[float, ...] = (0.3, 0.5, 0.7)
    strict_topk: bool = False
    threshold: float | Search | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    error_box: str = "fixed"
    metrics: tuple[Mapping[str, Any], ...] = ({"type": "mmwsol.LocAccuracy", "errors": True},)

    def __post_init__(self) -> None:
        check_option("frame_rule", self.frame_rule, tuple(FRAME_RULES))
        check_option("v2_contour", self.v2_contour, V2_CONTOURS)
        check_option("map_class", self.map_class, MAP_CLASSES)
        check_option("gt_mode", self.gt_mode, GT_MODES)
        check_option("iou", self.iou, IOUS)
        check_option("error_box", self.error_box, ERROR_BOXES)
        if self.v2_contour == "largest" and self.multi_contour:
            raise ValueError("v2_contour='largest' needs multi_contour=False: there is one max_box_acc_v2")
        if not len(self.iou_thrs) or min(self.iou_thrs) <= 0 or max(self.iou_thrs) > 1:
            raise ValueError(f"iou_thrs must lie in (0, 1], got {self.iou_thrs}")

    @property
    def plus_one(self) -> bool:
        """Whether IoU counts both end pixels."""
        return self.iou == "plus_one"

    @property
    def searches(self) -> bool:
        """Whether the threshold is searched, and need not be given."""
        return isinstance(self.threshold, Search)

    def changed(self, **overrides: Any) -> Protocol:
        """Return the protocol with other values of some fields; ``threshold`` may be a dict.

        Raises:
            ValueError: If there is no such field, or a value is not allowed.
        """
        names = [item.name for item in fields(self)]
        for name in overrides:
            check_option("a field of a protocol", name, names)
        if "threshold" in overrides:
            overrides["threshold"] = _as_policy(overrides["threshold"])
        if "iou_thrs" in overrides:
            overrides["iou_thrs"] = tuple(overrides["iou_thrs"])
        return replace(self, **overrides)


def as_thresholds(given: float | Sequence[float]) -> np.ndarray:
    """Return a step or a list of thresholds as float64 (T,), in their order.

    Raises:
        ValueError: If one lies outside [0, 1), or there is none.
    """
    grid = threshold_grid(given) if isinstance(given, (int, float)) else np.asarray(given, np.float64)
    if grid.ndim != 1 or not len(grid) or not (grid.min() >= 0 and grid.max() < 1):  # NaN lies nowhere
        raise ValueError(f"thresholds must lie in [0, 1), got {given}")
    return grid


def _as_policy(threshold: Any) -> float | Search | None:
    if not isinstance(threshold, Mapping):
        return threshold
    if not {"grid"} <= threshold.keys() <= {"grid", "select_by", "select_on"}:
        raise ValueError(f"threshold takes grid, select_by and select_on, got {dict(threshold)}")
    return Search(**threshold)


def _contour(preset: str) -> dict[str, str]:
    return {"type": "mmwsol.ContourBox", "preset": preset}


_BOX_ACC = ({"type": "mmwsol.MaxBoxAcc"},)
_LOC = ({"type": "mmwsol.LocAccuracy"},)
BEST = Search(0.01, "gt_known", "test")  # what 'best' means for a protocol with one threshold
_BEST_OF_EACH = Search(0.001, "each", "test")

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        # wsolevaluation: MaxBoxAcc and MaxBoxAccV2
        Protocol("wsol_v1", threshold=_BEST_OF_EACH, metrics=_BOX_ACC),
        Protocol(
            "wsol_v2",
            map_to_box=_contour("wsol_v2"),
            multi_contour=True,
            threshold=_BEST_OF_EACH,
            metrics=_BOX_ACC,
        ),
        Protocol(  # TS-CAM, TRT
            "tscam",
            frame_rule="tscam",
            map_to_box=_contour("tscam"),
            strict_topk=True,
            published={"CUB": 0.10, "ILSVRC": 0.12},
        ),
        Protocol(  # TRT's table of MaxBoxAccV2 holds one threshold, thus no maximum, and the first box only
            "trt_v2",
            frame_rule="tscam",
            map_to_box=_contour("trt_v2"),
            multi_contour=True,
            gt_mode="first",
            published={"CUB": 0.10, "ILSVRC": 0.12},
            metrics=_BOX_ACC,
        ),
        Protocol(  # MaxBoxAcc at the same threshold: the paper's values for IoU .3, .5 and .7
            "sat",
            frame_rule="sat",
            map_to_box={"type": "mmwsol.ComponentBox", "preset": "sat"},
            v2_contour="largest",
            map_class="agnostic",
            published={"CUB": 0.4, "ILSVRC": 0.3},
            metrics=_LOC + _BOX_ACC,
        ),
        Protocol(
            "cdtr",
            frame_rule="short",
            map_to_box=_contour("cdtr"),
            map_class="pred",
            gt_mode="first",
            iou="continuous",
            published={"CUB": 0.20, "ILSVRC": 0.19},
            metrics=_LOC,
        ),
        Protocol(
            "locloc",
            frame_rule="short",
            map_to_box=_contour("locloc"),
            map_class="agnostic",
            gt_mode="first",
            iou="continuous",
            published={"CUB": 0.5, "ILSVRC": 0.4},
            metrics=_LOC,
        ),
        Protocol(  # every value has its own best of 1000 thresholds on the evaluated set, errors the image's best box
            "dips",
            map_to_box=_contour("dips"),
            v2_contour="largest",
            threshold=_BEST_OF_EACH,
            error_box="oracle",
            metrics=(*_BOX_ACC, {"type": "mmwsol.LocAccuracy", "errors": True}),
        ),
    )
}


def get_protocol(protocol: str | Protocol | Mapping[str, Any], **overrides: Any) -> Protocol:
    """Return a protocol by its name, from a dict with a name and fields that differ, or as it is.

    Raises:
        ValueError: If there is none of that name, or a field does not exist or has a value that is not allowed.
    """
    if isinstance(protocol, Mapping):
        overrides = {**{key: value for key, value in protocol.items() if key != "name"}, **overrides}
        protocol = protocol.get("name", "")
    if not isinstance(protocol, Protocol):
        check_option("protocol", protocol, tuple(PROTOCOLS))
        protocol = PROTOCOLS[str(protocol)]
    return protocol.changed(**overrides) if overrides else protocol


def given_threshold(protocol: Protocol, threshold: float | str | None) -> float | None:
    """Return the threshold that goes with a protocol as a number; None where the protocol searches its own.

    Args:
        protocol: Protocol.
        threshold: A number, or a data set whose published threshold is meant.

    Raises:
        ValueError: If it is missing, not needed, or no number was published for it.
    """
    if protocol.searches:
        if threshold is not None:
            raise ValueError(f"protocol {protocol.name!r} searches its threshold, got threshold={threshold!r}")
        return None
    if isinstance(threshold, str) and threshold in protocol.published:
        return protocol.published[threshold]
    number = protocol.threshold if threshold is None else threshold
    if number is None or isinstance(number, (str, Search)):
        raise ValueError(
            f"protocol {protocol.name!r} needs threshold=: a number, or one of {tuple(protocol.published)} for the "
            f"published one, got {threshold!r}"
        )
    return number


def parse_threshold(text: str) -> float | str:
    """Read a threshold of a command line: a number, 'best', or a data set with published thresholds.

    Raises:
        ValueError: If it is something else.
    """
    names = {name for protocol in PROTOCOLS.values() for name in protocol.published}
    if text in {*names, "best"}:
        return text
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"threshold must be a number, {', '.join(sorted(names))} or 'best', got '{text}'") from error


def protocol_metrics(
    name: str | Protocol,
    threshold: float | str | None = None,
    prefix: str | None = None,
    scores: bool = True,
    curve_step: float | None = None,
    **overrides: Any,
) -> list[dict[str, Any]]:
    """Return the metrics of a protocol, as configs for an evaluator.

    Args:
        name: One of :data:`PROTOCOLS`, or a protocol.
        threshold: A number, 'CUB' or 'ILSVRC' for the published one, or 'best', the one of 0, .01, ... with the highest
            GT-known on the evaluated set. Needed by the protocols that do not search a grid.
        prefix: Prefix of the keys. Defaults to None: the name.
        scores: Whether there are class scores: without, there is no Top-k. Defaults to True.
        curve_step: Step of further thresholds for the curves. Defaults to None: none.
        **overrides: Further arguments of the metrics. A metric that does not know one refuses it.

    Raises:
        ValueError: On an unknown name, a missing threshold, or one that the protocol does not take.
    """
    protocol = get_protocol(name)
    best = threshold == "best" and not protocol.searches
    policy = BEST if best else given_threshold(protocol, threshold)
    known = PROTOCOLS.get(protocol.name) is protocol
    configs = []
    for metric in protocol.metrics:
        config: dict[str, Any] = {**metric, "protocol": protocol.name if known else protocol}
        metric_class: Any = METRICS.get(metric["type"])
        if metric_class is None:
            raise ValueError(f"protocol {protocol.name!r}: there is no metric {metric['type']!r}")
        config |= metric_class.config_of(protocol, policy, scores, curve_step)
        configs.append({**config, **overrides, "prefix": prefix or protocol.name})
    return configs
