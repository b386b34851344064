"""PxAP and pIoU: pixel scores against masks, pooled over the data set (wsolevaluation, DA-WSOL)."""

from __future__ import annotations

import numpy as np

# 1000 bins of .001, then [1, 2) for the score 1 and an empty last bin.
PIXEL_EDGES = np.append(np.arange(0, 1, 0.001), [1.0, 2.0, 3.0])
NUM_BINS = len(PIXEL_EDGES) - 1


def score_bins(scores: np.ndarray) -> np.ndarray:
    """Return the left-closed bin (int64) of every score in [0, 1].

    Equal to ``np.searchsorted(PIXEL_EDGES, scores, 'right') - 1``, faster.
    """
    k = (scores * 1000).astype(np.int64)
    k -= scores < PIXEL_EDGES[k]
    k += scores >= PIXEL_EDGES[k + 1]
    return k


def pixel_histograms(scoremap: np.ndarray, foreground: np.ndarray, ignore: np.ndarray | None = None) -> np.ndarray:
    """Count the scores of foreground and background pixels of one image.

    Args:
        scoremap: (H, W) evaluated map in [0, 1].
        foreground: bool (H, W).
        ignore: bool (H, W); foreground pixels are never ignored.

    Returns:
        int64 (2, 1002): foreground and background counts per bin; histograms of images add up.

    Raises:
        ValueError: If shapes differ or a score lies outside [0, 1].
    """
    if scoremap.shape != foreground.shape or (ignore is not None and ignore.shape != foreground.shape):
        raise ValueError(f"map {scoremap.shape} and mask {foreground.shape} must have one shape")
    if not (scoremap.min() >= 0 and scoremap.max() <= 1):
        raise ValueError(f"an evaluated map must lie in [0, 1], got [{scoremap.min()}, {scoremap.max()}]")
    foreground = np.asarray(foreground, bool)
    background = ~foreground if ignore is None else ~foreground & ~np.asarray(ignore, bool)
    bins = score_bins(np.asarray(scoremap))
    return np.stack(
        [
            np.bincount(bins[foreground], minlength=NUM_BINS),
            np.bincount(bins[background], minlength=NUM_BINS),
        ]
    )


def pixel_curves(histograms: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Compute all curves and numbers of pooled histograms (2, 1002).

    Returns:
        Curves (1002,) for falling thresholds: ``threshold`` (the lower edge of the bin),
        ``precision`` (0 where nothing is predicted), ``recall`` and ``iou``; and ``pxap``, ``piou``
        in percent and ``piou_threshold``.

    Raises:
        ValueError: If there is no foreground pixel.
    """
    if histograms.shape != (2, NUM_BINS):
        raise ValueError(f"histograms must have shape (2, {NUM_BINS}), got {histograms.shape}")
    true, false = np.cumsum(histograms[:, ::-1], axis=1).astype(np.float64)
    if true[-1] == 0:
        raise ValueError("no foreground pixel in the whole set: PxAP is undefined")
    predicted = true + false
    precision = np.divide(true, predicted, out=np.zeros_like(true), where=predicted > 0)
    recall = true / true[-1]
    iou = true / (false + true[-1])
    threshold = PIXEL_EDGES[:NUM_BINS][::-1]
    numbers = {
        "pxap": float(100 * (precision * np.diff(recall, prepend=0)).sum()),
        "piou": float(100 * iou.max()),
        "piou_threshold": float(threshold[iou.argmax()]),
    }
    return {"threshold": threshold, "precision": precision, "recall": recall, "iou": iou}, numbers
