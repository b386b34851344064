"""Hook that compares a run with the checkpoint that it goes on from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner

from mmwsol.engine.hooks.config_changes import check_config
from mmwsol.engine.hooks.model_parts import unwrapped
from mmwsol.files import writing
from mmwsol.models import ImageLocalizer
from mmwsol.registry import HOOKS

FACTS = "training_facts"  # in the meta of checkpoints

_ADVICE = (
    "mmengine would go on with the old schedule and a wrong learning rate. Resume with the old settings, or start a "
    "new run from these weights: load_from=CHECKPOINT, in another work directory."
)
# What moves while a schedule runs, and what only says how often it was asked.
_MOVING = ("last_step", "_global_step", "_last_value", "verbose", "optimizer")
_GROUP_SETTINGS = ("initial_lr", "weight_decay", "betas", "eps", "nesterov", "dampening")


@HOOKS.register_module()
class ResumeHook(Hook):
    """Refuse to go on from a checkpoint that does not fit the run, and keep the files of other runs.

    mmengine takes schedules, optimizer settings and counters from a checkpoint and ignores the config. Before it does,
    this hook compares what the checkpoint was trained with:

    - the batch of all ranks together, the iterations of an epoch, accumulated gradients: must be equal; another number
      of ranks with the same total batch is right as it is,
    - learning rate, other settings of the optimizer and the schedule, which depend on ``max_epochs`` unless it is
      constant or has milestones: must be equal,
    - the seed, if one is given: must be equal; without one that of the checkpoint is used,
    - ``max_epochs``: must not be less than the epochs done,
    - other settings of model and training data: a warning names them; an error if no epoch is left to train.

    Paths of the best checkpoint that lie outside the own folder (of a copied work directory, or of another run) are
    replaced by a file of the same name in it, a copy if need be, so that mmengine does not remove the original. Of the
    numbers of the checkpoints to keep, from which mmengine makes the names of files to remove, only numbers are taken.

    Weights are compared, too. To resume and to test, all tensors of a localizer must be there, with their shapes; to
    start from (``load_from``), a third of its backbone's.

    Raises:
        ValueError: If something does not fit. The message names it with both values.
    """

    priority = "VERY_HIGH"

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write down what the run is trained with."""
        checkpoint["meta"][FACTS] = training_facts(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the checkpoint with the run, before anything of it is used."""
        trains = isinstance(getattr(runner, "_train_loop", None), BaseLoop)
        resumes = trains and bool(getattr(runner, "_resume", False))
        check_tensors(unwrapped(runner.model), checkpoint, complete=resumes or not trains)
        if not resumes:
            return
        meta = checkpoint.get("meta")
        if not isinstance(meta, Mapping) or not {"epoch", "iter"} <= meta.keys() or "optimizer" not in checkpoint:
            raise ValueError(
                "this checkpoint holds weights alone, no optimizer, epoch and iteration (a best_*.pth or a converted "
                "one): a run cannot be resumed from it. Start from it with load_from, or resume from epoch_*.pth."
            )
        changes = [*_changed_facts(runner, meta), *_changed_schedules(runner, checkpoint)]
        changes += _changed_optimizer(runner, checkpoint)
        seed = runner._randomness_cfg.get("seed")
        if seed is not None and meta.get("seed") not in (None, seed):
            changes.append(f"seed {meta['seed']} -> {seed}")
        if changes:
            raise ValueError(f"the checkpoint was trained with other settings: {'; '.join(changes)}. {_ADVICE}")
        done, total = meta["epoch"], getattr(runner.train_loop, "max_epochs", None)
        if isinstance(runner.train_loop, EpochBasedTrainLoop) and total is not None and done > total:
            raise ValueError(
                f"the checkpoint has {done} epochs, train_cfg.max_epochs is {total}: nothing is left to do."
            )
        check_config(runner, checkpoint, _ended(runner.train_loop, meta))
        _report(runner, meta)
        _keep_own_files(runner, checkpoint)


def _ended(loop: Any, meta: Mapping[str, Any]) -> bool:
    """Tell whether a checkpoint is the last one of its training."""
    if isinstance(loop, EpochBasedTrainLoop):
        return meta["epoch"] >= loop.max_epochs
    return meta["iter"] >= getattr(loop, "max_iters", float("inf"))


def training_facts(runner: Runner) -> dict[str, Any]:
    """Return what the numbers of a run depend on beside its schedule."""
    loop, wrapper = runner.train_loop, runner.optim_wrapper
    batch_size = getattr(getattr(loop.dataloader, "batch_sampler", None), "batch_size", None)
    facts = dict(
        ranks=runner.world_size,
        total_batch_size=None if batch_size is None else batch_size * runner.world_size,
        accumulative_counts=getattr(wrapper, "_accumulative_counts", None),
        max_epochs=getattr(loop, "max_epochs", None),
    )
    if isinstance(loop, EpochBasedTrainLoop):
        facts["iterations_per_epoch"] = len(loop.dataloader)
    return facts


def check_tensors(model: Any, checkpoint: Mapping[str, Any], complete: bool) -> None:
    """Check that a checkpoint has the tensors of a localizer; other models are left alone.

    Args:
        model: The model, without wrappers.
        checkpoint: Contents of the checkpoint.
        complete: Whether all tensors are needed, except a calibrated threshold; else a third of those of the
            backbone.

    Raises:
        ValueError: If too few are there.
    """
    if not isinstance(model, ImageLocalizer):
        return
    stored = checkpoint.get("state_dict", checkpoint)
    weights = {name.removeprefix("module."): value for name, value in stored.items() if hasattr(value, "shape")}
    if model.take_release(weights) is not None:
        return
    model.head.adapt_weights(weights, "")
    shapes = {
        name: value.shape for name, value in model.state_dict().items() if not name.endswith("map_to_box.threshold")
    }
    if not complete:
        shapes = {name: shape for name, shape in shapes.items() if name.startswith("backbone.")}
    absent = [name for name, shape in shapes.items() if name not in weights or weights[name].shape != shape]
    present = len(shapes) - len(absent)
    if absent and (complete or 3 * present < len(shapes)):  # TRT makes its last block, TPSM and CAM branch of one block
        what = "tensors of the model" if complete else "tensors of the backbone"
        raise ValueError(
            f"the checkpoint has only {present} of the {len(shapes)} {what}, in their shapes; it lacks "
            f"{', '.join(absent[:3])}: the others would keep their random values. It belongs to another config or "
            "stage, was cut, or is of another package (tools/model_converters/convert_official.py)."
        )


def _changed_facts(runner: Runner, meta: Mapping[str, Any]) -> list[str]:
    now, then = training_facts(runner), meta.get(FACTS)
    if not isinstance(then, Mapping):  # written without this hook
        then = {}
        if isinstance(runner.train_loop, EpochBasedTrainLoop) and meta["epoch"] and meta["iter"] % meta["epoch"] == 0:
            then = dict(iterations_per_epoch=meta["iter"] // meta["epoch"])
    names = ("total_batch_size", "iterations_per_epoch", "accumulative_counts")
    return [
        f"{name.replace('_', ' ')} {then[name]} -> {now[name]}"
        for name in names
        if then.get(name) is not None and now.get(name) is not None and then[name] != now[name]
    ]


def _changed_schedules(runner: Runner, checkpoint: Mapping[str, Any]) -> list[str]:
    now, then = runner.param_schedulers, checkpoint.get("param_schedulers")
    if isinstance(now, dict) or isinstance(then, dict):  # several optimizers
        return []
    now, then = list(now or ()), list(then or ())
    if len(now) != len(then):
        return [f"{len(then)} -> {len(now)} parts of param_scheduler"]
    changes = []
    for number, (ours, theirs) in enumerate(zip(now, then, strict=True)):
        state = ours.state_dict()
        for name in sorted(state.keys() & theirs.keys() - set(_MOVING)):
            if repr(state[name]) != repr(theirs[name]):
                key = f"param_scheduler[{number}] ({type(ours).__name__}) {name}"
                changes.append(f"{key} {_short(theirs[name])} -> {_short(state[name])}")
    return changes


def _changed_optimizer(runner: Runner, checkpoint: Mapping[str, Any]) -> list[str]:
    optimizer = getattr(runner.optim_wrapper, "optimizer", None)
    then = checkpoint["optimizer"].get("param_groups")
    if optimizer is None or then is None:  # several optimizers
        return []
    now = optimizer.param_groups
    if len(now) != len(then):
        return [f"{len(then)} -> {len(now)} parameter groups of the optimizer"]
    names = _GROUP_SETTINGS if runner.param_schedulers else ("lr", *_GROUP_SETTINGS)
    changes: list[str] = []
    for ours, theirs in zip(now, then, strict=True):
        for name in names:
            known = name in ours and name in theirs
            change = f"{name} of the optimizer {theirs.get(name)} -> {ours.get(name)}"
            if known and repr(ours[name]) != repr(theirs[name]) and change not in changes:
                changes.append(change)
    return changes[:4]


def _report(runner: Runner, meta: Mapping[str, Any]) -> None:
    """Say what differs and is right all the same."""
    facts = meta.get(FACTS) or {}
    now = training_facts(runner)
    for name in ("ranks", "max_epochs"):
        if facts.get(name) is not None and facts[name] != now[name]:
            runner.logger.warning(
                f"The checkpoint was trained with {facts[name]} {name}, now {now[name]}: batch and schedule are equal."
            )
    sampler: Any = getattr(runner.train_loop.dataloader, "sampler", None)
    if meta.get("seed") is not None and hasattr(sampler, "seed"):
        sampler.seed = meta["seed"]  # a run without a given seed has drawn another


def _keep_own_files(runner: Runner, checkpoint: Mapping[str, Any]) -> None:
    """Let the paths of checkpoints lie in the own folder; without the file of the best one, forget the score."""
    info = checkpoint["message_hub"]["runtime_info"]
    folder = checkpoint_folder(runner)
    _keep_numbers(runner, info)
    if "last_ckpt" in info:
        info["last_ckpt"] = str(folder / Path(str(info["last_ckpt"])).name)
    for name in [name for name in info if name == "best_ckpt" or name.startswith("best_ckpt_")]:
        path, best = Path(str(info[name])), folder / Path(str(info[name])).name
        if path.resolve().parent == folder.resolve():
            continue
        if is_main_process() and best.name.startswith("best_") and not best.is_file() and path.is_file():
            with writing(best) as part:
                shutil.copyfile(path, part)
            runner.logger.info(f"The best checkpoint so far, {path}, is copied to {best}; the original stays.")
        barrier()
        if best.is_file():
            info[name] = str(best)
            continue
        runner.logger.warning(f"The best checkpoint so far, {path}, is gone: the next validation's counts as the best.")
        del info[name]
        info.pop(name.replace("best_ckpt", "best_score"), None)
        keys = checkpoint["message_hub"]["resumed_keys"]
        for key in (name, name.replace("best_ckpt", "best_score")):
            keys.pop(key, None)


def _keep_numbers(runner: Runner, info: dict[str, Any]) -> None:
    """Leave out of ``keep_ckpt_ids`` what is no number: 'epoch_<id>.pth' could be the path of any file."""
    if "keep_ckpt_ids" not in info:
        return
    given = info["keep_ckpt_ids"]
    listed = list(given) if isinstance(given, (list, tuple)) else [given]
    info["keep_ckpt_ids"] = [number for number in listed if type(number) is int and number >= 0]
    if len(info["keep_ckpt_ids"]) < len(listed):
        runner.logger.warning("keep_ckpt_ids of the checkpoint has entries that are no whole numbers: left out.")


def checkpoint_folder(runner: Runner) -> Path:
    """Return the folder in which a run saves its checkpoints; before training, too."""
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    out_dir = getattr(hook, "out_dir", None)
    if out_dir is None or str(out_dir) == runner.work_dir:
        return Path(runner.work_dir)
    return Path(out_dir, Path(runner.work_dir).name)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
