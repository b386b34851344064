"""Hook that chooses the threshold of the box rule on the validation set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmwsol.compat import load_checkpoint_file
from mmwsol.engine.hooks.resume_hook import checkpoint_folder
from mmwsol.evaluation.metrics import BaseLocMetric, LocAccuracy
from mmwsol.evaluation.metrics.sample import rule_settings
from mmwsol.files import writing
from mmwsol.models import ImageLocalizer
from mmwsol.models.wrappers import unwrapped
from mmwsol.registry import HOOKS

KEY = "map_to_box.threshold"


@HOOKS.register_module()
class ThresholdCalibrationHook(Hook):
    """Write the threshold that a validation found into the model and its checkpoints.

    Give the model's box rule no threshold, the validation a search with the same box rule, and the
    test the same metric, which then evaluates at the threshold that the checkpoint holds:

        model = dict(..., map_to_box=dict(type='mmwsol.ContourBox', preset='tscam'))
        val_evaluator = [
            dict(type='mmwsol.LocAccuracy', map_to_box='model',
                 threshold=dict(grid=0.01, select_by='gt_known', select_on='val'))]
        test_evaluator = val_evaluator
        custom_hooks = [dict(type='mmwsol.ThresholdCalibrationHook')]

    To metrics with ``map_to_box='model'`` the hook hands the model's rule; others may write the rule down.

    mmengine saves the checkpoint of an epoch before the validation of that epoch: the hook then
    amends the file, where it holds the validated weights. Checkpoints of epochs without validation
    hold the threshold of the validation before, or none. Until the first validation is over the
    model's own boxes use 0.5.

    Raises:
        ValueError: If the model's box rule was given a threshold, if not exactly one metric of the
            validation searches with ``select_on='val'``, or if its box rule is another one.
    """

    priority = "LOW"  # after EMAHook has put the weights back, before CheckpointHook saves the best

    def __init__(self) -> None:
        self._training = False
        self._metric: LocAccuracy | None = None

    def before_train(self, runner: Runner) -> None:
        """Check the configuration before an epoch is spent."""
        self._training = True
        if runner.val_loop is not None:
            self._find_metric(runner)

    def after_train(self, runner: Runner) -> None:
        """Leave later validations alone."""
        self._training = False

    def before_val_epoch(self, runner: Runner) -> None:
        """Let the metric search; give an uncalibrated model a threshold to start with."""
        self._metric = self._find_metric(runner)
        self._metric.start_search()
        buffer = _box_rule(runner).threshold
        if buffer.isnan():
            runner.logger.info("The box rule has no threshold yet: the model's own boxes use 0.5 in this validation.")
            buffer.fill_(0.5)

    def before_test_epoch(self, runner: Runner) -> None:
        """Hand out the model's box rule."""
        _give_rule(runner.test_loop, _box_rule(runner))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the threshold; ``metrics`` is the same on all ranks."""
        metric, self._metric = self._metric, None
        if metric is None:
            return
        metric.stop_search()
        threshold = float((metrics or {})[f"{metric.prefix}/threshold"])
        _box_rule(runner).threshold.fill_(threshold)
        runner.logger.info(
            f"Threshold {threshold:g} is the {metric.description['threshold_source']}: kept in the model."
        )
        if self._training and is_main_process():
            self._amend(runner, threshold)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the threshold into the state that is saved: that of an averaged model has an old one."""
        state = checkpoint["state_dict"]
        if KEY in state:
            state[KEY] = _box_rule(runner).threshold.detach().cpu().clone()

    def _find_metric(self, runner: Runner) -> LocAccuracy:
        """Return the metric that searches, after all checks."""
        rule = _box_rule(runner)
        _give_rule(runner.val_loop, rule)
        if "threshold" not in rule.state_dict():
            raise ValueError(
                "ThresholdCalibrationHook: model.map_to_box was given a threshold, which no checkpoint would keep: "
                "remove threshold= there, or this hook"
            )
        searching = [
            metric
            for metric in runner.val_loop.evaluator.metrics
            if isinstance(metric, LocAccuracy) and metric.search is not None and metric.search.select_on == "val"
        ]
        if len(searching) != 1:
            raise ValueError(
                f"ThresholdCalibrationHook: {len(searching)} metrics of val_evaluator search a threshold, one is "
                "needed: dict(type='mmwsol.LocAccuracy', map_to_box=..., threshold=dict(grid=0.01, select_on='val'))"
            )
        [metric] = searching
        if rule_settings(metric.map_to_box) != rule_settings(rule):
            raise ValueError(
                f"ThresholdCalibrationHook: the model's box rule is {rule_settings(rule)}, that of the metric "
                f"{rule_settings(metric.map_to_box)}: give both the same map_to_box"
            )
        return metric

    @staticmethod
    def _amend(runner: Runner, threshold: float) -> None:
        """Write the threshold into the last checkpoint if it holds the weights just validated."""
        name = runner.message_hub.runtime_info.get("last_ckpt")
        if name is None:  # nothing saved yet
            return
        path = checkpoint_folder(runner) / Path(str(name)).name  # a copied run's name is that of the original
        if not path.is_file():  # not on a local disk
            return
        checkpoint: dict[str, Any] = load_checkpoint_file(str(path))
        meta = checkpoint.get("meta", {})
        if (meta.get("epoch"), meta.get("iter")) != (runner.epoch, runner.iter):
            return
        for state in ("state_dict", "ema_state_dict"):
            for key, value in checkpoint.get(state, {}).items():
                if key in (KEY, f"module.{KEY}"):
                    value.fill_(threshold)
        with writing(path) as part:  # a killed run leaves the old file or the new one
            torch.save(checkpoint, part)


def _give_rule(loop: Any, rule: Any) -> None:
    """Hand the model's box rule to the metrics that ask for it."""
    for metric in loop.evaluator.metrics:
        if isinstance(metric, BaseLocMetric) and metric.rule_of_model:
            metric.take_rule(rule)


def _box_rule(runner: Runner) -> Any:
    """Return the model's box rule."""
    model = unwrapped(runner.model)
    if not isinstance(model, ImageLocalizer):
        raise ValueError(f"ThresholdCalibrationHook: {type(model).__name__} is no localizer with a map_to_box")
    return model.map_to_box
