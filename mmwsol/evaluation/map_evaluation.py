"""Evaluation of stored maps under named protocols, by the metrics that evaluate a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmwsol.registry import METRICS

from .functional import FRAME_RULES
from .ground_truth import read_ground_truth
from .map_dump import read_frame
from .map_files import MapFiles
from .metrics import BaseLocMetric
from .protocols import get_protocol, protocol_metrics
from .results_file import assemble, image_entry, records_of
from .score_files import read_scores

CURVE_STEP = 0.01  # of the curves of protocols with one threshold
Progress = Callable[[Iterable], Iterable]


def evaluator_configs(
    names: Sequence[str],
    threshold: float | str | None = None,
    scores: bool = True,
    curve_step: float | None = None,
    **overrides: Any,
) -> dict[str, dict[str, Any]]:
    """Return the configs of the metrics of several protocols by title.

    Args:
        names: Names in :data:`mmwsol.evaluation.protocols.PROTOCOLS`. One alone has the prefix 'loc', several have
            their names.
        threshold: For the protocols with one threshold: a number, 'CUB' or 'ILSVRC' for the published one, or 'best',
            the one of 0, .01, ... with the highest GT-known on the evaluated set itself.
        scores: Whether there are class scores: without, there is no Top-k. Defaults to True.
        curve_step: Step of further thresholds for the curves. Defaults to None: none.
        **overrides: Fields of the protocols that differ.

    Raises:
        ValueError: If a name is unknown or comes twice, a threshold is missing or not needed, or the protocols assume
            maps of different parts of the image.
    """
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"name every protocol once, got {list(names)}")
    protocols = [get_protocol(name) for name in names]
    if threshold is not None and all(protocol.searches for protocol in protocols):
        raise ValueError(f"protocols {list(names)} search their thresholds: leave out threshold={threshold!r}")
    configs: dict[str, dict[str, Any]] = {}
    for protocol in protocols:
        given = None if protocol.searches else threshold
        prefix = "loc" if len(names) == 1 else protocol.name
        for config in protocol_metrics(protocol.name, given, prefix, scores, curve_step, **overrides):
            short = config["type"].removeprefix("mmwsol.")
            configs[f"{protocol.name}_{short}" if protocol.name in configs else protocol.name] = config
    parts = {FRAME_RULES[protocol.frame_rule].covers: protocol.name for protocol in protocols}
    if len(parts) > 1:
        listed = ", ".join(f"'{name}' of {part}" for part, name in parts.items())
        raise ValueError(
            f"these protocols cannot share maps: {listed}. A map belongs to one frame, that of the test pipeline that "
            "made it: evaluate the protocols one by one, each on maps of its own frame"
        )
    return configs


def build_metrics(
    names: Sequence[str],
    threshold: float | str | None = None,
    iou_thrs: Sequence[float] = (0.3, 0.5, 0.7),
    scores: bool = False,
    keep: bool = True,
) -> dict[str, BaseLocMetric]:
    """Build the metrics of named protocols, by title.

    Args:
        names: See :func:`evaluator_configs`, also for ``threshold``, ``scores`` and the errors.
        threshold: As there.
        iou_thrs: IoU thresholds of ``MaxBoxAcc``.
        scores: As there. Defaults to False.
        keep: Whether the metrics keep records and curves. Defaults to True.
    """
    configs = evaluator_configs(names, threshold, scores, CURVE_STEP if keep else None, iou_thrs=tuple(iou_thrs))
    metrics: dict[str, BaseLocMetric] = {}
    for title, config in configs.items():
        metrics[title] = METRICS.build(config)
        metrics[title].keep_records = keep
    return metrics


def evaluate_maps(
    items: Sequence[dict[str, Any]],
    maps: MapFiles,
    metrics: Mapping[str, BaseLocMetric],
    frame: tuple[int, int] = (224, 224),
    scores: Mapping[str, np.ndarray] | None = None,
    keep: bool = True,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate stored maps in one pass.

    Args:
        items: Ground truth, see :func:`mmwsol.evaluation.ground_truth.read_ground_truth`.
        maps: Maps that were matched with the ids of ``items``.
        metrics: Metrics by title, see :func:`build_metrics`.
        frame: (H, W) of the evaluation frame. Defaults to (224, 224).
        scores: Class scores (C,) by image id, where Top-k is wanted. Defaults to None.
        keep: Whether the result gets ``curves`` and ``predictions``. Defaults to True.
        batch_size: Images that a metric gets at once. Defaults to 32.
        progress: Wraps the sequence of batches, to show a bar. Defaults to None.

    Returns:
        The content of a results file, see :mod:`mmwsol.evaluation.results_file`.

    Raises:
        ValueError: As the maps and the metrics raise it.
    """
    batches = [range(start, min(start + batch_size, len(items))) for start in range(0, len(items), batch_size)]
    for batch in batches if progress is None else progress(batches):
        samples = [_sample(items[i], maps, frame, scores) for i in batch]
        for metric in metrics.values():
            metric.process(None, samples)
    values: dict[str, float] = {}
    for metric in metrics.values():
        values |= metric.evaluate(len(items))
    results = assemble(values, metrics, [], scores is not None)
    if not keep:
        return {**results, "curves": {}}
    first = next(iter(metrics.values()))
    for item in items:
        geometry = first.frame({**item, "img_shape": frame})
        class_scores = None if scores is None else scores[item["img_id"]]
        results["predictions"].append(image_entry(item, geometry, class_scores, records_of(metrics, item["img_id"])))
    return results


def evaluate_files(
    maps: str | Path,
    meta: str | Path,
    protocols: Sequence[str] = ("wsol_v1", "wsol_v2"),
    threshold: float | str | None = None,
    iou_thrs: Sequence[float] = (0.3, 0.5, 0.7),
    frame: tuple[int, int] | None = None,
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
        meta: See :func:`mmwsol.evaluation.ground_truth.read_ground_truth`.
        protocols: See :func:`build_metrics`, also for ``threshold`` and ``iou_thrs``.
        threshold: As there.
        iou_thrs: As there.
        frame: (H, W) of the evaluation frame. Defaults to None: that of a dump, else (224, 224), see
            :func:`mmwsol.evaluation.map_dump.read_frame`, also for the errors.
        scores: File of class scores, see :func:`mmwsol.evaluation.score_files.read_scores`.
        bad_maps: 'error' or 'zero'.
        ignore_extra_maps: Whether maps may belong to no image.
        keep: Whether the results get ``curves`` and ``predictions``.
        progress: See :func:`evaluate_maps`, also for the result.
        **ground_truth: Further arguments of :func:`mmwsol.evaluation.ground_truth.read_ground_truth`; with
            ``mask_root``, PxAP and pIoU are computed.

    Raises:
        FileNotFoundError, ValueError: As the files and the metrics raise it.
    """
    # What can be wrong with the options comes before anything slow.
    metrics = build_metrics(protocols, threshold, iou_thrs, scores is not None, keep)
    masks = bool(ground_truth.get("mask_root"))
    cropped = [title for title, metric in metrics.items() if FRAME_RULES[metric.protocol.frame_rule].crops]
    if masks and cropped:
        raise ValueError(f"PxAP needs maps of the whole image, protocol '{cropped[0]}' has others: leave one out")
    frame = read_frame(meta, frame)
    items, classes = read_ground_truth(meta, **ground_truth)
    if masks and not any(len(item["gt_bboxes_ori"]) for item in items):
        metrics = {}  # a set with masks only, such as OpenImages
    if masks:
        metrics["PxAP"] = METRICS.build(dict(type="mmwsol.PxAP", cache_masks=False))
    ids = [item["img_id"] for item in items]
    source = MapFiles(maps, classes, bad_maps)
    source.match(ids, ignore_extra_maps)
    table = None if scores is None else read_scores(scores, ids, classes)
    results = evaluate_maps(items, source, metrics, frame, table, keep, progress=progress)
    results["num_zeroed_maps"] = source.num_zeroed
    return results


def _sample(
    item: dict[str, Any],
    maps: MapFiles,
    frame: tuple[int, int],
    scores: Mapping[str, np.ndarray] | None,
) -> dict[str, Any]:
    """Return the data sample that a model's ``predict`` would have made."""
    loaded, labels = maps.load(item["img_id"], frame)
    sample = {**item, "img_shape": frame, "pred_maps": {"maps": loaded, "labels": labels}}
    if scores is not None:
        sample["pred_score"] = scores[item["img_id"]]
    return sample
