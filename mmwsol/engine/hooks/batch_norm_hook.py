"""Hook that makes ranks agree on the statistics of batch norm."""

from __future__ import annotations

from typing import Any

from mmengine.dist import all_reduce_params, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from mmwsol.registry import HOOKS


@HOOKS.register_module()
class BatchNormHook(Hook):
    """Average the running statistics of batch norm over all ranks before validation and saving.

    mmengine wraps models with ``broadcast_buffers=False``: each rank collects the statistics of its own
    images. Without this hook, ranks validate as different models, and a checkpoint is that of rank 0.
    Layers that are not trained, in evaluation mode, and all other buffers stay as they are (mmengine's
    ``SyncBuffersHook`` averages those, too, and rounds them). Does nothing in one process.

    In an iteration-based loop a checkpoint between two validations is not covered: set
    ``sync_bn='torch'`` there, which also normalizes by the images of all ranks (GPU only).
    """

    def __init__(self) -> None:
        self._changed = False

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Note that statistics may differ now."""
        self._changed = True

    def after_train_epoch(self, runner: Runner) -> None:
        """Average before the checkpoint of the epoch."""
        self._average(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Average before a validation in the middle of an iteration-based loop."""
        self._average(runner)

    def _average(self, runner: Runner) -> None:
        if not self._changed or get_world_size() == 1:
            return
        self._changed = False
        layers = [m for m in runner.model.modules() if isinstance(m, _BatchNorm) and m.training]
        buffers = [value for layer in layers for value in (layer.running_mean, layer.running_var) if value is not None]
        if buffers:
            all_reduce_params(buffers, op="mean")
