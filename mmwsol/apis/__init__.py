"""The interface for programs: models by name, inference, export."""

from mmwsol.utils.model_index import ModelInfo, list_models, read_model_index

from .export import export_model, load_exported
from .inferencer import WSOLInferencer
from .init_model import init_model

__all__ = [
    "ModelInfo",
    "WSOLInferencer",
    "export_model",
    "init_model",
    "list_models",
    "load_exported",
    "read_model_index",
]
