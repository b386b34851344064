"""From a network map to the evaluated map: resize and normalize by the official rules."""

from __future__ import annotations

import warnings

import cv2
import numpy as np

NORMS = ("minmax", "minmax_eps", "max", "none", "ivr")
INTERPOLATIONS = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
MAP_OPTIONS = ("interpolation", "norm", "norm_order", "dtype", "nan", "percentile")  # of evaluation_map


def resize_map(scoremap: np.ndarray, size: tuple[int, int], interpolation: str = "bilinear") -> np.ndarray:
    """Resize a float map (h, w) to ``size`` (H, W) with OpenCV (half-pixel centers).

    Raises:
        ValueError: If ``interpolation`` is neither 'bilinear' nor 'bicubic'.
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of {tuple(INTERPOLATIONS)}, got {interpolation!r}")
    if scoremap.shape == tuple(size):
        return scoremap
    return cv2.resize(scoremap, (int(size[1]), int(size[0])), interpolation=INTERPOLATIONS[interpolation])


def normalize_map(scoremap: np.ndarray, norm: str = "minmax", percentile: float | None = None) -> np.ndarray:
    """Normalize a float map (h, w) in its own precision.

    Args:
        scoremap: (h, w) float map without NaN.
        norm: 'minmax' (M-min)/(max-min); 'minmax_eps' (M-min)/(max-min+1e-5), SAT; 'max' M/max;
            'none' leaves the map, which must lie in [0, 1]; 'ivr' (M-P)/(max-P) with P the
            ``percentile`` of the map. A map without range (for 'max': without a positive value)
            becomes zero; negative results become 0.
        percentile: 0 to 100, only for 'ivr'.

    Returns:
        (h, w) map in [0, 1] of the same dtype.

    Raises:
        ValueError: On an unknown norm, a missing percentile, or values outside [0, 1] with 'none'.
    """
    if norm == "none":
        if scoremap.min() < -1e-6 or scoremap.max() > 1 + 1e-6:
            raise ValueError(f"norm='none' needs maps in [0, 1], got [{scoremap.min()}, {scoremap.max()}]")
        return scoremap
    if norm in ("minmax", "minmax_eps"):
        floor, eps = scoremap.min(), 1e-5 if norm == "minmax_eps" else 0.0
    elif norm == "max":
        floor, eps = scoremap.dtype.type(0), 0.0
    elif norm == "ivr":
        if percentile is None:
            raise ValueError("norm='ivr' needs percentile= between 0 and 100")
        floor, eps = scoremap.dtype.type(np.percentile(scoremap, percentile)), 0.0
    else:
        raise ValueError(f"norm must be one of {NORMS}, got {norm!r}")
    height = scoremap - floor
    peak = height.max()
    if peak <= 0:
        return np.zeros_like(scoremap)
    return (height / (peak + scoremap.dtype.type(eps))).clip(0, 1)


def evaluation_map(
    scoremap: np.ndarray,
    size: tuple[int, int],
    interpolation: str = "bilinear",
    norm: str = "minmax",
    norm_order: str = "after",
    dtype: str = "float32",
    nan: str = "error",
    percentile: float | None = None,
) -> np.ndarray:
    """Make the evaluated map of one network map.

    Args:
        scoremap: (h, w) map.
        size: (H, W) of the evaluation frame.
        interpolation: 'bilinear' or 'bicubic' (which overshoots: normalize after it).
        norm: See :func:`normalize_map`.
        norm_order: 'after' or 'before' the resize.
        dtype: 'float32' or 'float64'; the map is converted before anything else.
        nan: 'error', or 'zero': a map with NaN becomes zero (wsolevaluation).
        percentile: For norm 'ivr'.

    Returns:
        (H, W) map in [0, 1] of ``dtype``.

    Raises:
        ValueError: If the map is not 2-D, is empty, or has values that are not finite; on unknown
            options.
    """
    scoremap = np.asarray(scoremap, dtype=dtype)
    if scoremap.ndim != 2 or scoremap.size == 0:
        raise ValueError(f"a localization map must have shape (h, w), got {scoremap.shape}")
    if not np.isfinite(scoremap).all():
        if nan == "zero" and np.isnan(scoremap).any():
            warnings.warn("a localization map has NaN values: evaluated as zero", stacklevel=2)
            return np.zeros(size, dtype)
        raise ValueError("a localization map has NaN or infinite values: check the model's precision")
    if norm_order not in ("after", "before"):
        raise ValueError(f"norm_order must be 'after' or 'before', got {norm_order!r}")
    if norm in ("minmax", "minmax_eps", "ivr") and scoremap.min() == scoremap.max():
        return np.zeros(size, dtype)  # before the resize: its rounding would be stretched to [0, 1]
    if norm_order == "after" and norm != "none":
        return normalize_map(resize_map(scoremap, size, interpolation), norm, percentile)
    scoremap = normalize_map(scoremap, norm, percentile)
    return resize_map(scoremap, size, interpolation).clip(0, 1)  # cubic overshoots


def to_uint8(scoremap: np.ndarray) -> np.ndarray:
    """Quantize a map in [0, 1] to 8 bits by truncation, in the map's own precision.

    Raises:
        ValueError: If a value lies outside [0, 1] or is NaN.
    """
    if not (scoremap.min() >= 0 and scoremap.max() <= 1):  # also true for NaN
        raise ValueError(f"an evaluated map must lie in [0, 1], got [{scoremap.min()}, {scoremap.max()}]")
    return (scoremap * 255).astype(np.uint8)
