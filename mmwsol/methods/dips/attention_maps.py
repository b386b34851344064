"""Attention of single heads as localization maps, and boxes from them (DiPS, Murtaza et al., IVC 2023)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# The official code's names: heads that are maps of their own, heads of the first map, their mean. None: all.
_FOUR, _FIVE = range(4), range(5)
MAP_SETS: dict[str, tuple[range | None, range | None]] = {
    "1_4_heads_and_mean": (_FOUR, None),
    "1_5_heads_and_mean": (_FIVE, None),
    "all_heads_and_mean": (None, None),
    "1_4_heads_and_mean_1_4": (_FOUR, _FOUR),
    "1_5_heads_and_mean_1_5": (_FIVE, _FIVE),
    "all_heads_and_mean_1_4": (None, _FOUR),
}


def attention_stack(attention: Tensor, map_set: str = "1_4_heads_and_mean") -> Tensor:
    """Choose maps from the attention of the class token: the mean of some heads, then some heads.

    Args:
        attention: (B, H, h, w) attention of the heads to the patches, after the softmax.
        map_set: Which heads. '1_4_heads_and_mean', what every official run takes: the mean of all heads, and the
            first four. The others are 'all_heads_and_mean', '1_5_heads_and_mean' and the same with the mean of fewer
            heads: '1_4_heads_and_mean_1_4', '1_5_heads_and_mean_1_5', 'all_heads_and_mean_1_4'. A network with fewer
            heads gives all of them, as in the official code.

    Returns:
        (B, M, h, w), the mean first. Values that are no number become 0, infinite ones 1 and 0.

    Raises:
        ValueError: If ``map_set`` is unknown.
    """
    if map_set not in MAP_SETS:
        raise ValueError(f"map_set must be one of {tuple(MAP_SETS)}, got {map_set!r}.")
    single_heads, mean_heads = MAP_SETS[map_set]
    attention = attention.nan_to_num(nan=0.0, posinf=1.0, neginf=0.0)
    single = attention if single_heads is None else attention[:, : len(single_heads)]
    averaged = attention if mean_heads is None else attention[:, : len(mean_heads)]
    return torch.cat([averaged.mean(dim=1, keepdim=True), single], dim=1)


def upsample_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (B, M, h, w) bilinearly to ``size`` (H, W), then divide each by its maximum; the minimum stays."""
    maps = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    return maps / maps.amax(dim=(2, 3), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)


def otsu_threshold(values: np.ndarray) -> float:
    """Return Otsu's threshold of whole numbers: the first that maximizes the variance between the two classes.

    The histogram has one bin for every number from the smallest to the largest; ``values > threshold`` is the upper
    class. A single number is its own threshold.
    """
    values = values.astype(np.int64).ravel()
    low = int(values.min())
    count = np.bincount(values - low).astype(np.float64)
    if len(count) == 1:
        return float(low)
    center = low + np.arange(len(count), dtype=np.float64)
    below, total = count.cumsum(), (count * center).cumsum()
    above = below[-1] - below[:-1]
    mean_below, mean_above = total[:-1] / below[:-1], (total[-1] - total[:-1]) / above
    variance = below[:-1] * above * (mean_below - mean_above) ** 2
    # Equal variances may differ in their last bits: the first of them counts.
    return float(low + np.flatnonzero(variance >= variance.max() * (1 - 1e-12))[0])


def otsu_mask(scoremap: np.ndarray) -> np.ndarray:
    """Binarize a map (H, W) with values 0 to 1 by Otsu's threshold of ``floor(255 map)``; a constant map is empty.

    A threshold of 0 becomes 1, one of 255 becomes 254, as in the official code.
    """
    values = np.floor(255 * scoremap)
    if values.min() == values.max():
        return np.zeros(values.shape, bool)
    return values > min(max(otsu_threshold(values), 1), 254)


def component_boxes(mask: np.ndarray, nested: bool = False) -> np.ndarray:
    """Return the boxes (n, 4) int64 x0, y0, x1, y1 of the 8-connected components of a mask, right and bottom exclusive.

    Args:
        mask: (H, W) bool.
        nested: Whether to return the contours of holes and of components in holes too. Defaults to False.
    """
    mode = cv2.RETR_TREE if nested else cv2.RETR_EXTERNAL
    contours = cv2.findContours(mask.astype(np.uint8), mode, cv2.CHAIN_APPROX_SIMPLE)[-2]
    boxes = np.array([cv2.boundingRect(contour) for contour in contours], np.int64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes
