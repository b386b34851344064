"""Loading of box proposals for DiPS."""

from __future__ import annotations

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmwsol.datasets.offline_cache import CachedFiles
from mmwsol.methods.dips.proposals import RASTERS, SUFFIX, Proposals, box_mask, read_proposals
from mmwsol.registry import TRANSFORMS
from mmwsol.structures import Frame


@TRANSFORMS.register_module()
class LoadProposals(BaseTransform):
    """Choose one of the image's proposals at random; put it after every geometric transform.

    The box is drawn in the original image and then resized (Pillow, bilinear), cropped and flipped as the image was.

    Required keys: ``img`` (H, W, 3) uint8 BGR, ``img_id``, ``frame``. Added keys, which
    ``mmwsol.PackLocInputs`` must be given as ``algorithm_keys``: ``proposal_mask``, (H, W) bool tensor;
    ``proposal_map`` (int), the attention map it came from; ``raw_img``, (3, H, W) uint8 RGB tensor, the image as it is
    now; with ``all_boxes`` also ``all_proposals_mask``, (H, W) bool tensor. An image without proposals has an empty
    mask; one that could not be read when the cache was made has one too, with a warning.

    Args:
        cache_dir: Cache of the stage that writes proposals (:class:`mmwsol.methods.dips.ProposalWriter`),
            such as 'stage://proposals/cache', or of ``dips_proposals.py``. In a dry run, where no stage has run, an
            address ``stage://`` counts as a cache without proposals.
        top_k: How many of the best to choose from; 0: the best. Defaults to 5.
        raster: See :func:`mmwsol.methods.dips.proposals.box_mask`. Defaults to 'filled'.
        all_boxes: Whether to add ``all_proposals_mask``, of the ``top_k`` boxes. Defaults to False.

    Raises:
        ValueError: If ``raster`` is unknown, or the cache is missing, not complete, or of other images.
    """

    def __init__(self, cache_dir: str, top_k: int = 5, raster: str = "filled", all_boxes: bool = False) -> None:
        if raster not in RASTERS:
            raise ValueError(f"raster must be one of {RASTERS}, got {raster!r}.")
        self.cache_dir = cache_dir
        self.top_k = max(top_k, 1)
        self.raster = raster
        self.all_boxes = all_boxes
        self.files = CachedFiles(cache_dir, SUFFIX, "proposal file", "images without proposals give background only")

    @property
    def map_set(self) -> str | None:
        """The maps that the numbers ``proposal_map`` mean, ``map_set`` of the head; None if the cache does not say."""
        return (self.files.manifest or {}).get("params", {}).get("map_set")

    def transform(self, results: dict) -> dict:
        """Add the chosen proposal to ``results``."""
        proposals, frame = self._read(results["img_id"]), results["frame"]
        number = min(self.top_k, len(proposals.boxes))
        if number:
            chosen = np.random.randint(number)
            mask, index = self._mask(proposals.boxes[chosen], frame), int(proposals.map_index[chosen])
        else:
            mask, index = np.zeros(frame.shape, bool), 0
        results["proposal_mask"] = torch.from_numpy(mask)
        results["proposal_map"] = index
        results["raw_img"] = torch.from_numpy(np.ascontiguousarray(results["img"][:, :, ::-1].transpose(2, 0, 1)))
        if self.all_boxes:
            masks = [self._mask(box, frame) for box in proposals.boxes[:number]]
            union = np.logical_or.reduce(masks) if masks else np.zeros_like(mask)
            results["all_proposals_mask"] = torch.from_numpy(union)
        return results

    def _read(self, img_id: str) -> Proposals:
        path = self.files.find(img_id)
        if path is not None:
            return read_proposals(path)
        return Proposals(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))

    def _mask(self, box: np.ndarray, frame: Frame) -> np.ndarray:
        mask = box_mask(box, frame.ori_shape, self.raster)
        if not mask.any() and any(int(value) for value in box):
            raise ValueError(
                f"the proposal {box.tolist()} in '{self.cache_dir}' lies outside its image of {frame.ori_shape} (H, W):"
                " it was made for another image."
            )
        return frame.masks(mask, resample="bilinear")  # as the official code

    def __repr__(self) -> str:
        options = f"top_k={self.top_k}, raster='{self.raster}', all_boxes={self.all_boxes}"
        return f"LoadProposals(cache_dir='{self.cache_dir}', {options})"
