"""Named protocols of the literature: parameter sets of the metrics, nothing else.

Numbers of different protocols are not comparable: frame, box rule, IoU and choice of the threshold
differ. Several can be evaluated in one pass over the same maps, each under its own prefix:

    cfg.test_evaluator = [
        *cfg.test_evaluator, *protocol_metrics("wsol_v2"), *protocol_metrics("tscam", "CUB")]

In a config file, write the same dicts out; ``print(protocol_metrics(...))`` shows them.
"""

from __future__ import annotations

import copy
from typing import Any

# Switches of LocAccuracy, by the official code they come from.
_TSCAM: dict[str, Any] = {
    "frame_rule": "tscam",
    "gt_mode": "any",
    "iou": "plus_one",
    "strict_topk": True,
    "map_class": "gt",
}
_SHORT: dict[str, Any] = {
    "frame_rule": "short",
    "gt_mode": "first",
    "iou": "continuous",
    "strict_topk": False,
    "map_class": "agnostic",
}
LOC_SWITCHES: dict[str, dict[str, Any]] = {
    "tscam": _TSCAM,  # also TRT
    "wsol": dict(_TSCAM, frame_rule="wsol", strict_topk=False),  # also DiPS
    "sat": dict(_TSCAM, frame_rule="sat", strict_topk=False, map_class="agnostic"),
    "cdtr": dict(_SHORT, map_class="pred"),
    "locloc": _SHORT,
}


def _contour(preset: str) -> dict[str, str]:
    return {"type": "mmwsol.ContourBox", "preset": preset}


_SAT_BOX = {"type": "mmwsol.ComponentBox", "preset": "sat"}
# None: one threshold, which must be given.
PROTOCOLS: dict[str, list[dict[str, Any]]] = {
    "wsol_v1": [dict(type="mmwsol.MaxBoxAcc", map_to_box=_contour("wsol"), multi_contour=False)],
    "wsol_v2": [dict(type="mmwsol.MaxBoxAcc", map_to_box=_contour("wsol_v2"))],
    "tscam": [
        dict(type="mmwsol.LocAccuracy", protocol="tscam", map_to_box=_contour("tscam"), threshold=None, errors=True)
    ],
    # The table of the paper holds one threshold, thus no maximum, and the first box only.
    "trt_v2": [
        dict(
            type="mmwsol.MaxBoxAcc",
            map_to_box=_contour("trt_v2"),
            thresholds=None,
            frame_rule="tscam",
            gt_mode="first",
        )
    ],
    # MaxBoxAcc at the same threshold: the paper's values for IoU .3, .5 and .7.
    "sat": [
        dict(type="mmwsol.LocAccuracy", protocol="sat", map_to_box=_SAT_BOX, threshold=None),
        dict(
            type="mmwsol.MaxBoxAcc",
            map_to_box=_SAT_BOX,
            thresholds=None,
            multi_contour=False,
            frame_rule="sat",
            map_class="agnostic",
        ),
    ],
    "cdtr": [dict(type="mmwsol.LocAccuracy", protocol="cdtr", map_to_box=_contour("cdtr"), threshold=None)],
    "locloc": [dict(type="mmwsol.LocAccuracy", protocol="locloc", map_to_box=_contour("locloc"), threshold=None)],
    # Every value takes its own best of 1000 thresholds on the evaluated set, errors the best box of the image.
    "dips": [
        dict(type="mmwsol.MaxBoxAcc", map_to_box=_contour("dips"), multi_contour=False),
        dict(
            type="mmwsol.LocAccuracy",
            protocol="wsol",
            map_to_box=_contour("dips"),
            threshold=dict(grid=0.001, select_by="each", select_on="test"),
            errors=True,
            error_box="oracle",
        ),
    ],
}
# What the papers and codes use, by data set.
THRESHOLDS: dict[str, dict[str, float]] = {
    "tscam": {"CUB": 0.10, "ILSVRC": 0.12},
    "trt_v2": {"CUB": 0.10, "ILSVRC": 0.12},
    "sat": {"CUB": 0.4, "ILSVRC": 0.3},
    "cdtr": {"CUB": 0.20, "ILSVRC": 0.19},
    "locloc": {"CUB": 0.5, "ILSVRC": 0.4},
}


def protocol_metrics(
    name: str, threshold: float | str | None = None, prefix: str | None = None, **overrides: Any
) -> list[dict[str, Any]]:
    """Return the metrics of a named protocol, as configs for an evaluator.

    Args:
        name: 'wsol_v1', 'wsol_v2', 'tscam', 'trt_v2', 'sat', 'cdtr', 'locloc' or 'dips'.
        threshold: A number, or 'CUB' or 'ILSVRC' for the published one. Needed by all but the
            first two and 'dips', which search a grid.
        prefix: Prefix of the keys. Default: the name.
        **overrides: Further arguments of the metrics. A metric that does not know one refuses it.

    Raises:
        ValueError: On an unknown name, a missing threshold, or one that the protocol does not take.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {tuple(PROTOCOLS)}, got {name!r}")
    published = THRESHOLDS.get(name)
    if published is None and threshold is not None:
        raise ValueError(f"protocol {name!r} searches its threshold, got threshold={threshold!r}")
    if published is not None:
        if isinstance(threshold, str) and threshold in published:
            threshold = published[threshold]
        if threshold is None or isinstance(threshold, str):
            raise ValueError(
                f"protocol {name!r} needs threshold=: a number, or one of {tuple(published)} for the published "
                f"one, got {threshold!r}"
            )
    metrics = copy.deepcopy(PROTOCOLS[name])
    for metric in metrics:
        if "threshold" in metric and metric["threshold"] is None:
            metric["threshold"] = threshold
        if "thresholds" in metric and metric["thresholds"] is None:
            metric["thresholds"] = [threshold]
        metric.update(overrides, prefix=prefix or name)
    return metrics
