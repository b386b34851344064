"""What backbones share: files of weights, and the attention and tokens that they hand out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmwsol.models.initialization import PretrainedLast
from mmwsol.models.layers.attention import TAPS
from mmwsol.models.weights import load_backbone


class PretrainedBackbone(PretrainedLast):
    """A backbone whose ``init_cfg`` may name a file of any layout that :func:`load_backbone` knows."""

    def load_weights(self, init_cfg: dict[str, Any]) -> None:
        """Load the weights of ``init_cfg``."""
        load_backbone(self, init_cfg["checkpoint"], init_cfg.get("prefix"))


class Tapping:
    """Mixin of transformers that hand out their attention, and their tokens at some depths.

    Attributes:
        tap: Attention to return: 'none', 'cls' or 'full'.
        tap_layers: Blocks to tap, from 0.
        tap_in_train: Whether to tap in training mode too.
        out_tokens: Depths at which to return tokens, from 0.
    """

    tap: str
    tap_layers: tuple[int, ...]
    tap_in_train: bool
    out_tokens: tuple[int, ...]
    training: bool  # of the nn.Module

    def set_taps(
        self, depth: int, tap: str, tap_layers: Sequence[int] | None, tap_in_train: bool, out_tokens: Sequence[int]
    ) -> None:
        """Take the options of a transformer of ``depth`` blocks.

        Raises:
            ValueError: If ``tap``, a layer or a depth does not exist.
        """
        if tap not in TAPS:
            raise ValueError(f"tap must be one of {TAPS}, got {tap!r}.")
        self.tap = tap
        self.tap_layers = _indices("tap_layers", range(depth) if tap_layers is None else tap_layers, depth)
        self.tap_in_train = tap_in_train
        self.out_tokens = _indices("out_tokens", out_tokens, depth + 1)

    def train(self, mode: bool = True) -> Any:
        """Set the mode and return self (methods of mmpretrain return None)."""
        super().train(mode)  # type: ignore[misc]
        return self

    def active_tap(self) -> str:
        """Return the attention to return in the present mode."""
        return self.tap if self.tap_in_train or not self.training else "none"


def tapped_fields(
    weights: Sequence[Tensor], tap: str, patches: slice, grid: tuple[int, int], gates: Sequence[Tensor] = ()
) -> dict[str, Any]:
    """Make the fields of :class:`mmwsol.models.Features` that come from the blocks.

    Args:
        weights: Attention (B, H, rows, tokens) of each tapped block; the first row is the class
            token's.
        tap: 'full' if these are whole matrices.
        patches: Where the patches are among the tokens.
        grid: (h, w) of the patches.
        gates: (B, tokens) of each gated block. Defaults to ().

    Returns:
        ``cls_attn``, ``full_attn`` and ``gates``, those there are.
    """
    fields = {}
    if weights:
        stacked = torch.stack(list(weights), dim=1)
        fields["cls_attn"] = stacked[:, :, :, 0, patches].unflatten(-1, grid)
        if tap == "full":
            fields["full_attn"] = stacked
    if gates:
        fields["gates"] = torch.stack(list(gates), dim=1)[:, :, patches].unflatten(-1, grid)
    return fields


def _indices(name: str, values: Sequence[int], size: int) -> tuple[int, ...]:
    """Return ``values``, which may count from the end, sorted and without repetition.

    Raises:
        ValueError: If one is not in [-size, size).
    """
    for value in values:
        if not -size <= value < size:
            raise ValueError(f"{name} has {value}, but the model allows {-size} to {size - 1}.")
    return tuple(sorted({value % size for value in values}))
