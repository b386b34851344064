"""Pixel pseudo-labels drawn from an attention map and a box (DiPS, Murtaza et al., IVC 2023)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmwsol.methods.dips.losses import IGNORE
from mmwsol.registry import TASK_UTILS

METHODS = ("weighted", "uniform")
EXCLUDE = ("none", "selected", "all")
_EPS = 1e-8


@TASK_UTILS.register_module()
class SeedSampler:
    """Draw foreground and background pixels, anew in every step.

    Foreground: of the ``fg_fraction`` of the region's pixels with the highest values, ``num_fg`` are drawn. Background:
    of the ``bg_fraction`` of the image's pixels with the lowest values, ``num_bg`` are drawn. Both without replacement.
    The pixels around a drawn one get its label; where foreground meets background there is none.

    Args:
        num_fg: Foreground pixels to draw. Defaults to 1000.
        num_bg: Background pixels to draw. Defaults to 1000.
        fg_fraction: Fraction of the region that may be foreground. Defaults to 0.2.
        bg_fraction: Fraction of the image that may be background. Defaults to 0.2.
        fg_method: 'weighted': with probabilities proportional to the map, as in the paper, or 'uniform'.
            Defaults to 'weighted'.
        bg_method: 'uniform', or 'weighted' by one minus the map. Defaults to 'uniform'.
        kernel_size: Odd side of the square that a drawn pixel labels; 1 is the paper's text, the official code
            has 3. Defaults to 3.
        exclude_boxes: Where background must not lie: 'none' (official code), in the 'selected' region, or in
            'all' proposals of the image (the paper). Defaults to 'none'.

    Raises:
        ValueError: If a number or fraction is out of range, or an option is unknown.
    """

    def __init__(
        self,
        num_fg: int = 1000,
        num_bg: int = 1000,
        fg_fraction: float = 0.2,
        bg_fraction: float = 0.2,
        fg_method: str = "weighted",
        bg_method: str = "uniform",
        kernel_size: int = 3,
        exclude_boxes: str = "none",
    ) -> None:
        for name, number in (("num_fg", num_fg), ("num_bg", num_bg)):
            if number < 0:
                raise ValueError(f"{name} must not be negative, got {number}.")
        for name, fraction in (("fg_fraction", fg_fraction), ("bg_fraction", bg_fraction)):
            if not 0 <= fraction <= 1:
                raise ValueError(f"{name} must be a fraction, 0 to 1, got {fraction}.")
        for name, option, known in (
            ("fg_method", fg_method, METHODS),
            ("bg_method", bg_method, METHODS),
            ("exclude_boxes", exclude_boxes, EXCLUDE),
        ):
            if option not in known:
                raise ValueError(f"{name} must be one of {known}, got {option!r}.")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}.")
        self.num_fg, self.num_bg = num_fg, num_bg
        self.fg_fraction, self.bg_fraction = fg_fraction, bg_fraction
        self.fg_method, self.bg_method = fg_method, bg_method
        self.kernel_size = kernel_size
        self.exclude_boxes = exclude_boxes

    @torch.no_grad()
    def __call__(self, maps: Tensor, regions: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Draw the labels.

        Args:
            maps: (B, H, W) with values 0 to 1.
            regions: (B, H, W) bool, the chosen proposal; empty: no foreground.
            boxes: (B, H, W) bool, all proposals; needed by ``exclude_boxes='all'``. Defaults to
                None.

        Returns:
            (B, H, W) int64: 1 foreground, 0 background, -255 no label.

        Raises:
            ValueError: If ``boxes`` is missing.
        """
        seeds = torch.stack([self.draw_foreground(maps, regions), self.draw_background(maps, regions, boxes)], dim=1)
        if self.kernel_size > 1:
            dilated = F.max_pool2d(seeds.float(), self.kernel_size, stride=1, padding=self.kernel_size // 2)
            seeds = dilated.bool()
        fg, bg = seeds.unbind(1)
        labels = torch.full_like(fg, IGNORE, dtype=torch.int64)
        labels[fg & ~bg] = 1
        labels[bg & ~fg] = 0
        return labels

    def draw_foreground(self, maps: Tensor, regions: Tensor) -> Tensor:
        """Draw foreground pixels (B, H, W) bool; see :meth:`__call__`."""
        values = (maps * regions).flatten(1) + _EPS
        # The product is rounded to float32 before it is cut, as in the official code: 0.29 of 100 pixels are 29.
        count = (regions.flatten(1).sum(1) * torch.tensor(self.fg_fraction, dtype=torch.float32)).long()
        values, order = values.sort(dim=1, descending=True, stable=True)
        weights = values if self.fg_method == "weighted" else torch.ones_like(values)
        return _draw(order, weights, count, self.num_fg).view_as(regions)

    def draw_background(self, maps: Tensor, regions: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Draw background pixels (B, H, W) bool; see :meth:`__call__`."""
        values = maps.flatten(1) + _EPS
        count = torch.full_like(values[:, 0], int(self.bg_fraction * values.shape[1]), dtype=torch.int64)
        if self.exclude_boxes != "none":
            excluded = regions if self.exclude_boxes == "selected" else boxes
            if excluded is None:
                raise ValueError("exclude_boxes='all' needs all boxes: set all_boxes=True in mmwsol.LoadProposals.")
            excluded = excluded.flatten(1)
            values = values.masked_fill(excluded, torch.inf)  # last in order
            count = torch.minimum(count, (~excluded).sum(1))
        values, order = values.sort(dim=1, stable=True)
        weights = (1 - values).relu() + _EPS if self.bg_method == "weighted" else torch.ones_like(values)
        return _draw(order, weights, count, self.num_bg).view_as(regions)


def _draw(order: Tensor, weights: Tensor, count: Tensor, number: int) -> Tensor:
    """Draw ``number`` of the first ``count`` (B,) pixels of ``order`` (B, N), by weights (B, N) in that order.

    The largest of weight / Exp(1) are a draw without replacement with probabilities proportional to the weights.
    """
    longest = int(count.max())
    drawn = torch.zeros_like(order, dtype=torch.bool)
    if not min(longest, number):
        return drawn
    order, weights = order[:, :longest], weights[:, :longest]
    place = torch.arange(longest, device=order.device)
    keys = weights / torch.empty_like(weights).exponential_()
    keys = keys.masked_fill(place >= count[:, None], -1.0)  # behind all eligible ones, whose keys are not negative
    best = keys.topk(min(number, longest), dim=1, sorted=False).indices
    return drawn.scatter_(1, order.gather(1, best), best < count[:, None])
