"""The batch of all ranks together, and each rank's share of it."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner


def rank_config(cfg: Config, ranks: int) -> Config:
    """Give one rank its share of ``total_batch_size``.

    A config says what the paper's number means, the images of all ranks together, and repeats it as
    ``train_dataloader.batch_size``, so that a plain Runner in one process is right as it stands.
    mmengine reads the latter as the images of one process.

    Args:
        cfg: Config of a run, not changed. One without ``total_batch_size`` or without
            ``train_dataloader`` is returned as it is: its batch size is that of one process.
        ranks: Number of processes.

    Returns:
        ``cfg`` itself for one rank. For several, a copy with the batch size of one process and
        without ``total_batch_size``, which a checkpoint or a dumped config would contradict.

    Raises:
        ValueError: If ``total_batch_size`` is no positive integer, differs from
            ``train_dataloader.batch_size`` or cannot be divided by the number of ranks.
    """
    total, loader = cfg.get("total_batch_size"), cfg.get("train_dataloader")
    if total is None or loader is None:
        return cfg
    if not isinstance(total, int) or total < 1:
        raise ValueError(f"total_batch_size must be a positive integer, got {total!r}.")
    if loader.get("batch_size") != total:
        raise ValueError(
            f"train_dataloader.batch_size={loader.get('batch_size')} differs from total_batch_size={total}, the batch "
            "of all GPUs together. Write the same number in both; on the command line, give --cfg-options "
            "total_batch_size=N alone."
        )
    if total % ranks:
        below = total - total % ranks
        nearest = f"{below} or {below + ranks}" if below else ranks
        raise ValueError(
            f"total_batch_size={total} cannot be divided by {ranks} ranks. Use a number of GPUs that divides it, or "
            f"another batch, --cfg-options total_batch_size={nearest}, with --auto-scale-lr."
        )
    if ranks == 1:
        return cfg
    cfg = copy.deepcopy(cfg)
    cfg.train_dataloader.batch_size = total // ranks
    cfg.pop("total_batch_size")
    return cfg


def check_epoch_length(runner: Runner) -> None:
    """Check, before training, that an epoch has an iteration.

    Raises:
        ValueError: If it has none: ``drop_last`` drops a batch that is not whole, and there is no other.
    """
    loader: Any = getattr(runner.train_loop, "dataloader", None)
    try:
        iterations, images = len(loader), len(loader.dataset)
    except (TypeError, AttributeError):  # no data loader, or one without end
        return
    if iterations > 0:
        return
    if images == 0:
        raise ValueError("train_dataloader.dataset has no images: there is nothing to train on.")
    batch_size = getattr(getattr(loader, "batch_sampler", None), "batch_size", None)
    ranks = f" on each of {runner.world_size} ranks" if runner.world_size > 1 else ""
    raise ValueError(
        f"train_dataloader.dataset has {images} images, fewer than one batch of {batch_size}{ranks}, and "
        "train_dataloader.drop_last=True drops a batch that is not whole: an epoch has no iteration. Take a smaller "
        "batch (total_batch_size; without one in the config, train_dataloader.batch_size), more images, or "
        "drop_last=False."
    )
