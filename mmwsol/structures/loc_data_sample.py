"""The data sample of weakly supervised localization."""

from __future__ import annotations

import pickle
from multiprocessing.reduction import ForkingPickler

from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample


class LocDataSample(DataSample):
    """Ground truth and predictions of one image.

    *Original* pixels are those of the image file; the *network frame* is the input of the backbone, of size
    ``img_shape``. All boxes are ``x0, y0, x1, y1`` in pixels.

    Meta fields:
        img_path (str), img_id (str), sample_idx (int): File, name and index of the image in its data set.
        ori_shape (tuple[int, int]): (H, W) of the original image.
        img_shape (tuple[int, int]): (H, W) of the network frame.
        frame (Frame): Geometry from original to network pixels.
        gt_bboxes_ori (numpy.ndarray): (M, 4) ground-truth boxes in original pixels, as the data set lists them.
        mask_paths (list[str]), ignore_path (str): Mask files, where the data set has them.
        box_rule (dict): Type, settings and threshold of the rule that made ``pred_instances``.
        num_regions (int): Separate boxes that the map of the top-1 class has, where inference finds ``pred_objects``.

    Data fields:
        gt_label (Tensor): (1,) class index.
        gt_instances (InstanceData): ``bboxes`` (M, 4) float32 in the network frame.
        gt_masks (Tensor), ignore_mask (Tensor): (H, W) bool in the network frame, where loaded.
        pseudo_mask (Tensor): (H, W) bool in the network frame, made by an offline stage; not ground truth.
        pred_score (Tensor): (C,) class probabilities. pred_label (Tensor): (1,) top-1 class.
        pred_maps (InstanceData): ``maps`` (K, h, w) float32, not thresholded, and ``labels`` (K,) int64, -1 for a
            class-agnostic map. Class-specific heads give the top-5 classes, best first, then the ground-truth class if
            it is not among them.
        pred_instances (InstanceData): One box per map: ``bboxes`` (K, 4) in original pixels, clipped to the image;
            ``frame_bboxes`` (K, 4) as the box rule gave them in the network frame; ``labels`` (K,); ``scores`` (K,)
            the class probability (the top-1 probability for a class-agnostic map).
        pred_objects (InstanceData): Objects of the top-1 class, where inference finds them
            (:func:`mmwsol.apis.objects.find_objects`): ``bboxes`` (N, 4) in original pixels, ``labels`` (N,),
            ``map_scores`` (N,) and ``scores`` (N,).
    """

    @property
    def gt_instances(self) -> InstanceData:
        """Ground-truth boxes in the network frame."""
        return self._gt_instances

    @gt_instances.setter
    def gt_instances(self, value: InstanceData) -> None:
        self.set_field(value, "_gt_instances", dtype=InstanceData)

    @property
    def pred_maps(self) -> InstanceData:
        """Localization maps and the classes they belong to."""
        return self._pred_maps

    @pred_maps.setter
    def pred_maps(self, value: InstanceData) -> None:
        self.set_field(value, "_pred_maps", dtype=InstanceData)

    @property
    def pred_instances(self) -> InstanceData:
        """Predicted boxes, one per map."""
        return self._pred_instances

    @pred_instances.setter
    def pred_instances(self, value: InstanceData) -> None:
        self.set_field(value, "_pred_instances", dtype=InstanceData)

    @property
    def pred_objects(self) -> InstanceData:
        """Objects of the top-1 class."""
        return self._pred_objects

    @pred_objects.setter
    def pred_objects(self, value: InstanceData) -> None:
        self.set_field(value, "_pred_objects", dtype=InstanceData)


def _reduce(sample: LocDataSample) -> tuple:
    # Workers send samples by value: sharing would use one file descriptor for each small tensor.
    return pickle.loads, (pickle.dumps(sample, pickle.HIGHEST_PROTOCOL),)


ForkingPickler.register(LocDataSample, _reduce)
