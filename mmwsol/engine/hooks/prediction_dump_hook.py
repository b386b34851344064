"""Hook that writes the results of a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmwsol.evaluation.results_file import (
    SUFFIXES,
    assemble,
    image_entry,
    metric_titles,
    records_of,
    save_results,
)
from mmwsol.files import check_writable, writing
from mmwsol.registry import HOOKS
from mmwsol.structures import LocDataSample


@HOOKS.register_module()
class PredictionDumpHook(Hook):
    """Write metrics, their protocols, and the prediction and records of every test image to one file.

    :mod:`mmwsol.evaluation.results_file` describes the file. The curves of the metrics are also written as arrays
    'METRIC/NAME' to ``<out_file>_curves.npz``, without the ending of ``out_file``.

    Under a distributed launcher the main process writes the predictions of all ranks; images that
    the sampler repeated appear once.

    Args:
        out_file: Path that ends in ``.json`` or ``.pkl``.

    Raises:
        ValueError: If it ends in something else.
    """

    priority = "LOW"

    def __init__(self, out_file: str) -> None:
        self.out_file = Path(out_file)
        if self.out_file.suffix not in SUFFIXES:
            raise ValueError(f"the results file must end in .json or .pkl, got '{out_file}'.")
        self._entries: dict[int, dict[str, Any]] = {}

    def before_test(self, runner: Runner) -> None:
        """Forget earlier tests, see whether the file can be written, and have the metrics keep their records."""
        self._entries = {}
        check_writable(self.out_file)
        for metric in metric_titles(runner.test_evaluator.metrics).values():
            metric.keep_records = True

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[LocDataSample] | None = None,
    ) -> None:
        """Keep the predictions of a batch."""
        self._entries.update({int(sample.sample_idx): _entry(sample) for sample in outputs or ()})

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Collect the predictions of all ranks and write the file."""
        ranks = all_gather_object(self._entries)
        titles = metric_titles(runner.test_evaluator.metrics)
        for metric in titles.values():
            metric.keep_records = False
        if not is_main_process():
            return
        entries = {index: entry for rank in ranks for index, entry in rank.items()}
        predictions = [entries[index] for index in sorted(entries)]
        for entry in predictions:
            entry["evaluated"] = records_of(titles, entry["img_id"])
        classes = (runner.test_evaluator.dataset_meta or {}).get("classes")
        results = assemble(metrics or {}, titles, predictions, classes=classes)
        save_results(results, self.out_file)
        curves = {
            f"{title}/{name}": array for title, curve in results["curves"].items() for name, array in curve.items()
        }
        if curves:
            with writing(self.out_file.with_name(f"{self.out_file.stem}_curves.npz")) as part:
                np.savez_compressed(part, **curves)
        runner.logger.info(f"Results of {len(predictions)} images are written to {self.out_file}.")


def _entry(sample: LocDataSample) -> dict[str, Any]:
    """Return the entry of an image, with the boxes of the model; records follow."""
    scores = sample.pred_score.float().cpu().numpy()
    entry = image_entry(sample.to_dict(), sample.frame, scores, {})
    boxes = sample.pred_instances
    entry["bboxes"] = boxes.bboxes.tolist()
    entry["frame_bboxes"] = boxes.frame_bboxes.tolist()
    entry["bbox_labels"] = boxes.labels.tolist()
    entry["bbox_scores"] = boxes.scores.tolist()
    return entry
