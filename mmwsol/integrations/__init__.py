"""Use from mmdet: a localizer as a detector, its backbone under a detector, its boxes as training data."""

from .detector import WSOLDetector
from .feature_maps import FeatureMaps, SimpleFeaturePyramid
from .masks import instance_masks
from .pseudo_boxes import BoxExport, export_boxes, export_ground_truth

__all__ = [
    "BoxExport",
    "FeatureMaps",
    "SimpleFeaturePyramid",
    "WSOLDetector",
    "export_boxes",
    "export_ground_truth",
    "instance_masks",
]
