"""Pseudo masks from attention: double thresholds and GrabCut (LocLoc), or one threshold (PPD)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from torch import Tensor, nn

from mmwsol.datasets.offline_cache import CacheWriter, OfflineCache, Panel, spread
from mmwsol.evaluation.functional import box_iou, mask_boxes
from mmwsol.models.wrappers import unwrapped
from mmwsol.registry import TASK_UTILS

# What the official codes and the paper do. 'released' and 'paper': LocLoc; 'ppd': Proxy Probing Decoder.
PRESETS: dict[str, dict[str, Any]] = {
    "released": dict(layers=(-1,), heads=(0, 1, 2), delta0=0.03, delta1=0.1, refine="grabcut"),
    "paper": dict(layers=None, heads=None, delta0=0.02, delta1=0.75, refine="grabcut"),
    "ppd": dict(layers=(-1,), heads=(0, 1, 2), delta0=None, delta1=None, refine="threshold"),
}
STATISTICS_IMAGES = 500  # evenly spread, for the statistics that need the network
MIN_PIXELS = 5  # of each side of the tri-map: one for every Gaussian
_TRIMAP_COLORS = np.array([[0, 0, 0], [255, 255, 255], [128, 128, 128], [192, 192, 192]], np.uint8)


class MaskJob(NamedTuple):
    """What the CPU needs to make a mask: ``image`` (H, W, 3) uint8 BGR and ``attention`` (h, w) float."""

    image: np.ndarray
    attention: np.ndarray


def attention_map(cls_attn: Tensor, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None) -> Tensor:
    """Average the class-token attention (B, L, H, h, w) over some blocks and heads, None for all: (B, h, w)."""
    if layers is not None:
        cls_attn = cls_attn[:, list(layers)]
    if heads is not None:
        cls_attn = cls_attn[:, :, list(heads)]
    return cls_attn.mean(dim=(1, 2))


def min_max(values: np.ndarray) -> np.ndarray:
    """Bring values to [0, 1]; a constant map becomes zero."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def trimap(attention: np.ndarray, delta0: float, delta1: float, uncertain_label: int = 2) -> np.ndarray:
    """Divide an attention map (H, W) by two thresholds into OpenCV's labels (H, W) uint8.

    Below ``delta0``: 0, background; at least ``delta1``: 1, foreground; between them ``uncertain_label``, 2 (probably
    background, as in the official code) or 3 (probably foreground).
    """
    labels = np.full(attention.shape, uncertain_label, np.uint8)
    labels[attention >= delta1] = cv2.GC_FGD
    labels[attention < delta0] = cv2.GC_BGD
    return labels


def grabcut(image: np.ndarray, labels: np.ndarray, seed: int = 0) -> np.ndarray | None:
    """Decide the uncertain pixels of a tri-map by color and edges (GrabCut, five Gaussians a side, one iteration).

    Args:
        image: (H, W, 3) uint8 BGR.
        labels: (H, W) uint8, see :func:`trimap`; not changed.
        seed: Seed of the k-means that starts the mixtures. Defaults to 0.

    Returns:
        (H, W) uint8 labels without uncertain ones: 0 and 2 background, 1 and 3 foreground. None if
        one side of the tri-map has too few pixels, or none is left.
    """
    front = int(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).sum())
    if min(front, labels.size - front) < MIN_PIXELS:
        return None
    labels = labels.copy()
    models = np.zeros((2, 1, 65))
    cv2.setRNGSeed(seed)  # of this thread
    box = (0, 0, 0, 0)  # not used with a mask
    cv2.grabCut(np.ascontiguousarray(image), labels, box, models[0], models[1], 1, cv2.GC_INIT_WITH_MASK)
    front = int(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).sum())
    return labels if 0 < front < labels.size else None


@TASK_UTILS.register_module()
class PseudoMaskWriter(CacheWriter):
    """Make a foreground mask of every image from the attention of a self-supervised transformer.

    The attention map is divided into certain foreground, certain background and uncertain pixels, which GrabCut
    decides; where it cannot (too few certain pixels, or nothing left), the mask is the attention above ``threshold``.
    Masks are lossless PNG files with 0 and 255, of the size of the input: the whole image, whose pixels also give
    GrabCut its colors.

    Args:
        preset: 'released' (attention of the last block, heads 0 to 2, delta0 0.03, delta1 0.1), 'paper' (mean of
            all blocks and heads, 0.02 and 0.75) or 'ppd' (attention as in 'released', one threshold on the map
            resized to a quarter of the input, the size of PPD's map). Defaults to 'released'.
        heads: Heads. Defaults to None: the preset's.
        delta0: Attention below is background. Defaults to None: the preset's.
        delta1: Attention of at least this is foreground. Defaults to None: the preset's.
        uncertain_label: Start of uncertain pixels, 2 (background) or 3 (foreground). Defaults to 2.
        threshold: Threshold of 'ppd' and of the fallback. Defaults to 0.05.

    Raises:
        ValueError: If an option is unknown or out of range.
    """

    suffix = ".png"
    titles = ("image", "attention", "tri-map", "mask")

    def __init__(
        self,
        preset: str = "released",
        heads: Sequence[int] | None = None,
        delta0: float | None = None,
        delta1: float | None = None,
        uncertain_label: int = 2,
        threshold: float = 0.05,
    ) -> None:
        if preset not in PRESETS:
            raise ValueError(f"preset must be one of {tuple(PRESETS)}, got {preset!r}.")
        given = dict(heads=heads, delta0=delta0, delta1=delta1)
        rule = {**PRESETS[preset], **{name: value for name, value in given.items() if value is not None}}
        self.layers, self.heads = rule["layers"], rule["heads"]
        self.delta0, self.delta1, self.refine = rule["delta0"], rule["delta1"], rule["refine"]
        if self.refine == "grabcut" and not 0 <= self.delta0 <= self.delta1 <= 1:
            raise ValueError(f"delta0={self.delta0} and delta1={self.delta1} must satisfy 0 <= delta0 <= delta1 <= 1.")
        if uncertain_label not in (2, 3):
            raise ValueError(f"uncertain_label must be 2 (background) or 3 (foreground), got {uncertain_label}.")
        self.uncertain_label = uncertain_label
        self.threshold = threshold

    def setup(self, runner: Runner) -> None:
        """Note the run, whose folder and logger the summary needs."""
        self.runner = runner

    def params(self) -> dict[str, Any]:
        """Return the settings of the masks."""
        names = ("layers", "heads", "delta0", "delta1", "refine", "uncertain_label", "threshold")
        return {name: getattr(self, name) for name in names}

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the weights of the backbone; the head has no part in the masks."""
        return model.backbone.state_dict()  # type: ignore[union-attr,operator,return-value]

    def process(self, model: nn.Module, batch: dict) -> list[MaskJob]:
        """Compute the attention of a batch."""
        images = [image.permute(1, 2, 0).numpy() for image in batch["inputs"]]
        inputs = model.data_preprocessor(batch)["inputs"]  # type: ignore[operator]
        cls_attn = model.backbone(inputs).cls_attn  # type: ignore[operator]
        if cls_attn is None:
            raise ValueError("PseudoMaskWriter needs attention: use a backbone with tap='cls'.")
        attention = attention_map(cls_attn, self.layers, self.heads).float().cpu().numpy()
        return [MaskJob(*pair) for pair in zip(images, attention, strict=True)]

    def finish(self, job: MaskJob) -> bytes:
        """Make the PNG file of a mask."""
        return cv2.imencode(".png", self.mask(job).astype(np.uint8) * 255)[1].tobytes()

    def mask(self, job: MaskJob) -> np.ndarray:
        """Make the mask (H, W) bool of an image."""
        if self.refine == "threshold":
            size = [side // 4 for side in job.image.shape[1::-1]]
            return min_max(cv2.resize(job.attention, size)) >= self.threshold  # normalized after the resize
        attention = self.resized_attention(job)
        labels = grabcut(job.image, self.trimap(attention))
        return attention >= self.threshold if labels is None else np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))

    def resized_attention(self, job: MaskJob) -> np.ndarray:
        """Normalize the attention on its grid, then resize it to the image (H, W)."""
        return cv2.resize(min_max(job.attention), job.image.shape[1::-1])

    def trimap(self, attention: np.ndarray) -> np.ndarray:
        """Return the tri-map (H, W) of an attention map (H, W)."""
        if self.refine == "threshold":
            return (attention >= self.threshold).astype(np.uint8)
        return trimap(attention, self.delta0, self.delta1, self.uncertain_label)

    def summarize(self, cache: OfflineCache) -> dict[str, Any]:
        """Compute statistics of the masks, on evenly spread images.

        Returns:
            ``mask_area_median``, ``mask_area_10th`` and ``mask_area_90th`` percentile of the foreground share;
            ``fallback_share`` of images without GrabCut; for data sets with boxes, with the box of the largest region
            and the best ground-truth box: mean IoU ``iou_*`` and share with IoU of at least 0.5 ``hit_*``, of the
            attention above ``threshold``, of the certain foreground ``seed``, and of the ``mask``.
        """
        chosen = spread([i for i in range(len(cache.items)) if cache.path(i).is_file()], STATISTICS_IMAGES)
        areas: list[float] = []
        fallbacks = 0
        ious: dict[str, list[float]] = {"attention": [], "seed": [], "mask": []}
        for i in chosen:
            _, data, reason = cache.items[i]
            if data is None:
                raise ValueError(f"image '{cache.items.names[i]}' cannot be read any more: {reason}")
            stored, parts = self._parts(data, cache.path(i))
            areas.append(float((stored > 0).mean()))
            fallbacks += self.refine == "grabcut" and grabcut(parts.image, parts.labels) is None
            if len(parts.boxes):
                seed = parts.labels == cv2.GC_FGD
                regions = dict(attention=parts.attention >= self.threshold, seed=seed, mask=parts.mask)
                for name, region in regions.items():
                    ious[name].append(_box_iou(region, parts.boxes))
        median = float(np.median(areas))
        if not 0.05 <= median <= 0.8:
            self.runner.logger.warning(
                f"the median mask covers {100 * median:.1f} % of its image, normally 5 to 80 %: look at "
                "contact_sheet.png, and change delta0 and delta1, or the preset."
            )
        summary = dict(
            num_samples=len(areas),
            mask_area_median=median,
            mask_area_10th=float(np.percentile(areas, 10)),
            mask_area_90th=float(np.percentile(areas, 90)),
            fallback_share=fallbacks / len(areas),
        )
        for name, values in ious.items():
            if values:
                summary[f"iou_{name}"] = float(np.mean(values))
                summary[f"hit_{name}"] = float(np.mean(np.array(values) >= 0.5))
        return summary

    def panels(self, data: dict, file: Path) -> list[Panel]:
        """Show image, attention, tri-map (uncertain: gray) and masked image, with the ground truth."""
        _, parts = self._parts(data, file)
        images = [parts.image, parts.image, _TRIMAP_COLORS[parts.labels], parts.image * parts.mask[..., None]]
        maps = [None, parts.attention, None, None]
        return [Panel(image, scoremap, parts.boxes) for image, scoremap in zip(images, maps, strict=True)]

    def _parts(self, data: dict, file: Path) -> tuple[np.ndarray, _Parts]:
        """Return the mask as it is stored, and what it was made of."""
        stored = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if stored is None:
            raise ValueError(f"mask '{file}' cannot be read any more.")
        [job] = self.process(unwrapped(self.runner.model), pseudo_collate([data]))
        attention = self.resized_attention(job)
        mask = cv2.resize(stored, job.image.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
        return stored, _Parts(job.image, attention, self.trimap(attention), mask, _boxes(data["data_samples"]))


class _Parts(NamedTuple):
    """An image (H, W, 3), its attention, tri-map and mask (H, W), and ground-truth boxes (M, 4)."""

    image: np.ndarray
    attention: np.ndarray
    labels: np.ndarray
    mask: np.ndarray
    boxes: np.ndarray


def _boxes(sample: Any) -> np.ndarray:
    return sample.gt_instances.bboxes.numpy() if "gt_instances" in sample else np.zeros((0, 4))


def _box_iou(mask: np.ndarray, boxes: np.ndarray) -> float:
    """Compute the IoU of the box of a mask's largest region with the nearest ground-truth box; 0 if it is empty."""
    mask_box = mask_boxes(mask, "largest_contour")
    return float(box_iou(mask_box, boxes, plus_one=False).max()) if len(mask_box) else 0.0
