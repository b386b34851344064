"""Try a config: build everything, run one iteration, write nothing."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mmwsol.engine.batch_size import check_epoch_length, rank_config
from mmwsol.engine.offline import OfflineLoop
from mmwsol.engine.runners import build_runner
from mmwsol.engine.stages import Stage


def dry_run(stage: Stage) -> list[str]:
    """Build a stage and run one training and one validation iteration.

    Builds model (with its pretrained weights), data sets, optimizer, schedules, hooks and
    evaluators. Logs go to a temporary folder; no checkpoint is written, and the checkpoint of the
    previous stage is not needed. An offline stage makes its first file without writing it; a training loop of
    any other type than mmengine's two is built only.

    Args:
        stage: The stage.

    Returns:
        What was checked, one line each.
    """
    cfg = copy.deepcopy(rank_config(stage.cfg, get_world_size()))
    cfg.resume = False
    cfg.setdefault("default_hooks", {})["checkpoint"] = None
    (cfg.get("visualizer") or {}).pop("name", None)  # the Runner then takes experiment_name
    with tempfile.TemporaryDirectory(prefix="dry-run_") as folder:
        cfg.work_dir = folder
        cfg.experiment_name = Path(folder).name
        runner = build_runner(cfg)
        lines = [_describe_model(runner)]
        lines += _try_train(runner)
        if runner.val_loop is not None:
            lines += _try_val(runner)
        if runner.test_loop is not None:
            metrics = [type(m).__name__ for m in runner.test_evaluator.metrics]
            images = len(runner.test_dataloader.dataset)
            lines.append(f"test: {images} images, {', '.join(metrics)} (built, not run)")
    return lines


def _describe_model(runner: Runner) -> str:
    parameters = list(runner.model.parameters())
    total = sum(p.numel() for p in parameters) / 1e6
    trained = sum(p.numel() for p in parameters if p.requires_grad) / 1e6
    return f"model: {runner.model_name}, {total:.2f} M parameters, {trained:.2f} M trained"


def _try_train(runner: Runner) -> list[str]:
    """Follow ``Runner.train`` up to the first iteration."""
    loop = runner.train_loop
    check_epoch_length(runner)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
    if runner.param_schedulers is not None:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner.call_hook("before_run")
    runner._init_model_weights()
    runner.load_or_resume()
    images = len(loop.dataloader.dataset)
    lines = [
        f"train: {images} images, {len(loop.dataloader)} iterations per epoch",
        f"hooks: {', '.join(type(h).__name__ for h in runner.hooks)}",
    ]
    if not isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
        if isinstance(loop, OfflineLoop):
            loop.dry_run()
        else:
            lines.append(f"{type(loop).__name__}: built, not run")
        return lines
    runner.optim_wrapper.initialize_count_status(runner.model, 0, loop.max_iters)
    runner.call_hook("before_train")
    runner.call_hook("before_train_epoch")
    runner.model.train()
    batch = next(iter(loop.dataloader))
    if isinstance(loop, EpochBasedTrainLoop):
        loop.run_iter(0, batch)
    else:
        loop.run_iter(batch)
    scalars = runner.message_hub.log_scalars
    losses = [f"{k[6:]} {v.current():.4f}" for k, v in scalars.items() if "loss" in k]
    lines.append(f"one training iteration: {', '.join(losses)}")
    return lines


def _try_val(runner: Runner) -> list[str]:
    """Follow ``ValLoop.run`` for one batch."""
    loop = runner.val_loop
    runner.call_hook("before_val")
    runner.call_hook("before_val_epoch")
    runner.model.eval()
    batch = next(iter(loop.dataloader))
    loop.run_iter(0, batch)
    size = len(batch["inputs"]) * runner.world_size
    metrics: dict[str, Any] = loop.evaluator.evaluate(size)
    return [
        f"val: {len(loop.dataloader.dataset)} images",
        f"one validation iteration: {', '.join(metrics)}",
    ]
