"""Hooks of mmwsol."""

from .batch_norm_hook import BatchNormHook
from .data_check_hook import DataCheckHook
from .epoch_seed_hook import EpochSeedHook
from .loc_visualization_hook import LocVisualizationHook
from .map_dump_hook import MapDumpHook
from .num_classes_hook import NumClassesHook
from .prediction_dump_hook import PredictionDumpHook
from .resume_hook import ResumeHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .stages_hook import StagesHook
from .threshold_calibration_hook import ThresholdCalibrationHook
from .unused_parameters_hook import UnusedParametersHook

__all__ = [
    "BatchNormHook",
    "DataCheckHook",
    "EpochSeedHook",
    "LocVisualizationHook",
    "MapDumpHook",
    "NumClassesHook",
    "PredictionDumpHook",
    "ResumeHook",
    "SafeCheckpointHook",
    "StagesHook",
    "ThresholdCalibrationHook",
    "UnusedParametersHook",
]
