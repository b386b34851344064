"""Hook that makes validation and the best checkpoint safe against kills."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook, Hook
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

    mmengine removes the best checkpoint before it writes a better one. With this hook the better one is written first.
    """

    priority = "LOWEST"  # after the CheckpointHook

    def __init__(self) -> None:
        self._training = False
        self._before: dict[str | None, str] = {}

    def before_train(self, runner: Runner) -> None:
        """Validate the epoch that was resumed, unless that was done."""
        self._training = True
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
            name = hook.filename_tmpl.format(loop.epoch)
            if Path(hook.out_dir, name).is_file():
                hook.last_ckpt = os.path.join(hook.out_dir, name)  # it gets the new best checkpoint's name
            runner.val_loop.run()

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
        if is_main_process():
            write_text(Path(runner.work_dir, MARK), _state(runner))

    def after_train(self, runner: Runner) -> None:
        """Leave later validations alone."""
        self._training = False


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
