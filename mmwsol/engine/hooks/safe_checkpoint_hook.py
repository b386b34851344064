"""Hook that makes validation and checkpoints safe against kills."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmwsol.files import write_text
from mmwsol.registry import HOOKS

MARK = "last_validation"


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Let a killed run go on as if it had not been killed.

    mmengine saves the checkpoint of an epoch before its validation, and a resumed run goes on with the next epoch: an
    epoch whose validation a kill cut short could never become the best. This hook validates it after the resume; the
    file ``last_validation`` in the work directory says which validation is over.

    mmengine removes the best checkpoint before it writes a better one, and the oldest of ``max_keep_ckpts`` before it
    writes the next. With this hook the new one is written first, so that ``max_keep_ckpts=1`` is safe, too.
    """

    priority = "LOWEST"  # after the CheckpointHook

    def __init__(self) -> None:
        self._training = False
        self._before: dict[str | None, str] = {}
        self._limit = 0  # max_keep_ckpts of the config

    def before_train(self, runner: Runner) -> None:
        """Validate the epoch that was resumed, unless that was done."""
        self._training = True
        self._keep_one_more(runner)
        mark = Path(runner.work_dir, MARK)
        validated = mark.is_file() and mark.read_bytes().strip() == _state(runner).encode()
        barrier()
        if not validated and is_main_process():
            mark.unlink(missing_ok=True)
        hook = _checkpoint_hook(runner)
        loop = runner.train_loop
        if hook is None or not isinstance(loop, EpochBasedTrainLoop) or loop.epoch == 0:
            return
        if validated and all(Path(path).is_file() for path in _best_paths(hook).values()):
            return
        loop._decide_current_val_interval()
        due = loop.epoch % loop.val_interval == 0 or loop.epoch >= loop.max_epochs
        if runner.val_loop is not None and loop.epoch >= loop.val_begin and due:
            runner.logger.info(f"The validation of epoch {loop.epoch} was interrupted: it is done now.")
            HistoryBuffer()  # the first one of a process registers means, which those out of the checkpoint need
            name = hook.filename_tmpl.format(loop.epoch)
            if Path(hook.out_dir, name).is_file():
                hook.last_ckpt = os.path.join(hook.out_dir, name)  # it gets the new best checkpoint's name
            runner.val_loop.run()

    def after_train_epoch(self, runner: Runner) -> None:
        """Remove the oldest checkpoint, now that the new one is written."""
        self._remove_outdated(runner)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Remove the oldest checkpoint of a run that saves by iterations."""
        self._remove_outdated(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Hide the best checkpoint: mmengine removes it before it writes the new one."""
        hook = _checkpoint_hook(runner)
        if self._training and hook is not None:
            self._before = _best_paths(hook)
            for key in self._before:
                _set_best_path(hook, key, None)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Remove the best checkpoint that is one no more, and note that the validation is over."""
        hook = _checkpoint_hook(runner)
        if not self._training or hook is None:
            return
        now = _best_paths(hook)
        for key, path in self._before.items():
            if key not in now:  # none was better
                _set_best_path(hook, key, path)
        kept = {os.path.realpath(path) for path in _best_paths(hook).values()}
        for path in self._before.values():
            inside = os.path.realpath(os.path.dirname(path)) == os.path.realpath(hook.out_dir)
            if is_main_process() and inside and os.path.realpath(path) not in kept:
                Path(path).unlink(missing_ok=True)
        self._before = {}
        self._remove_outdated(runner)  # a checkpoint that was missing is written anew with the best one
        if is_main_process():
            write_text(Path(runner.work_dir, MARK), _state(runner))

    def after_train(self, runner: Runner) -> None:
        """Leave later validations alone."""
        self._training = False
        hook = _checkpoint_hook(runner)
        if hook is not None and self._limit:
            hook.max_keep_ckpts, hook.keep_ckpt_ids = self._limit, deque(hook.keep_ckpt_ids, self._limit)
            self._limit = 0

    def _keep_one_more(self, runner: Runner) -> None:
        """Let mmengine keep one checkpoint more than the config says, until :meth:`_remove_outdated`."""
        hook = _checkpoint_hook(runner)
        if hook is not None and hook.max_keep_ckpts > 0:
            self._limit = hook.max_keep_ckpts
            hook.max_keep_ckpts += 1
            hook.keep_ckpt_ids = deque(hook.keep_ckpt_ids, hook.max_keep_ckpts)

    def _remove_outdated(self, runner: Runner) -> None:
        """Remove the checkpoints that are more than the config says; the newest is on the disk before."""
        hook = _checkpoint_hook(runner)
        if hook is None or not self._limit:
            return
        while len(hook.keep_ckpt_ids) > self._limit:
            step = hook.keep_ckpt_ids.popleft()
            if not is_main_process():
                continue
            _flush(hook.last_ckpt)
            path = hook.file_backend.join_path(hook.out_dir, hook.filename_tmpl.format(step))
            if hook.file_backend.isfile(path):
                hook.file_backend.remove(path)
            elif hook.file_backend.isdir(path):  # of DeepSpeed
                hook.file_backend.rmtree(path)


def _flush(path: str) -> None:
    """Bring a file from memory to the disk: otherwise a power cut could take it after the older one is removed."""
    if Path(path).is_file():
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _state(runner: Runner) -> str:
    return f"{runner.epoch} {runner.iter}"


def _checkpoint_hook(runner: Runner) -> CheckpointHook | None:
    return next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)


def _set_best_path(hook: CheckpointHook, key: str | None, path: str | None) -> None:
    if key is None:
        hook.best_ckpt_path = path
    else:
        hook.best_ckpt_path_dict[key] = path


def _best_paths(hook: CheckpointHook) -> dict[str | None, str]:
    """Return the best checkpoints by metric; by None where there is one."""
    paths = {None: getattr(hook, "best_ckpt_path", None), **getattr(hook, "best_ckpt_path_dict", {})}
    return {key: str(path) for key, path in paths.items() if path}
