"""Results files of ``tools/test.py --out`` and of ``eval_maps.py``: reading, and what became of every image."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmwsol.datasets.transforms.loading import read_original

from .functional import box_iou, localization_error
from .functional.frames import resize_side, short_side_geometry
from .metrics import LocAccuracy
from .metrics.base import choose_map

KEYS = ("metrics", "protocol", "predictions")


class Outcome(NamedTuple):
    """What became of one image under a protocol."""

    img_id: str
    img_path: str | None
    gt_label: int
    pred_label: int | None
    gt_bboxes: np.ndarray  # (M, 4), original pixels
    bbox: np.ndarray  # (4,), original pixels
    iou: float
    error: str | None  # one of ERROR_TYPES; None where there is no single box
    ori_shape: tuple[int, ...]  # (H, W)


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain values and numpy arrays; whatever could run code is refused."""

    _NUMPY = ("_reconstruct", "scalar", "ndarray", "dtype", "_frombuffer")

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in self._NUMPY:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}")


def load_results(path: str | Path) -> dict[str, Any]:
    """Read a results file, .json or .pkl.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is no results file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"results file '{path}' does not exist")
    try:
        if path.suffix == ".pkl":
            results = _PlainUnpickler(io.BytesIO(path.read_bytes())).load()
        else:
            results = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f"'{path}' is no results file: {error}") from error
    missing = [key for key in KEYS if not isinstance(results, dict) or key not in results]
    if missing:
        raise ValueError(f"'{path}' is no results file of tools/test.py --out or eval_maps.py: no {missing}")
    return results


def save_results(results: Mapping[str, Any], path: str | Path) -> None:
    """Write results as JSON; numpy values become plain ones."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, default=lambda v: v.tolist() if hasattr(v, "tolist") else str(v)))


def choose_protocol(results: Mapping[str, Any], name: str | None = None) -> str:
    """Return the key of the protocol to analyse: ``name``, or the first that has per-image boxes.

    Raises:
        ValueError: If there is none.
    """
    records = results["predictions"]
    if any("evaluated" in record for record in records):
        known = list(records[0]["evaluated"])
    else:
        known = [key for key in results["protocol"] if key.startswith("LocAccuracy")]
    if name is None and known:
        return known[0]
    if name is None or name not in known:
        raise ValueError(f"the results have no per-image boxes of protocol {name!r}; they have those of {known}")
    return name


def outcomes(results: Mapping[str, Any], protocol: str, frame: tuple[int, int] = (224, 224)) -> list[Outcome]:
    """Return what became of every image that has ground-truth boxes.

    Args:
        results: Content of a results file.
        protocol: Key, see :func:`choose_protocol`.
        frame: (H, W) of the network frame, for files of ``tools/test.py`` whose records do not tell it by
            ``img_shape``. Default (224, 224).

    Raises:
        ValueError: If the records do not hold what is needed.
    """
    found = []
    rule = results["protocol"][protocol]
    metric: LocAccuracy | None = None
    for record in results["predictions"]:
        if not len(record.get("gt_bboxes") or ()):
            continue
        try:
            if "evaluated" in record:
                own = record["evaluated"][protocol]
            else:
                metric = metric or _metric(rule)
                own = _evaluate(record, rule, metric, frame)
            found.append(
                Outcome(
                    record["img_id"],
                    record.get("img_path"),
                    int(record["gt_label"]),
                    record.get("pred_label"),
                    np.array(record["gt_bboxes"], np.float64).reshape(-1, 4),
                    np.array(own["bbox"], np.float64),
                    float(own["iou"]),
                    own["error"],
                    tuple(record["ori_shape"]),
                )
            )
        except KeyError as error:
            raise ValueError(f"results of image {record.get('img_id')!r}: no {error}") from error
    if not found:
        raise ValueError("no image of the results has ground-truth boxes: there is no localization to analyse")
    return found


def _metric(rule: Mapping[str, Any]) -> LocAccuracy:
    """Return the metric that wrote this protocol."""
    return LocAccuracy(
        rule["name"],
        frame_rule=rule["frame_rule"],
        resize_size=rule.get("resize_size"),
        gt_mode=rule["gt_mode"],
        iou=rule["iou"],
    )


def _evaluate(
    record: Mapping[str, Any], rule: Mapping[str, Any], metric: LocAccuracy, frame: tuple[int, int]
) -> dict[str, Any]:
    """Score the model's own box of a record of ``PredictionDumpHook`` as ``LocAccuracy`` did."""
    network = isinstance(rule["frame_size"], str)
    height, width = record.get("img_shape", frame) if network else rule["frame_size"]
    size = (int(height), int(width))
    sample = {
        "img_id": record["img_id"],
        "ori_shape": tuple(record["ori_shape"]),
        "img_shape": size,
        "gt_label": record["gt_label"],
        "gt_bboxes_ori": np.array(record["gt_bboxes"], np.float32),
    }
    if rule["map_class"] == "pred":
        sample["pred_score"] = np.eye(record["pred_label"] + 1)[-1]
    gt = metric.gt_boxes(sample)
    bbox = np.array(record["bboxes"][choose_map(sample, np.array(record["bbox_labels"]), rule["map_class"])])
    box = original_to_frame(bbox[None], sample["ori_shape"], size, metric.frame_rule, metric.resize_size)
    # Box rules give whole pixels; the way to the original image and back leaves errors near 1e-4.
    whole = box.round()
    box = np.where(np.abs(box - whole) < 0.01, whole, box)
    iou = box_iou(box, gt, metric.plus_one)[0].max()
    correct = record["pred_label"] == record["gt_label"]
    error = localization_error(box[0], gt, correct, metric.plus_one, rule["iou_thr"], rule["strict_topk"])
    return {"bbox": bbox, "iou": float(iou), "error": error}


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


def frame_affine(
    ori_shape: tuple[int, ...], size: tuple[int, int], rule: str, resize_size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and shift (x, y) of x_frame = scale * x_original + shift under a frame rule."""
    height, width = ori_shape[:2]
    if rule in ("wsol", "tscam"):
        return np.array([size[1] / width, size[0] / height]), np.zeros(2)
    side = size[0]
    resize = resize_size or resize_side(side)
    if rule == "sat":
        return np.array([resize / width, resize / height]), np.full(2, -float((resize - side) // 2))
    scale, offset = short_side_geometry(width, height, side, resize)
    return scale, -offset


def original_to_frame(
    bboxes: np.ndarray, ori_shape: tuple[int, ...], size: tuple[int, int], rule: str, resize_size: int | None = None
) -> np.ndarray:
    """Move boxes (N, 4) from original pixels to the evaluation frame, neither clipped nor rounded."""
    scale, shift = frame_affine(ori_shape, size, rule, resize_size)
    return np.asarray(bboxes, np.float64) * np.tile(scale, 2) + np.tile(shift, 2)


def frame_to_original(
    bboxes: np.ndarray, ori_shape: tuple[int, ...], size: tuple[int, int], rule: str, resize_size: int | None = None
) -> np.ndarray:
    """Move boxes (N, 4) from the evaluation frame to original pixels, clipped to the image."""
    scale, shift = frame_affine(ori_shape, size, rule, resize_size)
    boxes = (np.asarray(bboxes, np.float64) - np.tile(shift, 2)) / np.tile(scale, 2)
    height, width = ori_shape[:2]
    return boxes.clip(0, [width, height, width, height])
