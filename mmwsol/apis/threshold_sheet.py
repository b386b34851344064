"""One picture that shows what a threshold does, for people who have no boxes to choose it by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmwsol.apis.inferencer import WSOLInferencer
from mmwsol.apis.inputs import list_inputs
from mmwsol.datasets.offline_cache import spread
from mmwsol.visualization import draw_sheet, write_picture


def draw_thresholds(
    inferencer: WSOLInferencer,
    inputs: Any,
    thresholds: Sequence[float],
    file: str | Path,
    number: int = 8,
    **options: Any,
) -> int:
    """Draw images in rows with the map and the boxes at each threshold in columns, and write the picture.

    Args:
        inferencer: The model.
        inputs: As for the call of the inferencer.
        thresholds: Thresholds of the box rule, 0 <= threshold < 1 each.
        file: The picture; its ending says the kind.
        number: Most images, spread evenly over ``inputs``. Defaults to 8.
        **options: Further arguments of the call: ``batch_size``, ``classes``.

    Returns:
        The number of images that are shown; those that cannot be read are named and left out.

    Raises:
        OSError: If the picture cannot be written.
        ValueError: If there is no image, none can be read, no threshold is given, or one is out of range.
    """
    if not thresholds:
        raise ValueError("give at least one threshold.")
    items = list_inputs(inputs)
    chosen = [items[index] for index in spread(range(len(items)), number)]
    columns = [inferencer(chosen, threshold=t, return_vis=True, return_maps=False, **options) for t in thresholds]
    rows: list[list[np.ndarray]] = [
        [picture[:, :, ::-1] for picture in row] for row in zip(*(c["visualization"] for c in columns), strict=True)
    ]
    sheet = draw_sheet(rows, [f"threshold {t:g}" for t in thresholds], width=240)
    write_picture(file, sheet[:, :, ::-1])
    return len(rows)
