"""Packing of a sample for the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpretrain.datasets.transforms import PackInputs

from mmwsol.datasets.transforms.carry import frame_of
from mmwsol.registry import TRANSFORMS
from mmwsol.structures import LocDataSample


@TRANSFORMS.register_module()
class PackLocInputs(PackInputs):
    """Pack image, crops and ground truth.

    Required keys: ``img`` (H, W, 3). Returns ``inputs`` (3, H, W) in the channel order and dtype of ``img``;
    ``crops`` (10, 3, h, w) after :class:`TenCrop`; and ``data_samples``, a :class:`mmwsol.structures.LocDataSample`.

    Args:
        algorithm_keys: Further keys to put into the data sample. Defaults to ().
        meta_keys: Keys to put into its meta information, where present. Defaults to
            ``DEFAULT_META_KEYS``.

    Raises:
        ValueError: If a transform changed the geometry of the image without changing ``frame``: boxes would be wrong.
    """

    DEFAULT_META_KEYS = (
        "img_path",
        "img_id",
        "sample_idx",
        "ori_shape",
        "img_shape",
        "frame",
        "gt_bboxes_ori",
        "mask_paths",
        "ignore_path",
        "scale_factor",
        "flip",
        "flip_direction",
    )

    def __init__(self, algorithm_keys: Sequence[str] = (), meta_keys: Sequence[str] = DEFAULT_META_KEYS) -> None:
        super().__init__(algorithm_keys=algorithm_keys, meta_keys=meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack ``results``."""
        self._check_frame(results)
        packed = super().transform(results)
        sample = LocDataSample()
        sample.update(packed["data_samples"])
        if "gt_bboxes" in results:
            boxes = torch.from_numpy(np.asarray(results["gt_bboxes"], np.float32).reshape(-1, 4))
            sample.gt_instances = InstanceData(bboxes=boxes)
        for key in ("gt_masks", "ignore_mask", "pseudo_mask"):
            if key in results:
                sample.set_field(torch.from_numpy(np.ascontiguousarray(results[key])), key)
        packed["data_samples"] = sample
        if "crops" in results:
            packed["crops"] = torch.stack([self.format_input(crop) for crop in results["crops"]])
        return packed

    def _check_frame(self, results: dict) -> None:
        """Set what a pipeline without mmwsol's loader left out and check that the geometry is consistent."""
        frame = frame_of(results)
        results["frame"], results["img_shape"] = frame, frame.shape
        results.setdefault("ori_shape", frame.ori_shape)
        if tuple(results["ori_shape"][:2]) != frame.ori_shape:
            raise ValueError(
                f"'frame' begins at (H, W) = {frame.ori_shape}, but 'ori_shape' is {results['ori_shape']}: load images "
                "with mmwsol.LoadImage, and leave both to the transforms"
            )
        if "gt_bboxes_ori" in results and "gt_bboxes" in results:
            expected = frame.boxes(results["gt_bboxes_ori"])
            if not np.allclose(expected, results["gt_bboxes"], atol=1e-2):
                raise ValueError(
                    f"gt_bboxes {np.asarray(results['gt_bboxes']).tolist()} is not gt_bboxes_ori moved by 'frame', "
                    f"{expected.tolist()}: use mmwsol's transforms (mmwsol.Resize, mmwsol.RandomFlip, ...), which "
                    "carry the frame"
                )
