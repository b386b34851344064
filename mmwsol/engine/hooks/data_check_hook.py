"""Hook that asks, before the first epoch, whether the data can be evaluated."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mmwsol.datasets.class_names import dataset_names
from mmwsol.datasets.wrappers import concatenated
from mmwsol.engine.hooks.threshold_calibration_hook import ThresholdCalibrationHook
from mmwsol.evaluation.metrics import BaseLocMetric, PxAP
from mmwsol.registry import HOOKS


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Refuse data and evaluators that cannot work together, before training is spent on them.

    - Images of different parts of a ``ConcatDataset`` with one ``img_id``: metrics, dumps and caches would mix them up.
    - Localization metrics on a data set without any ground-truth box; mask metrics without mask files.
    - A classification metric with a ``topk`` that is larger than the number of classes.
    - Metrics with ``map_to_box='model'`` without the hook that hands them the rule.
    - A ``save_best`` whose prefix is that of no metric.

    Raises:
        ValueError: If something does not fit. The message names the loader and the line to change.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the data of training and validation."""
        check_ids(runner.train_dataloader.dataset, "train_dataloader")
        if getattr(runner, "val_loop", None) is not None:
            self.before_val(runner)
            self._check_save_best(runner)

    def before_val(self, runner: Runner) -> None:
        """Check the validation data."""
        _check_rules(runner, runner.val_evaluator.metrics)
        self._check(runner.val_dataloader.dataset, runner.val_evaluator.metrics, "val")

    def before_test(self, runner: Runner) -> None:
        """Check the test data."""
        _check_rules(runner, runner.test_evaluator.metrics)
        self._check(runner.test_dataloader.dataset, runner.test_evaluator.metrics, "test")

    def _check(self, dataset: Any, metrics: list, split: str) -> None:
        check_ids(dataset, f"{split}_dataloader")
        names = dataset_names(dataset)
        for metric in metrics:
            name = f"{split}_evaluator: {type(metric).__name__}"
            # localization metrics rank classes, however many there are
            topk = () if isinstance(metric, BaseLocMetric) else getattr(metric, "topk", None) or ()
            if names is not None and topk and max(topk) > len(names):
                raise ValueError(f"{name} has topk={tuple(topk)}, but there are {len(names)} classes: leave out more.")
            if isinstance(metric, PxAP):
                _check_masks(dataset, name, split)
            elif isinstance(metric, BaseLocMetric) and not _any_item(dataset, "gt_bboxes_ori"):
                raise ValueError(
                    f"{name} needs ground-truth boxes, and no image of {split}_dataloader has one: give the data set "
                    f"its list of boxes, or leave localization metrics out of {split}_evaluator."
                )

    def _check_save_best(self, runner: Runner) -> None:
        hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        prefixes = {metric.prefix for metric in runner.val_evaluator.metrics}
        for key in (getattr(hook, "key_indicators", None) or ()) if hook is not None and hook.save_best else ():
            if key != "auto" and "/" in key and None not in prefixes and key.split("/")[0] not in prefixes:
                raise ValueError(
                    f"default_hooks.checkpoint.save_best='{key}': no metric of val_evaluator gives it, they give "
                    f"{', '.join(sorted(f'{prefix}/...' for prefix in prefixes))}."
                )


def check_ids(dataset: Any, loader: str) -> None:
    """Refuse two parts of a ``ConcatDataset`` with images of one ``img_id``.

    Raises:
        ValueError: If there are some. One file listed in two parts of the training set is allowed.
    """
    seen: dict[Any, tuple[int, Any]] = {}
    for number, part in enumerate(concatenated(dataset)):
        for index in range(len(part)):
            info = part.get_data_info(index)
            img_id, path = info.get("img_id"), info.get("img_path")
            other, other_path = seen.setdefault(img_id, (number, path))
            if img_id is None or other == number or (loader == "train_dataloader" and path == other_path):
                continue
            raise ValueError(
                f"{loader}: image id '{img_id}' is in part {other} and part {number} of the ConcatDataset "
                f"('{other_path}' and '{path}'): results would be mixed up. Give both parts one data_prefix, a folder "
                "above both, so that ids have the folder in their name, or evaluate them apart."
            )


def _check_rules(runner: Runner, metrics: list) -> None:
    if not any(isinstance(hook, ThresholdCalibrationHook) for hook in runner.hooks):
        for metric in metrics:
            if isinstance(metric, BaseLocMetric):
                metric.check_rule()


def _check_masks(dataset: Any, name: str, split: str) -> None:
    if not _any_item(dataset, "mask_paths"):
        raise ValueError(f"{name} needs masks, and no image of {split}_dataloader has mask_paths.")


def _any_item(dataset: Any, key: str) -> bool:
    """Tell whether any image has a value under ``key``; True for data sets that cannot be asked."""
    if not hasattr(dataset, "get_data_info"):
        return True
    values = (dataset.get_data_info(index).get(key) for index in range(len(dataset)))
    return any(value is not None and len(value) for value in values)
