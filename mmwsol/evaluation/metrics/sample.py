"""What metrics read from a data sample, with errors that name the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mmwsol.evaluation.functional.boxes import as_boxes


def field(sample: dict, name: str) -> Any:
    """Return a field of a data sample.

    Raises:
        ValueError: If the sample has no such field.
    """
    if sample.get(name) is None:
        raise ValueError(
            f"data sample {sample.get('img_id', '')!r} has no {name!r}: the test pipeline "
            "(mmwsol.PackLocInputs) or the model's predict must provide it"
        )
    return sample[name]


def to_numpy(value: Any) -> np.ndarray:
    """Return a tensor, list or array as a numpy array on the CPU."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.asarray(value)


def gt_label(sample: dict) -> int:
    """Return the ground-truth class of a sample, which must be one."""
    labels = to_numpy(field(sample, "gt_label")).ravel()
    if len(labels) != 1:
        raise ValueError(f"image {sample.get('img_id')!r} has gt_label {labels.tolist()}: one label is needed")
    return int(labels[0])


def pred_scores(sample: dict) -> np.ndarray:
    """Return the class scores (C,) of a sample, which must not be NaN."""
    scores = to_numpy(field(sample, "pred_score")).ravel()
    if np.isnan(scores).any():
        raise ValueError(f"image {sample.get('img_id')!r}: pred_score has NaN values")
    return scores


def class_rank(sample: dict) -> int:
    """Return how many classes come before the ground-truth class; equal scores rank by class index."""
    scores, label = pred_scores(sample), gt_label(sample)
    if not 0 <= label < len(scores):
        raise ValueError(f"gt_label {label} is outside the {len(scores)} classes of pred_score")
    return int((scores > scores[label]).sum() + (scores[:label] == scores[label]).sum())


def choose_map(sample: dict, labels: np.ndarray, map_class: str) -> int:
    """Return the index of the map (or box) to evaluate.

    Args:
        sample: Data sample as a dict.
        labels: (K,) class of every map, -1 for a class-agnostic one.
        map_class: 'gt' or 'pred': the map of the ground-truth or of the top-1 class; a single
            class-agnostic map stands for every class. 'agnostic': the class-agnostic map.

    Raises:
        ValueError: If there is no such map.
    """
    if map_class == "agnostic" or labels.tolist() == [-1]:
        wanted, what = -1, "class-agnostic map (label -1)"
    elif map_class == "gt":
        wanted = gt_label(sample)
        what = f"map of the ground-truth class {wanted}"
    else:
        wanted = int(pred_scores(sample).argmax())
        what = f"map of the predicted class {wanted}"
    matches = np.flatnonzero(labels == wanted)
    if not len(matches):
        raise ValueError(
            f"image {sample.get('img_id')!r} has no {what}, only of {labels.tolist()}: predict "
            "must return the maps of the top-5 and the ground-truth class, or set map_class="
        )
    return int(matches[0])


def model_threshold(sample: dict, rule: dict, what: str = "map_to_box") -> float:
    """Return the threshold that the localizer wrote down, for a metric that evaluates at it.

    Args:
        sample: Data sample as a dict.
        rule: Settings of the metric's box rule, or those of them that decide what a threshold means.
        what: What both must agree in, for the message.

    Raises:
        ValueError: If the model is no localizer with a box rule, or has another rule.
    """
    model_rule = dict(sample.get("box_rule") or {})
    threshold = model_rule.pop("threshold", None)
    if threshold is None:
        raise ValueError(
            "the metric evaluates at the threshold of the model, which must be a localizer with a box rule: give the "
            "metric a number, or a search, dict(grid=..., select_on='test'), the best on the evaluated set"
        )
    if {name: model_rule.get(name) for name in rule} != rule:
        raise ValueError(
            f"the model's threshold is one for its own box rule {model_rule}; this metric has {rule}: give both the "
            f"same {what}"
        )
    return threshold


def rule_settings(rule: Any) -> dict[str, Any]:
    """Return all settings of a box rule, its type first and without a threshold."""
    return {"type": type(rule).__name__, **rule.rule}


def model_box(sample: dict, map_class: str) -> np.ndarray:
    """Return the box (1, 4) that the model made of a map, in the frame; errors as :func:`choose_map`."""
    pred = field(sample, "pred_instances")
    boxes = as_boxes(to_numpy(pred["frame_bboxes"]))
    labels = to_numpy(pred["labels"]).ravel()
    if len(boxes) != len(labels):
        raise ValueError(f"image {sample.get('img_id')!r}: {len(boxes)} boxes, {len(labels)} labels")
    k = choose_map(sample, labels, map_class)
    return boxes[k : k + 1]
