"""Area of localization maps: that of a batch, not of an image (SAT, Wu et al., ICCV 2023)."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

from mmwsol.registry import MODELS


@MODELS.register_module()
class BatchAreaLoss(nn.Module):
    """Distance of the mean area of a batch's maps from a target: ``|mean(M) - target|`` (Eq. 7).

    The absolute value is taken of the mean over the batch, so that objects of different size are free as long as their
    mean is right. What a batch is under distributed training differs between the official codes: see ``sync``.

    Args:
        target (float): Mean area as a fraction of the frame, the paper's lambda: 0.25 on CUB, 0.35 on ILSVRC.
        sync (bool): Whether the batch is that of all ranks together (official CUB code), else every rank has its own
            term (official ILSVRC code). Ranks may have batches of different size. Defaults to True.
        loss_weight (float): Defaults to 1.0.

    Raises:
        ValueError: If ``target`` is no fraction.
    """

    def __init__(self, target: float, sync: bool = True, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= target <= 1:
            raise ValueError(f"target must be a fraction of the frame, 0 to 1, got {target}.")
        self.target = target
        self.sync = sync
        self.loss_weight = loss_weight

    def forward(self, maps: Tensor) -> Tensor:
        """Compute the loss of maps (B, h, w) or (B, 1, h, w) with values in [0, 1]."""
        distance = maps.mean() - self.target
        ranks = get_world_size() if self.sync else 1
        if ranks == 1:
            return self.loss_weight * distance.abs()
        # The mean over ranks, which distributed training takes of gradients, is |global mean - target| with its
        # gradient: the sign is that of all ranks together, and a rank counts as its number of images.
        count = maps.new_tensor(float(len(maps)))
        total = torch.stack([distance.detach() * count, count])
        all_reduce(total)
        return self.loss_weight * total[0].sign() * distance * (ranks * count / total[1])
