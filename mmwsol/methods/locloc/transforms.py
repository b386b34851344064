"""Pseudo masks of LocLoc: loading, and the augmentation that hides background by them."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmwsol.datasets.offline_cache import CachedFiles
from mmwsol.datasets.transforms.loading import load_mask
from mmwsol.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadPseudoMask(BaseTransform):
    """Load the pseudo mask of the image into the network frame; put it after the geometric transforms.

    A mask covers the whole image, whatever its own size, and is resized, cropped and flipped as the image was, to the
    nearest pixel. An image without a mask, because it could not be read when the masks were made, counts as all
    foreground, with one warning.

    Required keys: ``img_id``, ``frame``. Added key: ``pseudo_mask`` (H, W) bool.

    Args:
        mask_root: Cache of a stage with :class:`mmwsol.methods.locloc.PseudoMaskWriter`, such as
            'stage://masks/cache', or any folder with PNG masks under the images' relative paths. In a
            dry run, where no stage has run, an address ``stage://`` counts as a folder without masks.

    Raises:
        ValueError: If the folder does not exist, the stage that makes it has not finished, or it was made for other
            images.
    """

    def __init__(self, mask_root: str) -> None:
        self.mask_root = mask_root
        otherwise = "images without a mask count as all foreground"
        self.files = CachedFiles(mask_root, ".png", "mask", otherwise, any_folder=True)

    def transform(self, results: dict) -> dict:
        """Set ``results['pseudo_mask']``."""
        path, frame = self.files.find(results["img_id"]), results["frame"]
        results["pseudo_mask"] = np.ones(frame.shape, bool) if path is None else load_mask(str(path), frame)
        return results

    def __repr__(self) -> str:
        return f"LoadPseudoMask(mask_root={self.mask_root!r})"


@TRANSFORMS.register_module()
class RevealRandomBox(BaseTransform):
    """Blacken the background of the pseudo mask, except in a random box (LocLoc's augmentation of the classifier).

    The box has CutMix's distribution: lambda ~ Beta(alpha, alpha), sides sqrt(1 - lambda) of the image's, its center
    anywhere, clipped at the borders. Nothing is moved and the label stays. Works on 8-bit pixels: put it after
    :class:`LoadPseudoMask` and before crop, flip and color.

    Required keys: ``img`` (H, W, 3), ``pseudo_mask`` (H, W) bool, which is removed.

    Args:
        alpha: Parameter of the Beta distribution. Defaults to 1.0: uniform, as in the paper.
        prob: Probability. Defaults to 1.0.

    Raises:
        ValueError: If a parameter is out of range, or the mask was loaded before a geometric transform.
    """

    def __init__(self, alpha: float = 1.0, prob: float = 1.0) -> None:
        if alpha <= 0 or not 0 <= prob <= 1:
            raise ValueError(f"alpha must be positive and prob between 0 and 1, got {alpha} and {prob}.")
        self.alpha = alpha
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Blacken parts of ``img``."""
        img, mask = results["img"], results.pop("pseudo_mask")
        if mask.shape != img.shape[:2]:
            raise ValueError(f"the mask is {mask.shape}, the image {img.shape[:2]}: load the mask after the resize.")
        if self.rand_reveal():
            lam, x, y = self.rand_box_params(mask.shape)
            results["img"] = img * (mask | cutmix_mask(mask.shape, lam, x, y))[..., None]
        return results

    @cache_randomness
    def rand_reveal(self) -> bool:
        """Draw whether to change the image."""
        return bool(np.random.rand() < self.prob)

    @cache_randomness
    def rand_box_params(self, shape: tuple[int, int]) -> tuple[float, int, int]:
        """Draw lambda and the center (row, column) of the box."""
        lam = float(np.random.beta(self.alpha, self.alpha))
        return lam, int(np.random.randint(shape[0])), int(np.random.randint(shape[1]))

    def __repr__(self) -> str:
        return f"RevealRandomBox(alpha={self.alpha}, prob={self.prob})"


def cutmix_mask(shape: tuple[int, int], lam: float, row: int, column: int) -> np.ndarray:
    """Return the (H, W) bool mask of a box with sides sqrt(1 - lam) of ``shape`` around a center, clipped."""
    mask = np.zeros(shape, bool)
    half_height, half_width = (int(side * np.sqrt(1.0 - lam)) // 2 for side in shape)
    rows = slice(max(row - half_height, 0), row + half_height)
    mask[rows, max(column - half_width, 0) : column + half_width] = True
    return mask
