"""The evaluated maps of one image and their boxes, made once for all metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from mmwsol.evaluation.functional import LevelSweep

from .sample import choose_map, field, to_numpy

KEY = "score_maps"


class ScoreMaps:
    """The maps of one image, as box rules see them.

    An evaluator hands the same dict to all its metrics: the first one that needs maps puts this object into it, and the
    others find there what is made already, by the options of the rule. Metrics may ask from several threads. Where a
    metric of another package stores the sample, as mmengine's ``DumpResults`` does, None stands for it in the file.

    Args:
        sample: Data sample as a dict, with ``pred_maps``.

    Raises:
        ValueError: If ``pred_maps`` has not as many maps (h, w) as labels.
    """

    def __init__(self, sample: dict) -> None:
        pred = field(sample, "pred_maps")
        self.source = pred["maps"]
        self.labels = to_numpy(pred["labels"]).ravel()
        if self.source.ndim != 3 or len(self.source) != len(self.labels):
            raise ValueError(
                f"image {sample.get('img_id')!r}: pred_maps.maps must have shape (K, h, w) with "
                f"K = {len(self.labels)} labels, got {tuple(self.source.shape)}"
            )
        self.maps = to_numpy(self.source)
        self._made: dict[Hashable, Any] = {}
        self._lock = threading.RLock()

    @classmethod
    def of(cls, sample: dict) -> ScoreMaps:
        """Return the object in a sample, putting it there if there is none of its present maps."""
        made = sample.get(KEY)
        if made is None or made.source is not field(sample, "pred_maps")["maps"]:
            made = sample[KEY] = cls(sample)
        return made

    def __reduce__(self) -> tuple:
        """Pickle as None: it is made of what the sample holds besides."""
        return type(None), ()

    def scoremap(self, rule: Any, index: int, size: tuple[int, int]) -> np.ndarray:
        """Return the evaluated map (H, W) of map ``index``.

        Args:
            rule: Box rule, :class:`mmwsol.models.ContourBox` or ``ComponentBox``.
            index: Which of the maps, see :func:`choose_map`.
            size: (H, W) of the evaluation frame.
        """
        key = ("scoremap", rule.map_options(), index, size)
        return self._once(key, lambda: rule.scoremap(self.maps[index : index + 1], size)[0])

    def sweep(
        self, rule: Any, index: int, size: tuple[int, int], thresholds: np.ndarray, contours: Sequence[str]
    ) -> list[list[LevelSweep]]:
        """Return the boxes of map ``index`` at rising thresholds (T,), by contour ('largest', 'all')."""
        key = ("sweep", rule.sweep_options(), index, size, thresholds.tobytes())
        with self._lock:
            missing = [contour for contour in contours if (*key, contour) not in self._made]
            if missing:
                swept = rule.sweep(self.scoremap(rule, index, size), thresholds, missing)
                self._made.update({(*key, contour): pieces for contour, pieces in swept.items()})
            return [self._made[(*key, contour)] for contour in contours]

    def _once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]


def chosen_map(sample: dict, map_class: str) -> tuple[ScoreMaps, int]:
    """Return the maps of a sample and the index of the one to evaluate, see :func:`choose_map`."""
    maps = ScoreMaps.of(sample)
    return maps, choose_map(sample, maps.labels, map_class)
