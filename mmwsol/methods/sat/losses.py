"""SAT's losses of maps: the area of a batch, and maps that are 0 or 1 (Wu et al., ICCV 2023)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

from mmwsol.models.heads.base import Batch, MapLoss
from mmwsol.registry import MODELS


@MODELS.register_module()
class BatchAreaLoss(MapLoss):
    """Distance of the mean area of a batch's maps from a target: ``|mean(M) - target|`` (Eq. 7).

    The absolute value is taken of the mean over the batch, so that objects of different size are free as long as their
    mean is right. What a batch is under distributed training differs between the official codes: see ``sync``.

    Args:
        target: Mean area as a fraction of the frame, the paper's lambda: 0.25 on CUB, 0.35 on ILSVRC.
        sync: Whether the batch is that of all ranks together (official CUB code), else every rank has its own
            term (official ILSVRC code). Ranks may have batches of different size. Defaults to True.
        loss_weight: Defaults to 1.0.

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

    def forward(self, maps: Tensor, batch: Batch | None = None) -> Tensor:
        """Compute the loss of maps (B, h, w) with values in [0, 1]."""
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


KERNELS = ("nsig", "gaussian", None)
PADDINGS = ("zeros", "reflect", "replicate")


def nsig_kernel(size: int = 3, nsig: float = 6.0) -> Tensor:
    """Make the smoothing kernel of the official code, (size, size) float64 with sum 1.

    The standard normal over +-(nsig + half a bin) is cut into ``size`` bins; the kernel is the square root of the outer
    product of their masses. A larger ``nsig`` is therefore a *sharper* kernel: 3x3 with nsig 6 has its center at
    0.805, a Gaussian with sigma 6, which is what the paper says, at 0.113.
    """
    half = nsig + (2 * nsig + 1) / (2 * size)
    edges = [-half + 2 * half * i / size for i in range(size + 1)]
    below = [0.5 * (1 + math.erf(edge / math.sqrt(2))) for edge in edges]
    mass = torch.tensor([b - a for a, b in zip(below, below[1:], strict=False)], dtype=torch.float64)
    kernel = torch.outer(mass, mass).sqrt()
    return kernel / kernel.sum()


def gaussian_kernel(size: int = 3, sigma: float = 6.0) -> Tensor:
    """Make a sampled Gaussian, (size, size) float64 with sum 1; ``sigma`` in cells."""
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    mass = torch.exp(-(offset**2) / (2 * sigma**2))
    kernel = torch.outer(mass, mass)
    return kernel / kernel.sum()


@MODELS.register_module()
class MapNormalizationLoss(MapLoss):
    """Push the values of a map towards 0 and 1: ``mean(M* (1 - M*))``, ``M*`` the smoothed map.

    With zero padding, as in the official code, even a map of ones has a small loss at its borders.

    Args:
        kernel: 'nsig' (official code, :func:`nsig_kernel`), 'gaussian' (the paper's text) or None: no
            smoothing. Defaults to 'nsig'.
        kernel_size: Odd size. Defaults to 3.
        sigma: ``nsig`` of the first, standard deviation in cells of the second kernel. Defaults to 6.0.
        padding_mode: 'zeros', 'reflect' or 'replicate'. Defaults to 'zeros'.
        loss_weight: Defaults to 1.0.

    Raises:
        ValueError: If an option is unknown, or ``kernel_size`` or ``sigma`` is out of range.
    """

    def __init__(
        self,
        kernel: str | None = "nsig",
        kernel_size: int = 3,
        sigma: float = 6.0,
        padding_mode: str = "zeros",
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if kernel not in KERNELS:
            raise ValueError(f"kernel must be one of {KERNELS}, got {kernel!r}.")
        if padding_mode not in PADDINGS:
            raise ValueError(f"padding_mode must be one of {PADDINGS}, got {padding_mode!r}.")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}.")
        if sigma <= 0:
            raise ValueError(f"sigma must be positive, got {sigma}.")
        self.padding = kernel_size // 2
        self.padding_mode = "constant" if padding_mode == "zeros" else padding_mode
        self.loss_weight = loss_weight
        self.kernel: Tensor | None
        weight = None
        if kernel is not None:
            make = nsig_kernel if kernel == "nsig" else gaussian_kernel
            weight = make(kernel_size, sigma).float()  # rounded once, as in the official code
        # Fixed, thus not in checkpoints.
        self.register_buffer("kernel", weight, persistent=False)

    def smooth(self, maps: Tensor) -> Tensor:
        """Smooth maps (B, h, w)."""
        if self.kernel is None:
            return maps
        padded = F.pad(maps[:, None], (self.padding,) * 4, mode=self.padding_mode)
        return F.conv2d(padded, self.kernel.to(maps)[None, None])[:, 0]

    def forward(self, maps: Tensor, batch: Batch | None = None) -> Tensor:
        """Compute the loss of maps (B, h, w) with values in [0, 1]; in float32 at least, also under autocast."""
        with torch.autocast(device_type=maps.device.type, enabled=False):
            smooth = self.smooth(maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps)
            return self.loss_weight * (smooth * (1 - smooth)).mean()
