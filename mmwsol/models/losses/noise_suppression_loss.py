"""Noise in attention maps (object constraint module of CATR and CDTR)."""

from __future__ import annotations

from torch import Tensor, nn

from mmwsol.registry import MODELS

REDUCE = ("batch_sum", "mean")


@MODELS.register_module()
class NoiseSuppressionLoss(nn.Module):
    """Pull the weakest attention of every image to zero: the mean over the map of the values that are not above a bar.

    The bar is the ``ratio`` quantile of the image's own map, ``sorted(M)[int(N * ratio)]``; values equal to it count.
    It is a comparison only, gradients go to the weak values alone (CDTR Eq. 7).

    Args:
        ratio (float): Fraction p of the cells that are noise. Defaults to 0.25 (CUB; ILSVRC 0.1).
        reduce (str): 'batch_sum' adds the images of the batch, as the official code does, which makes the weight of the
            loss proportional to the batch of a GPU: 128 on CUB, 64 on ILSVRC. 'mean' is the paper's; ``loss_weight``
            128 gives it the official scale whatever the batch. Defaults to 'batch_sum'.
        loss_weight (float): Defaults to 1.0.

    Raises:
        ValueError: If an option is unknown or ``ratio`` is no fraction.
    """

    def __init__(self, ratio: float = 0.25, reduce: str = "batch_sum", loss_weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= ratio < 1:
            raise ValueError(f"ratio must satisfy 0 <= ratio < 1, got {ratio}.")
        if reduce not in REDUCE:
            raise ValueError(f"reduce must be one of {REDUCE}, got {reduce!r}.")
        self.ratio = ratio
        self.reduce = reduce
        self.loss_weight = loss_weight

    def threshold(self, attention: Tensor) -> Tensor:
        """Compute the bars (B,) of maps (B, h, w), without gradient."""
        flat = attention.detach().flatten(1)
        return flat.kthvalue(int(flat.shape[1] * self.ratio) + 1, dim=1).values

    def forward(self, attention: Tensor) -> Tensor:
        """Compute the loss of maps (B, h, w)."""
        noise = attention * (attention <= self.threshold(attention)[:, None, None])
        loss = noise.mean(dim=(1, 2))
        return self.loss_weight * (loss.sum() if self.reduce == "batch_sum" else loss.mean())
