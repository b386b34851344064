"""The objects of a prediction: one box or several, with a confidence each, and what a person should look at."""

from __future__ import annotations

import contextlib
import difflib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData

from mmwsol.datasets.labels import nfc
from mmwsol.models.box_rules import ComponentBox, ContourBox
from mmwsol.structures import LocDataSample
from mmwsol.visualization import score_map, shown_map

MAX_REGIONS = 1000  # the largest regions of a map that are looked at
MIN_PIXELS = 2  # an object has at least these pixels, and is a pixel wide and high

# Doubts: an image with one of these should be looked at.
LOW_PROBABILITY = 0.5
CLOSE_SECOND = 0.5  # probability of the second class, as a share of that of the first
LARGE, TINY = 0.9, 0.01  # area of a box, as a share of that of the image


@dataclass(frozen=True)
class BoxOptions:
    """Which boxes of an image are wanted.

    Args:
        max_boxes: Most boxes an image. Defaults to 1: that of the box rule.
        threshold: In place of that of the box rule, 0 <= threshold < 1: of :class:`mmwsol.ContourBox` a share of the
            map's own maximum, of :class:`mmwsol.ComponentBox` a value of the normalized map. Defaults to None.
        classes: Labels of the classes that may be predicted. Defaults to None: all.
        min_area: Least area of a box as a share of that of the image, 0 <= min_area < 1. Defaults to 0.

    Raises:
        ValueError: If a value is out of range.
    """

    max_boxes: int = 1
    threshold: float | None = None
    classes: tuple[int, ...] | None = None
    min_area: float = 0.0

    def __post_init__(self) -> None:
        if self.max_boxes < 1:
            raise ValueError(f"max_boxes must be 1 or more, got {self.max_boxes}.")
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise ValueError(f"threshold must satisfy 0 <= threshold < 1, got {self.threshold}.")
        if not 0 <= self.min_area < 1:
            raise ValueError(f"min_area is a share of the image, 0 <= min_area < 1, got {self.min_area}.")


@contextlib.contextmanager
def applied(options: BoxOptions, model: Any) -> Iterator[None]:
    """Let a localizer predict with a threshold and classes, and set it back.

    Raises:
        ValueError: If its box rule has no threshold, or its weights have no classifier to choose a class by.
    """
    rule, head = model.map_to_box, model.head
    if not isinstance(rule, (ContourBox, ComponentBox)) and (options.threshold is not None or options.max_boxes > 1):
        raise ValueError(
            f"the box rule {type(rule).__name__} has no threshold above which regions could be found: threshold and "
            "max_boxes go with ContourBox and ComponentBox."
        )
    if options.classes is not None and not model.has_classifier:
        raise ValueError("the weights have no classifier, every image is an 'object': leave classes out.")
    before = rule.threshold.clone() if options.threshold is not None else None
    try:
        if options.threshold is not None:
            rule.threshold.fill_(options.threshold)
        head.allowed = options.classes
        yield
    finally:
        head.allowed = None
        if before is not None:
            rule.threshold.copy_(before)


def find_boxes(sample: LocDataSample, rule: Any, options: BoxOptions, target: str = "pred") -> tuple[np.ndarray, int]:
    """Find the boxes of the objects of a class.

    The regions are those of the mask in which the box rule finds its own box, which is the first. A box inside another
    one is a part of it and left out, as are boxes of less than ``min_area``, two pixels, or one pixel in width or
    height. Of the others the first ``max_boxes`` are kept: the rule's own box, then by falling number of pixels of the
    region in the network's frame. With ``max_boxes=1`` the rule's own box is kept also where another surrounds it.

    Args:
        sample: A prediction.
        rule: The box rule that made its boxes.
        options: Which boxes are wanted.
        target: 'pred' for the predicted class, 'gt' for that of the image label. Defaults to 'pred'.

    Returns:
        Boxes (N, 4) x0, y0, x1, y1 in pixels of the image, and the number of all separate ones that are large enough.
    """
    index, _ = shown_map(sample, target)
    boxes = sample.pred_instances.bboxes[index : index + 1].cpu().numpy()
    if isinstance(rule, (ContourBox, ComponentBox)):
        [evaluated] = rule.scoremap(sample.pred_maps.maps[index : index + 1], sample.img_shape)
        boxes = sample.frame.inverse().boxes(rule.regions(evaluated)[:MAX_REGIONS])
    height, width = sample.ori_shape[:2]
    sides = boxes[:, 2:] - boxes[:, :2]
    areas = sides.prod(axis=1)
    large = (sides >= 1).all(axis=1) & (areas >= max(MIN_PIXELS, options.min_area * height * width))
    outer = large & ~_inside_another(boxes, large)
    kept = boxes[:1][large[:1]] if options.max_boxes == 1 else boxes[outer][: options.max_boxes]
    return kept, int(outer.sum())


def map_scores(sample: LocDataSample, index: int, boxes: np.ndarray) -> np.ndarray:
    """Return the means (N,) of a prediction's map ``index``, in [0, 1], inside boxes (N, 4) in pixels of the image."""
    heat = score_map(sample, index)[0]
    return np.array([_mean_inside(heat, box) for box in boxes.tolist()], np.float32)


def find_objects(sample: LocDataSample, rule: Any, options: BoxOptions) -> None:
    """Find the objects of the predicted class (:func:`find_boxes`), and write them into the sample as ``pred_objects``.

    ``map_scores`` (N,) are means of the map in [0, 1] inside each box, in pixels of the image; ``scores`` (N,), the
    confidence, is that times the probability of the class. Most rules spread every map over 0 to 1, however
    weak it is: the mean says how full a box is, the probability how sure the class.

    Args:
        sample: A prediction.
        rule: The box rule that made its boxes.
        options: Which boxes are wanted.
    """
    boxes, number = find_boxes(sample, rule, options)
    index, label = shown_map(sample)
    score = float(sample.pred_score[label])
    means = map_scores(sample, index, boxes)
    sample.pred_objects = InstanceData(
        bboxes=torch.from_numpy(boxes),
        labels=torch.full((len(boxes),), label),
        map_scores=torch.from_numpy(means),
        scores=torch.from_numpy(means * np.float32(score)),
    )
    sample.set_metainfo(dict(num_regions=number))


def _inside_another(boxes: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Tell which boxes (N, 4) lie inside another one of those in ``of`` (N,); of equal ones all but the first."""
    starts, ends = boxes[:, :2], boxes[:, 2:]
    inside = (starts[:, None] >= starts[None]).all(axis=2) & (ends[:, None] <= ends[None]).all(axis=2)
    equal = inside & inside.T
    earlier = np.tri(len(boxes), k=-1, dtype=bool)
    return np.asarray((inside & of[None] & (~equal | earlier)).any(axis=1))


def _mean_inside(heat: np.ndarray, box: Sequence[float]) -> float:
    """Return the mean of a map (H, W) over the pixels that a box touches."""
    x0, y0, x1, y1 = box
    return float(heat[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)].mean(dtype=np.float64))


def to_record(sample: LocDataSample, head: Any, name_of: Callable[[int], str], with_map: bool = True) -> dict[str, Any]:
    """Turn a prediction into plain values; see :meth:`mmwsol.apis.WSOLInferencer.__call__`.

    Args:
        sample: A prediction with ``pred_objects``.
        head: The head that made it.
        name_of: Gives the name of a label.
        with_map: Whether to add the map. Defaults to True.
    """
    number = len(sample.pred_score) if head.allowed is None else len(head.allowed)
    scores, labels = head.ranked(sample.pred_score.float()).topk(min(5, number))
    names = [name_of(label) for label in labels.tolist()]
    boxes, found, path = sample.pred_instances, sample.pred_objects, sample.get("img_path")
    confidences = found.scores.tolist()
    record: dict[str, Any] = dict(
        img_path=None if path is None else str(path),
        ori_shape=[int(side) for side in sample.ori_shape[:2]],
        pred_label=int(sample.pred_label),
        pred_class=name_of(int(sample.pred_label)),
        pred_score=dict(labels=labels.tolist(), classes=names, scores=scores.tolist()),
        bboxes=boxes.bboxes.tolist(),
        bbox_labels=boxes.labels.tolist(),
        bbox_scores=boxes.scores.tolist(),
        objects=[
            {"bbox": box, "class": name_of(int(sample.pred_label)), "map_score": mean, "confidence": confidence}
            for box, mean, confidence in zip(found.bboxes.tolist(), found.map_scores.tolist(), confidences, strict=True)
        ],
        confidence=max(confidences, default=0.0),
    )
    record["doubts"] = find_doubts(record, sample.num_regions)
    if with_map:
        record["map"] = score_map(sample, shown_map(sample)[0])[0]
    return record


def find_doubts(record: dict[str, Any], num_regions: int) -> list[str]:
    """List why a person should look at a prediction; see ``LOW_PROBABILITY`` and the other limits of this module.

    Args:
        record: A prediction of :class:`mmwsol.apis.WSOLInferencer` with ``pred_score`` and ``objects``.
        num_regions: Number of separate boxes that its map has.
    """
    probabilities, names = record["pred_score"]["scores"], record["pred_score"]["classes"]
    height, width = record["ori_shape"]
    doubts = [] if record["objects"] else ["no box"]
    if probabilities[0] < LOW_PROBABILITY:
        doubts.append(f"probability {probabilities[0]:.2f}")
    if len(names) > 1 and probabilities[1] > CLOSE_SECOND * probabilities[0]:
        doubts.append(f"close second class {names[1]} {probabilities[1]:.2f}")
    for x0, y0, x1, y1 in (item["bbox"] for item in record["objects"]):
        share = (x1 - x0) * (y1 - y0) / (height * width)
        if share > LARGE:
            doubts.append(f"a box covers {share:.0%} of the image")
        elif share < TINY:
            doubts.append(f"a box covers {share:.1%} of the image")
    if num_regions > 1:
        doubts.append(f"{num_regions} separate regions")
    return doubts


def find_classes(names: Sequence[str] | None, classes: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Return the labels of classes by their names.

    Args:
        names: Class names, None if they are not known.
        classes: Names that no two classes share, of :func:`mmwsol.datasets.label_files.label_names`.
        wanted: Names as in either, or one of the synonyms in a name such as 'tench, Tinca tinca' if no other class has
            it.

    Raises:
        ValueError: If there is no such class, or several. The message lists the nearest.
    """
    labels: dict[str, list[int]] = defaultdict(list)
    for label, name in enumerate(classes):
        for key in {name, *(names or ())[label : label + 1]}:
            labels[nfc(key)].append(label)
    synonyms: dict[str, list[int]] = defaultdict(list)
    for label, name in enumerate(classes):
        for part in name.split(","):
            synonyms[nfc(part.strip()).casefold()].append(label)
    found = []
    for name in [wanted] if isinstance(wanted, str) else wanted:
        label_list = labels.get(nfc(name)) or synonyms.get(nfc(name.strip()).casefold(), [])
        if len(label_list) == 1:
            found.append(label_list[0])
            continue
        near = difflib.get_close_matches(name.casefold(), synonyms, n=5, cutoff=0.5)
        options = label_list or [label for key in near for label in synonyms[key]]
        listed = ", ".join(dict.fromkeys(repr(classes[label]) for label in options or range(min(5, len(classes)))))
        problem = "is the name of several classes" if label_list else "is no class of the model; the nearest are"
        raise ValueError(f"class {name!r} {problem}: {listed}.")
    twice = [classes[label] for label, number in Counter(found).items() if number > 1]
    if twice or not found:
        raise ValueError(f"class {twice[0]!r} is named twice." if twice else "classes is empty: leave it out for all.")
    return tuple(found)
