"""Agreement of attention with a learned foreground map (object constraint module of CATR and CDTR)."""

from __future__ import annotations

from torch import Tensor, nn

from mmwsol.registry import MODELS

PAIRS = ("same", "all")
DETACH = ("none", "pseudo", "attention")


@MODELS.register_module()
class ObjectAwakeningLoss(nn.Module):
    """Mean square difference of the pseudo map and the attention (CDTR Eq. 8).

    Args:
        pairs (str): 'same' compares the two maps of an image (paper). 'all' compares every pseudo map with the
            attention of every image of the batch, which a broadcast makes of it in the official code: that equals
            ``mean (P_b - mean M)^2 + mean (M_b - mean M)^2`` and pulls all images towards the batch's mean. Defaults
            to 'same'.
        detach (str): Side that gets no gradient: 'none' (official code), 'pseudo' or 'attention'. Defaults to 'none'.
        loss_weight (float): Defaults to 1.0.

    Raises:
        ValueError: If an option is unknown.
    """

    def __init__(self, pairs: str = "same", detach: str = "none", loss_weight: float = 1.0) -> None:
        super().__init__()
        if pairs not in PAIRS:
            raise ValueError(f"pairs must be one of {PAIRS}, got {pairs!r}.")
        if detach not in DETACH:
            raise ValueError(f"detach must be one of {DETACH}, got {detach!r}.")
        self.pairs = pairs
        self.detach = detach
        self.loss_weight = loss_weight

    def forward(self, pseudo: Tensor, attention: Tensor) -> Tensor:
        """Compute the loss of pseudo maps (B, h, w) and attention (B, h, w)."""
        if self.detach == "pseudo":
            pseudo = pseudo.detach()
        elif self.detach == "attention":
            attention = attention.detach()
        if self.pairs == "all":
            pseudo = pseudo[:, None]  # (B, 1, h, w) - (B, h, w): all pairs
        return self.loss_weight * (pseudo - attention).square().mean()
