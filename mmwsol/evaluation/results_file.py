"""Results files of ``tools/test.py --out`` and of ``eval_maps.py``, in one format.

A file, .json or .pkl, holds a dict:

- ``version``: 2,
- ``metrics``: values by key,
- ``protocol``: what the numbers of a metric mean (frame, box rule, threshold and how it was chosen, ``prefix`` of its
  keys, ``name`` of its protocol, which says so where the boxes are of another box rule), by the title of the metric,
- ``curves``: arrays over thresholds, by the title of the metric,
- ``class_scores``: 'given', or 'none: ...' where kinds of errors take the class for right,
- ``classes``: names of the classes in the order of the labels; null where they are not known, not there in older files,
- ``predictions``: a list with one dict an image, in the order of the data set:
  - ``img_id``, ``img_path``, ``ori_shape`` [H, W], ``img_shape`` [H, W] of the network frame, ``frame`` with ``scale``
    and ``shift`` (x, y) from original to network pixels, ``gt_label``, ``gt_bboxes`` in original pixels,
  - where there are class scores, ``pred_label`` and ``pred_score``: the five best classes as ``labels`` and ``scores``,
  - where a model made boxes, ``bboxes`` in original pixels, ``frame_bboxes`` as its box rule gave them in the network
    frame, ``bbox_labels`` (-1: class-agnostic) and ``bbox_scores``,
  - ``evaluated``: by the title of the metric, the :class:`mmwsol.evaluation.record.Record` that it counted: ``bbox`` in
    original pixels, ``frame_bbox``, ``iou``, ``rank`` and ``error``; None for an image without ground-truth boxes.

The title of a metric is its type, with the prefix or a number behind it where there are several of a type; eval_maps
takes the names of the protocols.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmwsol.datasets.transforms.loading import read_original
from mmwsol.files import write_bytes, write_json
from mmwsol.plain_pickle import read_plain_pickle
from mmwsol.structures import Frame

from .metrics import BaseLocMetric

VERSION = 2
KEYS = ("metrics", "protocol", "curves", "predictions")
SUFFIXES = (".json", ".pkl")
NO_SCORES = "none: kinds of errors take the class for right"


class Outcome(NamedTuple):
    """What became of one image under a protocol, as a results file tells it."""

    img_id: str
    img_path: str | None
    gt_label: int
    pred_label: int | None
    gt_bboxes: np.ndarray  # (M, 4), original pixels
    bbox: np.ndarray  # (4,), original pixels
    iou: float
    error: str | None  # one of ERROR_TYPES; None where there is no single box
    ori_shape: tuple[int, ...]  # (H, W)


# ---- writing --------------------------------------------------------------------------------------


def metric_titles(metrics: Sequence[Any]) -> dict[str, BaseLocMetric]:
    """Return the localization metrics of an evaluator by their titles."""
    titles: dict[str, BaseLocMetric] = {}
    for metric in metrics:
        if not isinstance(metric, BaseLocMetric):
            continue
        title = type(metric).__name__
        if title in titles:
            with_prefix = f"{title}_{metric.prefix}"
            title = f"{title}_{len(titles)}" if with_prefix in titles else with_prefix
        titles[title] = metric
    return titles


def image_entry(
    sample: Mapping[str, Any], frame: Frame, scores: np.ndarray | None, evaluated: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the entry of an image, without the boxes of a model.

    Args:
        sample: Ground truth: ``img_id``, ``img_path``, ``gt_label``, ``gt_bboxes_ori``.
        frame: The way from original to network pixels.
        scores: (C,) class scores, where there are any.
        evaluated: Its record by title, see :func:`records_of`.
    """
    entry: dict[str, Any] = {
        "img_id": sample["img_id"],
        "img_path": sample.get("img_path"),
        "ori_shape": list(frame.ori_shape),
        "img_shape": list(frame.shape),
        "frame": {"scale": list(map(float, frame.scale)), "shift": list(map(float, frame.shift))},
        "gt_label": int(sample["gt_label"]),
        "gt_bboxes": np.asarray(sample.get("gt_bboxes_ori", ()), np.float64).reshape(-1, 4).tolist(),
    }
    if scores is not None:
        best = np.argsort(-scores, kind="stable")[:5]
        entry["pred_label"] = int(best[0])
        entry["pred_score"] = {"labels": best.tolist(), "scores": scores[best].tolist()}
    entry["evaluated"] = dict(evaluated)
    return entry


def records_of(metrics: Mapping[str, BaseLocMetric], img_id: str) -> dict[str, Any]:
    """Return the record of an image by the title of the metric, of those that keep records."""
    records = {title: metric.records[img_id] for title, metric in metrics.items() if img_id in metric.records}
    return {title: None if record is None else record.to_dict() for title, record in records.items()}


def assemble(
    values: Mapping[str, Any],
    metrics: Mapping[str, BaseLocMetric],
    predictions: Sequence[Mapping[str, Any]],
    class_scores: bool = True,
    classes: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the content of a results file.

    Args:
        values: Values of the metrics by key.
        metrics: The localization metrics by title, evaluated.
        predictions: The entries of the images.
        class_scores: Whether there were class scores.
        classes: Names of the classes, in the order of the labels. Defaults to None: not known.
    """
    return {
        "version": VERSION,
        "metrics": dict(values),
        "protocol": {title: metric.description for title, metric in metrics.items()},
        "curves": {title: metric.curve for title, metric in metrics.items() if metric.curve},
        "class_scores": "given" if class_scores else NO_SCORES,
        "classes": None if classes is None else list(classes),
        "predictions": list(predictions),
    }


def save_results(results: Mapping[str, Any], path: str | Path) -> None:
    """Write results as .json or .pkl, with plain values in place of numpy's."""
    path = Path(path)
    if path.suffix == ".pkl":
        write_bytes(path, pickle.dumps(dict(results)))
    else:
        write_json(path, results, default=_plain)


def _plain(value: Any) -> Any:
    """Turn numpy's values into what JSON knows."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)


# ---- reading --------------------------------------------------------------------------------------


def load_results(path: str | Path) -> dict[str, Any]:
    """Read a results file, .json or .pkl.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is no results file, or of an older version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"results file '{path}' does not exist")
    try:
        if path.suffix == ".pkl":
            results = read_plain_pickle(path.read_bytes())
        else:
            results = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises anything, json a RecursionError
        raise ValueError(f"'{path}' is no results file: {error}") from error
    missing = [key for key in KEYS if not isinstance(results, dict) or key not in results]
    if missing:
        raise ValueError(f"'{path}' is no results file of tools/test.py --out or eval_maps.py: no {missing}")
    if results.get("version") != VERSION:
        raise ValueError(
            f"'{path}' is a results file of version {results.get('version', 1)}, version {VERSION} is needed: run the "
            "test (tools/test.py --out) or eval_maps.py again"
        )
    kinds = {"metrics": dict, "protocol": dict, "curves": dict, "predictions": list}
    wrong = [key for key, kind in kinds.items() if not isinstance(results[key], kind)]
    entries = results["predictions"] if not wrong else []
    if wrong or not all(isinstance(e, dict) and isinstance(e.get("evaluated"), dict) for e in entries):
        listed = ", ".join(wrong) or "predictions"
        raise ValueError(f"'{path}' is a damaged results file, {listed} is not what it should be: run the test again")
    for name, value in results["metrics"].items():
        results["metrics"][name] = math.nan if value is None else value  # JSON has no NaN
    return results


def choose_protocol(results: Mapping[str, Any], name: str | None = None) -> str:
    """Return the title of the metric to analyze.

    Args:
        results: Content of a results file.
        name: A title, or the name of a protocol. Defaults to None: the first that has a box per image.

    Raises:
        ValueError: If there is none.
    """
    titles = list(results["predictions"][0]["evaluated"]) if results["predictions"] else []
    matches = [title for title in titles if name in (None, title)]
    try:
        matches = matches or [title for title in titles if results["protocol"][title]["name"] == name]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the results do not say what the protocol of {titles} is ({error}): run the test again"
        ) from error
    if not matches:
        raise ValueError(f"the results have no per-image boxes of protocol {name!r}; they have those of {titles}")
    return matches[0]


def outcomes(results: Mapping[str, Any], title: str) -> list[Outcome]:
    """Return what became of every image that has ground-truth boxes.

    Args:
        results: Content of a results file.
        title: Metric, see :func:`choose_protocol`.

    Raises:
        ValueError: If no image has ground-truth boxes, or an entry lacks something.
    """
    listed = []
    for entry in results["predictions"]:
        try:
            record = entry["evaluated"][title]
            if not isinstance(entry["img_id"], str):
                raise TypeError("img_id is no text")
            if record is None:
                continue
            outcome = Outcome(
                entry["img_id"],
                entry["img_path"],
                entry["gt_label"],
                entry.get("pred_label"),
                np.array(entry["gt_bboxes"], np.float64).reshape(-1, 4),
                np.array(record["bbox"], np.float64),
                record["iou"],
                record["error"],
                tuple(entry["ori_shape"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"results of image {entry.get('img_id')!r}: {reason}") from error
        listed.append(outcome)
    if not listed:
        raise ValueError("no image of the results has ground-truth boxes: there is no localization to analyze")
    return listed


def read_picture(outcome: Outcome, image_root: str | None = None) -> np.ndarray:
    """Read the image of an outcome: ``image_root/img_id``, or its own ``img_path``.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    path = Path(image_root) / outcome.img_id if image_root else Path(outcome.img_path or "")
    if not path.is_file():
        raise FileNotFoundError(
            f"image '{outcome.img_id}': no file '{path if path.name else ''}'; give the image folder (--image-root)"
        )
    return read_original(str(path), outcome.ori_shape)
