"""Hooks of mmwsol."""

from .epoch_seed_hook import EpochSeedHook
from .loc_visualization_hook import LocVisualizationHook
from .map_dump_hook import MapDumpHook
from .num_classes_hook import NumClassesHook
from .prediction_dump_hook import PredictionDumpHook
from .threshold_calibration_hook import ThresholdCalibrationHook

__all__ = [
    "EpochSeedHook",
    "LocVisualizationHook",
    "MapDumpHook",
    "NumClassesHook",
    "PredictionDumpHook",
    "ThresholdCalibrationHook",
]
