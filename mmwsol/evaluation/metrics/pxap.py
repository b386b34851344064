"""PxAP (wsolevaluation) and pIoU (DA-WSOL): pixel scores against masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmwsol.datasets.transforms.loading import load_mask
from mmwsol.evaluation.functional import PIXEL_EDGES, pixel_curves, pixel_histograms
from mmwsol.evaluation.protocols import Protocol
from mmwsol.registry import METRICS
from mmwsol.structures import Frame

from .base import BaseLocMetric, frame_size
from .sample import field
from .score_maps import ScoreMaps, chosen_map


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
        protocol: See :class:`BaseLocMetric`. Of its box rule, resize and normalization matter, nothing else.
            Defaults to 'wsol_v1'.
        cache_masks: Whether to keep the masks in memory, 13 kB for an image at 224, since decoding takes most
            of the time of later evaluations. Defaults to True.
        prefix: Prefix of the keys. Defaults to 'seg'.
        num_threads: As in :class:`MaxBoxAcc`.
        **overrides: Fields of the protocol that differ, such as ``map_to_box`` or ``map_class``.

    Attributes:
        curve: After an evaluation, for falling thresholds: ``threshold``, ``precision``, ``recall``
            and ``iou`` (1002,).

    Raises:
        ValueError: If no image has a mask, or no pixel of any is foreground.
    """

    default_prefix = "seg"

    def __init__(
        self,
        protocol: str | Protocol | Mapping[str, Any] = "wsol_v1",
        cache_masks: bool = True,
        prefix: str | None = None,
        num_threads: int | None = None,
        **overrides: Any,
    ) -> None:
        super().__init__(protocol, overrides, prefix, num_threads)
        self.map_to_box = self.protocol_box_rule
        self.cache_masks = cache_masks
        self._masks: dict[tuple, np.ndarray] = {}  # by files and frame: packed foreground and ignore bits
        self.description = {
            "name": self.protocol.name,
            "prefix": self.prefix,
            "map_class": self.protocol.map_class,
            "map_rule": dict(self.map_to_box.map_options()),
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
            files = (tuple(sample["mask_paths"]), sample.get("ignore_path") or "")
            size, frame = frame_size(sample), sample.get("frame")
            if frame is None:  # a plain resize
                frame = Frame.identity(sample["ori_shape"]).resized(size)
            maps, index = chosen_map(sample, self.protocol.map_class)
            self.pool.submit(self.results, img_id, self._histograms, img_id, maps, index, frame, files)

    def _histograms(
        self, img_id: str, maps: ScoreMaps, index: int, frame: Frame, files: tuple[tuple[str, ...], str]
    ) -> tuple[str, np.ndarray]:
        scoremap = maps.scoremap(self.map_to_box, index, frame.shape)
        histograms = pixel_histograms(scoremap, *self._load(files, frame))
        # Small results: they travel between processes. A count is at most the number of pixels.
        return img_id, histograms.astype(np.min_scalar_type(scoremap.size))

    def _load(self, files: tuple[tuple[str, ...], str], frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """Read foreground and ignored pixels (H, W)."""
        if (files, frame) not in self._masks:
            mask_paths, ignore_path = files
            foreground = np.logical_or.reduce([load_mask(path, frame) for path in mask_paths])
            ignore = load_mask(ignore_path, frame) if ignore_path else np.zeros(frame.shape, bool)
            if not self.cache_masks:
                return foreground, ignore
            self._masks[files, frame] = np.packbits([foreground, ignore])
        bits = np.unpackbits(self._masks[files, frame], count=2 * frame.shape[0] * frame.shape[1])
        foreground, ignore = bits.reshape(2, *frame.shape).astype(bool)
        return foreground, ignore

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute PxAP and pIoU from the summed histograms.

        Raises:
            ValueError: If no image has a mask or no pixel is foreground, or an image comes twice.
        """
        self.check_results(results)
        histograms = [counts for _, counts in results if counts is not None]
        if not histograms:
            raise ValueError(f"PxAP: none of {len(results)} images has mask_paths; evaluate boxes only")
        self.curve, metrics = pixel_curves(np.asarray(np.sum(histograms, axis=0, dtype=np.int64)))
        self.log_description(len(histograms))
        return metrics
