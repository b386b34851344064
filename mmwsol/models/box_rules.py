"""From localization maps to boxes.

Every official rule is a parameter set (a preset) of one of two classes: :class:`ContourBox` quantizes the map to 8 bits
and takes OpenCV contours, :class:`ComponentBox` thresholds the float map and takes connected components. The presets of
a method are registered in its folder (:func:`register_preset`).
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from mmwsol.evaluation.functional import (
    LevelSweep,
    boxes_per_level,
    default_bbox,
    end_boxes,
    evaluation_map,
    largest_and_all_boxes,
    mask_boxes,
    threshold_levels,
    to_uint8,
)
from mmwsol.evaluation.functional.boxes import BOX_ENDS, DEFAULT_BOXES
from mmwsol.evaluation.functional.maps import INTERPOLATIONS, MAP_OPTIONS, NORMS
from mmwsol.registry import TASK_UTILS

_OPTIONS: dict[str, tuple] = {
    "interpolation": tuple(INTERPOLATIONS),
    "norm": NORMS,
    "norm_order": ("after", "before"),
    "dtype": ("float32", "float64"),
    "nan": ("error", "zero"),
    "contour": ("largest", "all"),
    "box_end": BOX_ENDS,
    "default_box": DEFAULT_BOXES,
}

# The official rules by class and name: parameters of the codes. Thresholds are not part of a rule.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {"ContourBox": {}, "ComponentBox": {}}

# The two rules that others build on: that of the code of CAM and TS-CAM, and that of wsolevaluation.
TSCAM: dict[str, Any] = {
    "interpolation": "bilinear",
    "norm": "minmax",
    "norm_order": "after",
    "dtype": "float32",
    "nan": "error",
    "contour": "largest",
    "box_end": "exclusive",
    "default_box": "unit",
}
WSOL: dict[str, Any] = dict(
    TSCAM,
    interpolation="bicubic",
    dtype="float64",
    nan="zero",
    box_end="exclusive_clip",
    default_box="zero",
)


def register_preset(rule: str, name: str, options: dict[str, Any]) -> None:
    """Make an official rule known.

    Args:
        rule: 'ContourBox' or 'ComponentBox'.
        name: Name of the preset.
        options: Values of all options, such as ``dict(TSCAM, norm_order='before')``.

    Raises:
        ValueError: If there is one of this name already.
    """
    if name in PRESETS[rule]:
        raise ValueError(f"There are two presets called {name!r} of {rule}: rename one of them.")
    PRESETS[rule][name] = options


register_preset("ContourBox", "tscam", TSCAM)  # thresholds .10 CUB, .12 ILSVRC
register_preset("ContourBox", "wsol", WSOL)  # MaxBoxAcc
register_preset("ContourBox", "wsol_v2", dict(WSOL, contour="all"))  # MaxBoxAccV2


class _MapToBox(nn.Module, metaclass=ABCMeta):
    """Common part of the rules; see the subclasses."""

    default_preset = ""
    region = ""  # 'contour' or 'component'

    def __init__(
        self,
        threshold: float | None = None,
        preset: str | None = None,
        percentile: float | None = None,
        **options: str,
    ) -> None:
        super().__init__()
        presets = PRESETS[type(self).__name__]
        preset = preset or self.default_preset
        if preset not in presets:
            TASK_UTILS.import_from_location()  # methods register theirs when they are imported
        if preset not in presets:
            raise ValueError(f"preset must be one of {tuple(presets)}, got {preset!r}")
        for name, option in options.items():
            if name not in _OPTIONS:
                raise TypeError(f"{type(self).__name__} has no option {name!r}: {tuple(_OPTIONS)}")
            if option not in _OPTIONS[name]:
                raise ValueError(f"{name} must be one of {_OPTIONS[name]}, got {option!r}")
        # The full rule; metrics write it into their results.
        self.rule: dict[str, Any] = {**presets[preset], **options}
        if self.rule["norm"] == "ivr":
            if percentile is None or not 0 <= percentile < 100:
                raise ValueError(f"norm='ivr' needs 0 <= percentile < 100, got {percentile}")
            self.rule["percentile"] = percentile
        elif percentile is not None:
            raise ValueError(f"percentile= goes with norm='ivr', not {self.rule['norm']!r}")
        if threshold is not None and not 0 <= threshold < 1:
            raise ValueError(f"threshold must satisfy 0 <= threshold < 1, got {threshold}")
        # float64: int(t * 255) is not the same for .57 in float32. NaN: not set. A given threshold stays out of
        # checkpoints, so that one in the config or on the command line is never overruled by a loaded file.
        value = float("nan") if threshold is None else threshold
        self.threshold: Tensor
        self.register_buffer("threshold", torch.tensor(value, dtype=torch.float64), persistent=threshold is None)

    def extra_repr(self) -> str:
        """Describe the rule in one line."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.rule.items())
        return f"threshold={float(self.threshold):g}, {options}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _MapToBox:
        """Keep the threshold in float64: ``half()`` and ``float()`` would round it to another level of the map."""
        exact = self.threshold
        super()._apply(fn, recurse)
        self.threshold = exact.to(self.threshold.device)
        return self

    def get_threshold(self) -> float:
        """Return the threshold of the buffer.

        Raises:
            ValueError: If it was neither given, nor calibrated, nor loaded from a checkpoint.
        """
        value = float(self.threshold)
        if np.isnan(value):
            raise ValueError(
                f"{type(self).__name__} has no threshold: give threshold=, or calibrate it on val. On the command "
                "line: --cfg-options model.map_to_box.threshold=0.5; tools/test.py chooses it on val where the config "
                "has mmwsol.ThresholdCalibrationHook."
            )
        return value

    def map_options(self) -> tuple[tuple[str, Any], ...]:
        """Return the options that decide on :meth:`scoremap`; rules with equal ones share evaluated maps."""
        return tuple((name, self.rule[name]) for name in MAP_OPTIONS if name in self.rule)

    def sweep_options(self) -> tuple[Any, ...]:
        """Return what decides on :meth:`sweep`, besides the map and the thresholds."""
        return (self.region, self.rule["box_end"], *self.map_options())

    def scoremap(self, maps: Tensor | np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Resize and normalize localization maps by the rule.

        Args:
            maps: (K, h, w) float maps, not thresholded.
            size: (H, W) of the evaluation frame.

        Returns:
            (K, H, W) in [0, 1], float32 or float64 by the rule. A constant map becomes zero.

        Raises:
            ValueError: If ``maps`` has another shape, or has NaN or infinite values.
        """
        if isinstance(maps, Tensor):
            # bfloat16 has no numpy type; float64 holds every float exactly.
            maps = maps.detach().to("cpu", torch.float64).numpy()
        if maps.ndim != 3:
            raise ValueError(f"maps must have shape (K, h, w), got {tuple(maps.shape)}")
        options = dict(self.map_options())
        out = np.zeros((len(maps), *size), dtype=self.rule["dtype"])
        for k, scoremap in enumerate(maps):
            out[k] = evaluation_map(scoremap, size, **options)
        return out

    def boxes(self, scoremap: np.ndarray, threshold: float | None = None) -> np.ndarray:
        """Find the boxes of one evaluated map.

        Args:
            scoremap: (H, W), one of :meth:`scoremap`.
            threshold: Threshold in place of the buffer. Defaults to None.

        Returns:
            (n, 4) float64 x0, y0, x1, y1 in the pixels of the frame: n = 1 for ``contour='largest'``, else
            all; the default box if the mask is empty.
        """
        threshold = self.get_threshold() if threshold is None else threshold
        return self._finish(self._mask(scoremap, threshold), self.rule["contour"])

    def regions(self, scoremap: np.ndarray) -> np.ndarray:
        """Find the boxes of all regions of one evaluated map (8-connected, without holes).

        Args:
            scoremap: (H, W), one of :meth:`scoremap`.

        Returns:
            (n, 4) float64 x0, y0, x1, y1 in the pixels of the frame, with the ends of the rule: first the box of
            :meth:`forward`, then by falling number of pixels; n = 0 if the mask is empty.
        """
        mask = self._mask(scoremap, self.get_threshold())
        stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[2][1:]  # 0 is the background
        stats = stats[np.argsort(-stats[:, cv2.CC_STAT_AREA], kind="stable")]
        boxes = np.concatenate([stats[:, :2], stats[:, :2] + stats[:, 2:4]], axis=1)
        boxes = end_boxes(boxes, (mask.shape[0], mask.shape[1]), self.rule["box_end"])
        own = self._finish(mask, "largest")
        return boxes[np.argsort((boxes != own).any(axis=1), kind="stable")]

    def sweep(
        self, scoremap: np.ndarray, thresholds: np.ndarray, contours: Sequence[str] = ("largest",)
    ) -> dict[str, list[LevelSweep]]:
        """Find the boxes of one evaluated map at many thresholds, in one sweep over its levels.

        Args:
            scoremap: (H, W), one of :meth:`scoremap`.
            thresholds: (T,) rising thresholds.
            contours: Any of 'largest' and 'all'. Defaults to ('largest',).

        Returns:
            By contour, the thresholds in one or several pieces; boxes have the ends of the
            rule.
        """
        size = (scoremap.shape[0], scoremap.shape[1])
        sweeps: dict[str, list[LevelSweep]] = {contour: [] for contour in contours}
        for u8_map, levels in self.level_maps(scoremap, np.asarray(thresholds)):
            if len(contours) == 2:
                both = largest_and_all_boxes(u8_map, self.region)
                pieces = dict(zip(("largest", "all"), both, strict=True))
            else:
                pieces = {contour: boxes_per_level(u8_map, self._mode(contour)) for contour in contours}
            for contour, boxes in pieces.items():
                ended = end_boxes(boxes.boxes, size, self.rule["box_end"])
                sweeps[contour].append(LevelSweep(boxes._replace(boxes=ended), levels))
        return sweeps

    def default_box(self, size: tuple[int, int]) -> np.ndarray:
        """Return the box (1, 4) of an empty mask in a frame of ``size`` (H, W)."""
        return default_bbox(self.rule["default_box"], size)

    def forward(self, maps: Tensor | np.ndarray, size: tuple[int, int], threshold: float | None = None) -> np.ndarray:
        """Return the single box (K, 4) of every map (K, h, w) in a frame of ``size`` (H, W).

        With ``contour='all'`` too, this is the largest region's box. A ``threshold`` in place of the buffer saves
        reading it from the device for every image.
        """
        threshold = self.get_threshold() if threshold is None else threshold
        boxes = [self._finish(self._mask(scoremap, threshold), "largest") for scoremap in self.scoremap(maps, size)]
        return np.concatenate(boxes) if boxes else np.zeros((0, 4))

    def masks(self, maps: Tensor | np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return the masks (K, H, W) bool of maps (K, h, w) in which :meth:`forward` finds the boxes."""
        threshold = self.get_threshold()
        masks = [self._mask(scoremap, threshold) for scoremap in self.scoremap(maps, size)]
        return np.stack(masks) if masks else np.zeros((0, *size), bool)

    @abstractmethod
    def level_maps(self, scoremap: np.ndarray, thresholds: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Turn a sweep over thresholds into a sweep over the levels of 8-bit maps.

        Args:
            scoremap: (H, W), one of :meth:`scoremap`.
            thresholds: (T,) rising thresholds.

        Yields:
            A uint8 map u (H, W) and int64 levels; {u > level} is the mask of a threshold. The levels of all
            pairs together are those of ``thresholds``, in order.
        """

    @abstractmethod
    def _mask(self, scoremap: np.ndarray, threshold: float) -> np.ndarray:
        """Return the mask (H, W) at a threshold."""

    def _finish(self, mask: np.ndarray, contour: str) -> np.ndarray:
        size = (mask.shape[0], mask.shape[1])
        boxes = mask_boxes(mask, self._mode(contour))
        return end_boxes(boxes, size, self.rule["box_end"]) if len(boxes) else self.default_box(size)

    def _mode(self, contour: str) -> str:
        """Return the mode of ``boxes_per_level`` for ``contour`` 'largest' or 'all'."""
        return f"largest_{self.region}" if contour == "largest" else f"all_{self.region}s"


@TASK_UTILS.register_module()
class ContourBox(_MapToBox):
    """Box of a contour of the 8-bit map (wsolevaluation, TS-CAM, TRT, CDTR, LocLoc, DiPS).

    u = uint8(255 M), truncated; mask u > int(threshold * max(u)): the threshold is relative to the map's own maximum.
    The largest contour is that of the largest polygon area (``cv2.contourArea``).

    Args:
        threshold: 0 <= threshold < 1. Defaults to None: not known yet; the buffer of that name is
            then filled by calibration on val, or from a checkpoint, and saved in checkpoints. A given one is not.
        preset: Name of an official rule, see :data:`PRESETS`; the options below override it. Defaults
            to None: 'tscam'.
        percentile: 0 to 100, for norm 'ivr'. Defaults to None.
        interpolation: 'bilinear' or 'bicubic' upsampling to the frame (OpenCV). Defaults to the preset's, as do
            all below.
        norm: 'minmax', 'minmax_eps', 'max', 'none' or 'ivr', see
            :func:`mmwsol.evaluation.functional.normalize_map`.
        norm_order: Whether to normalize 'after' or 'before' the resize.
        dtype: 'float32' or 'float64' arithmetic.
        nan: 'error', or 'zero': a map with NaN counts as zero.
        contour: 'largest', or 'all' contours, also of holes.
        box_end: 'exclusive' x1 = x + w; 'exclusive_clip' limited to W-1, H-1; 'inclusive' x1 = x + w - 1.
        default_box: Box of an empty mask (a constant map): 'unit' [0, 0, 1, 1], 'zero' [0, 0, 0, 0] or 'frame'.

    Raises:
        TypeError: If there is no such option.
        ValueError: If an option has a value that is not listed, or ``threshold`` or ``percentile`` is out of range.
    """

    default_preset = "tscam"
    region = "contour"

    def level_maps(self, scoremap: np.ndarray, thresholds: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the 8-bit map and the level ``int(t * max(u))`` of every threshold."""
        u8_map = to_uint8(scoremap)
        yield u8_map, threshold_levels(thresholds, int(u8_map.max()))

    def _mask(self, scoremap: np.ndarray, threshold: float) -> np.ndarray:
        u8_map = to_uint8(scoremap)
        return u8_map > int(threshold * float(u8_map.max()))


@TASK_UTILS.register_module()
class ComponentBox(_MapToBox):
    """Box of a connected component of the thresholded float map (SAT).

    Mask M > threshold, the threshold absolute and compared in the map's precision; 8-connected components. The largest
    has the most pixels; on ties it is the first in raster order.

    The arguments are those of :class:`ContourBox`; the default preset is 'sat', and ``contour='all'`` means all
    components.
    """

    default_preset = "sat"
    region = "component"

    def level_maps(self, scoremap: np.ndarray, thresholds: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield, for every 255 thresholds, the map of how many of them a pixel exceeds."""
        thresholds = np.asarray(thresholds, scoremap.dtype)
        for start in range(0, len(thresholds), 255):
            piece = thresholds[start : start + 255]
            exceeded = np.searchsorted(piece, scoremap.ravel(), side="left")
            yield exceeded.reshape(scoremap.shape).astype(np.uint8), np.arange(len(piece))

    def _mask(self, scoremap: np.ndarray, threshold: float) -> np.ndarray:
        return scoremap > scoremap.dtype.type(threshold)
