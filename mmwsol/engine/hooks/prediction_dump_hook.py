"""Hook that writes the results of a test."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmwsol.registry import HOOKS
from mmwsol.structures import LocDataSample

SUFFIXES = (".json", ".pkl")


@HOOKS.register_module()
class PredictionDumpHook(Hook):
    """Write metrics, their protocols and the prediction of every test image to one file.

    The file holds a dict: ``metrics`` (by key); ``protocol``, what the numbers of a metric mean:
    frame, box rule, threshold and how it was chosen, and the ``prefix`` of its keys; ``curves``, its
    arrays over thresholds; ``predictions``, one dict per image in the order of the data set. The
    metrics are named by their type; further ones of a type have their prefix or number behind it.
    The curves are also written as arrays 'METRIC/NAME' to ``<out_file>_curves.npz``, without the
    ending of ``out_file``. A prediction holds

    - ``img_id``, ``img_path``, ``ori_shape`` [H, W], ``img_shape`` [H, W] of the network frame, ``gt_label``,
      ``gt_bboxes`` (original pixels),
    - ``pred_label``, ``pred_score``: the five best classes as ``labels`` and ``scores``,
    - ``bboxes`` (original pixels), ``bbox_labels`` (-1: class-agnostic), ``bbox_scores``.

    Under a distributed launcher the main process writes the predictions of all ranks; images that
    the sampler repeated appear once.

    Args:
        out_file (str): Path that ends in ``.json`` or ``.pkl``.

    Raises:
        ValueError: If it ends in something else.
    """

    priority = "LOW"

    def __init__(self, out_file: str) -> None:
        self.out_file = Path(out_file)
        if self.out_file.suffix not in SUFFIXES:
            raise ValueError(f"the results file must end in .json or .pkl, got '{out_file}'.")
        self._predictions: list[dict[str, Any]] = []

    def before_test(self, runner: Runner) -> None:
        """Forget earlier tests."""
        self._predictions = []

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[LocDataSample] | None = None,
    ) -> None:
        """Keep the predictions of a batch."""
        self._predictions += [_as_record(sample) for sample in outputs or ()]

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Collect the predictions of all ranks and write the file."""
        ranks = all_gather_object(self._predictions)
        if not is_main_process():
            return
        unique = {r["sample_idx"]: r for rank in ranks for r in rank}
        predictions = [unique[k] for k in sorted(unique)]
        for record in predictions:
            del record["sample_idx"]
        results: dict[str, Any] = {
            "metrics": metrics,
            "protocol": _of_metrics(runner.test_evaluator.metrics, "protocol"),
            "curves": _of_metrics(runner.test_evaluator.metrics, "curve"),
            "predictions": predictions,
        }
        self.out_file.parent.mkdir(parents=True, exist_ok=True)
        if self.out_file.suffix == ".pkl":
            self.out_file.write_bytes(pickle.dumps(results))
        else:
            self.out_file.write_text(json.dumps(results, indent=1, default=_to_builtin))
        curves = {
            f"{metric}/{name}": values for metric, curve in results["curves"].items() for name, values in curve.items()
        }
        if curves:
            np.savez_compressed(self.out_file.with_name(f"{self.out_file.stem}_curves.npz"), **curves)
        runner.logger.info(f"Results of {len(predictions)} images are written to {self.out_file}.")


def _as_record(sample: LocDataSample) -> dict[str, Any]:
    """Turn a data sample into plain Python values."""
    scores, labels = sample.pred_score.float().topk(min(5, len(sample.pred_score)))
    record: dict[str, Any] = {
        "sample_idx": int(sample.sample_idx),
        "img_id": sample.img_id,
        "img_path": sample.get("img_path"),
        "ori_shape": [int(side) for side in sample.ori_shape[:2]],
        "img_shape": [int(side) for side in sample.img_shape[:2]],
        "gt_label": int(sample.gt_label),
        "gt_bboxes": np.asarray(sample.get("gt_bboxes_ori", [])).tolist(),
        "pred_label": int(sample.pred_label),
        "pred_score": {"labels": labels.tolist(), "scores": scores.tolist()},
    }
    boxes = sample.pred_instances
    record["bboxes"] = boxes.bboxes.tolist()
    record["bbox_labels"] = boxes.labels.tolist()
    record["bbox_scores"] = boxes.scores.tolist()
    return record


def _of_metrics(metrics: Sequence[Any], name: str) -> dict[str, Any]:
    """Collect ``metric.protocol`` or ``metric.curve``, by the names of the metrics."""
    found: dict[str, Any] = {}
    taken: set[str] = set()
    for metric in metrics:
        if getattr(metric, "protocol", None) is None:
            continue
        key = type(metric).__name__
        if key in taken:
            prefix = getattr(metric, "prefix", None)
            key = f"{key}_{prefix}" if prefix and f"{key}_{prefix}" not in taken else f"{key}_{len(taken)}"
        taken.add(key)
        value = getattr(metric, name, None)
        value = value() if callable(value) else value
        if value:
            found[key] = value
    return found


def _to_builtin(value: Any) -> Any:
    """Turn numpy and torch values into what JSON knows."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
