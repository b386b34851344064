"""PxAP (wsolevaluation) and pIoU (DA-WSOL): pixel scores against masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmwsol.datasets.transforms.loading import load_mask
from mmwsol.evaluation.functional import PIXEL_EDGES, pixel_curves, pixel_histograms
from mmwsol.registry import METRICS, TASK_UTILS
from mmwsol.structures import Frame

from .base import MAP_CLASSES, BaseLocMetric, check_option, field, select_map


@METRICS.register_module()
class PxAP(BaseLocMetric):
    """Pixel average precision and the best IoU of masks, in percent, pooled over all pixels.

    ``seg/pxap`` is the step area under precision over recall, ``seg/piou`` the IoU of masks at the
    one threshold that is best for the evaluated set, ``seg/piou_threshold``. Scores lie in bins of
    .001; the pixels of all images count alike, thus large objects more. The defaults give the
    numbers of wsolevaluation: GT-class map, bicubic in float64, min-max.

    Masks are read from the files ``mask_paths`` and ``ignore_path`` of the data samples, not from
    the pipeline: ``cv2.INTER_NEAREST`` to the network frame, foreground above .5, united over the
    instances; ignored pixels that are not foreground do not count. Images without masks do not
    count; a mask file without foreground does, as background.

    Args:
        map_to_box: Config of a TASK_UTIL: resize and normalisation, nothing else of it matters.
            Default ``dict(type='mmwsol.ContourBox', preset='wsol')``.
        map_class: Map of the 'gt' class, of the 'pred' (top-1) class, or the 'agnostic' one. A
            single class-agnostic map serves for 'gt' and 'pred' too.
        cache_masks: Keep the masks in memory, 13 kB for an image at 224, since decoding takes most
            of the time of later evaluations. Default True.
        collect_device: See mmengine's ``BaseMetric``.
        prefix: Prefix of the keys. Default 'seg'.
        collect_dir: See mmengine's ``BaseMetric``.
        num_threads: As in :class:`MaxBoxAcc`.

    Attributes:
        protocol: What the numbers mean.
        curve: After an evaluation, for falling thresholds: ``threshold``, ``precision``, ``recall``
            and ``iou`` (1002,).

    Raises:
        ValueError: If no image has a mask, or no pixel of any is foreground.
    """

    default_prefix = "seg"

    def __init__(
        self,
        map_to_box: dict | None = None,
        map_class: str = "gt",
        cache_masks: bool = True,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
        num_threads: int | None = None,
    ) -> None:
        super().__init__(
            "wsol", collect_device=collect_device, prefix=prefix, collect_dir=collect_dir, num_threads=num_threads
        )
        check_option("map_class", map_class, MAP_CLASSES)
        self.map_class = map_class
        self.map_to_box = TASK_UTILS.build(map_to_box or {"type": "mmwsol.ContourBox", "preset": "wsol"})
        self.cache_masks = cache_masks
        self._masks: dict[tuple, np.ndarray] = {}  # by files and geometry: packed foreground and ignore bits
        names = ("interpolation", "norm", "norm_order", "dtype", "percentile")
        self.protocol = {
            "prefix": self.prefix,
            "frame_size": "network frame",
            "map_class": map_class,
            "map_rule": {name: self.map_to_box.rule[name] for name in names if name in self.map_to_box.rule},
            "threshold": f"{len(PIXEL_EDGES) - 1} bins of .001",
            "threshold_source": "pxap: all; piou: best on the evaluated set",
        }

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Append (image id, histograms (2, 1002) or None without masks) per sample."""
        self.pool.settle(self.results)
        for sample in data_samples:
            img_id = field(sample, "img_id")
            if not sample.get("mask_paths"):
                self.results.append((img_id, None))
                continue
            names = ("mask_paths", "ignore_path", "frame", "ori_shape")
            where = {name: sample.get(name) for name in names}
            maps = select_map(sample, self.map_class)
            self.pool.submit(self.results, img_id, self._record, img_id, maps, self.frame(sample), where)

    def _record(self, img_id: str, maps: np.ndarray, size: tuple[int, int], where: dict) -> tuple:
        scoremap = self.map_to_box.scoremap(maps, size)[0]
        histograms = pixel_histograms(scoremap, *self._load(where, size))
        # Small records: they travel between processes. A count is at most the number of pixels.
        return img_id, histograms.astype(np.min_scalar_type(scoremap.size))

    def _load(self, where: dict, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Read foreground and ignored pixels (H, W)."""
        ignore_path = where["ignore_path"] or ""
        frame = where["frame"] or Frame.identity(where["ori_shape"]).resized(size)  # a plain resize, if not known
        key = (tuple(where["mask_paths"]), ignore_path, frame)
        if key not in self._masks:
            foreground = np.logical_or.reduce([load_mask(path, frame) for path in where["mask_paths"]])
            ignore = load_mask(ignore_path, frame) if ignore_path else np.zeros(size, bool)
            bits = np.packbits([foreground, ignore])
            if not self.cache_masks:
                return foreground, ignore
            self._masks[key] = bits
        foreground, ignore = np.unpackbits(self._masks[key], count=2 * size[0] * size[1]).reshape(2, *size).astype(bool)
        return foreground, ignore

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute PxAP and pIoU from the summed histograms.

        Raises:
            ValueError: If no image has a mask or no pixel is foreground, or an image comes twice.
        """
        self.check_records(results)
        histograms = [record[1] for record in results if record[1] is not None]
        if not histograms:
            raise ValueError(f"PxAP: none of {len(results)} images has mask_paths; evaluate boxes only")
        self.curve, metrics = pixel_curves(np.asarray(np.sum(histograms, axis=0, dtype=np.int64)))
        self.log_protocol(len(histograms))
        return metrics
