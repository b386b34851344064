"""Running: hooks, seeds, stages, the model wrapper for the CPU."""

from .hooks import (
    BatchNormHook,
    DataCheckHook,
    EpochSeedHook,
    LocVisualizationHook,
    MapDumpHook,
    NumClassesHook,
    PredictionDumpHook,
    ResumeHook,
    SafeCheckpointHook,
    StagesHook,
    ThresholdCalibrationHook,
    UnusedParametersHook,
)
from .offline import OfflineLoop
from .seeding import seed_everything, worker_init_fn
from .stages import Stage, run_stages, stage_configs
from .timm_cosine_lr import TimmCosineLR
from .wrappers import CPUDistributedDataParallel

__all__ = [
    "BatchNormHook",
    "CPUDistributedDataParallel",
    "DataCheckHook",
    "EpochSeedHook",
    "LocVisualizationHook",
    "MapDumpHook",
    "NumClassesHook",
    "OfflineLoop",
    "PredictionDumpHook",
    "ResumeHook",
    "SafeCheckpointHook",
    "StagesHook",
    "Stage",
    "ThresholdCalibrationHook",
    "TimmCosineLR",
    "UnusedParametersHook",
    "run_stages",
    "seed_everything",
    "stage_configs",
    "worker_init_fn",
]
