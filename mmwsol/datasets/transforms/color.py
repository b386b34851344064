"""Color transforms."""

from __future__ import annotations

from collections.abc import Sequence

import mmpretrain.datasets.transforms as mmpretrain_transforms
import numpy as np
import torchvision.transforms.functional as F
from PIL import Image

from mmwsol.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ColorJitter(mmpretrain_transforms.ColorJitter):
    """Change brightness, contrast, saturation and hue at random, in random order, with torchvision on PIL images.

    mmcv's hue fails on numpy 2 for negative values; torchvision's does not, and its result is that of the official
    code.

    Args:
        brightness: Half width around 1, or (min, max), of the factor. Defaults to 0.
        contrast: The same. Defaults to 0.
        saturation: The same. Defaults to 0.
        hue: Half width around 0, at most 0.5, or (min, max). Defaults to 0.
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0.0,
        contrast: float | Sequence[float] = 0.0,
        saturation: float | Sequence[float] = 0.0,
        hue: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__(brightness, contrast, saturation, hue, backend="pillow")

    def transform(self, results: dict) -> dict:
        """Change the colors of ``img`` (H, W, 3) uint8 BGR."""
        order, brightness, contrast, saturation, hue = self._rand_params()
        steps = (
            (F.adjust_brightness, brightness),
            (F.adjust_contrast, contrast),
            (F.adjust_saturation, saturation),
            (F.adjust_hue, hue),
        )
        image = Image.fromarray(np.ascontiguousarray(results["img"][:, :, ::-1]))
        for index in order:
            adjust, factor = steps[index]
            if factor is not None:
                image = adjust(image, factor)
        results["img"] = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
        return results
