"""The batch of all ranks together, and each rank's share of it."""

from __future__ import annotations

import copy

from mmengine.config import Config


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
