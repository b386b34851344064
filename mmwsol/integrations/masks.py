"""Instance masks from localization maps."""

from __future__ import annotations

import cv2
import numpy as np

from mmwsol.evaluation.functional import box_iou
from mmwsol.models.box_rules import ComponentBox, ContourBox
from mmwsol.structures import LocDataSample


def instance_masks(map_to_box: ContourBox | ComponentBox, sample: LocDataSample) -> np.ndarray:
    """Make the mask of every predicted box: the connected region of the thresholded map that the box encloses.

    Args:
        map_to_box: The box rule that made the boxes.
        sample: A prediction, with ``pred_maps`` and ``pred_instances`` of K maps.

    Returns:
        (K, H, W) bool in original pixels. Empty for a map without foreground.
    """
    foregrounds = map_to_box.masks(sample.pred_maps.maps, sample.img_shape)
    boxes = sample.pred_instances.frame_bboxes.cpu().numpy()
    masks = np.zeros((len(boxes), *sample.ori_shape[:2]), bool)
    for k, (foreground, box) in enumerate(zip(foregrounds, boxes, strict=True)):
        masks[k] = _original_mask(foreground, box, sample)
    return masks


def object_masks(
    map_to_box: ContourBox | ComponentBox, sample: LocDataSample, index: int, boxes: np.ndarray
) -> np.ndarray:
    """Make the masks of several boxes of one map: as :func:`instance_masks`, of :func:`mmwsol.apis.objects.find_boxes`.

    Args:
        map_to_box: The box rule that made the boxes.
        sample: A prediction.
        index: Which of its K maps.
        boxes: (N, 4) in original pixels.

    Returns:
        (N, H, W) bool in original pixels.
    """
    [foreground] = map_to_box.masks(sample.pred_maps.maps[index : index + 1], sample.img_shape)
    masks = [_original_mask(foreground, box, sample) for box in sample.frame.boxes(boxes)]
    return np.stack(masks) if masks else np.zeros((0, *sample.ori_shape[:2]), bool)


def _original_mask(foreground: np.ndarray, box: np.ndarray, sample: LocDataSample) -> np.ndarray:
    """Return the region of a box in the network's frame as a mask (H, W) bool in original pixels."""
    return np.asarray(sample.frame.inverse().maps(region_of_box(foreground, box).astype(np.float32)) >= 0.5)


def region_of_box(foreground: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Take the 8-connected region of a mask (H, W) whose own box fits a box (4,) best, by IoU.

    Another region may reach into the box with more pixels. Nothing where none meets the box.
    """
    _, regions, stats, _ = cv2.connectedComponentsWithStats(foreground.astype(np.uint8), connectivity=8)
    x0, y0, width, height = stats[:, :4].T.astype(np.float64)
    ious = box_iou(np.stack([x0, y0, x0 + width, y0 + height], axis=1), box[None].astype(np.float64))[:, 0]
    ious[0] = 0  # the background
    return (regions == ious.argmax()) & (regions > 0)
