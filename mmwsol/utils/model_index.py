"""The models of this package, from the metafiles of its configs."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mmengine.fileio import load

from mmwsol.utils.config import config_root, list_cells, list_configs


@dataclass(frozen=True)
class ModelInfo:
    """An entry of a metafile.

    Attributes:
        name: Name of the config, or of the cell of a sweep.
        config: Its file, or the sweep file.
        method: Name of the collection.
        dataset: Data set of the figures.
        paper: Published figures by metric, in percent.
        metrics: Our figures by metric, in percent; empty if not measured.
        weights: File or URL of trained weights; None if there are none.
    """

    name: str
    config: Path
    method: str
    dataset: str
    paper: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    weights: str | None = None


def list_models(pattern: str = "*") -> list[str]:
    """List the names that :func:`mmwsol.apis.init_model` and :class:`mmwsol.apis.WSOLInferencer` take.

    Args:
        pattern: Shell pattern, such as 'trt*' or '*_cub'. Defaults to '*'.

    Returns:
        Names of configs and of cells of sweeps, sorted.
    """
    return sorted(name for name in [*list_configs(), *list_cells()] if fnmatchcase(name, pattern))


def read_model_index() -> dict[str, ModelInfo]:
    """Read all metafiles: entries by their names."""
    entries = {}
    for path in metafiles():
        for entry in load(path)["Models"]:
            entries[entry["Name"]] = _read_entry(entry)
    return entries


def metafiles() -> list[Path]:
    """Return the metafiles, one a method."""
    return sorted(config_root().glob("*/metafile.yml"))


def find_weights(name: str) -> str:
    """Return the trained weights of a model.

    Raises:
        ValueError: If there are none. The message says how to get some.
    """
    info = read_model_index().get(name)
    if info is None or info.weights is None:
        raise ValueError(
            f"there are no trained weights of '{name}' to download. Train it (python tools/train.py {name}), or "
            "convert an official release (tools/model_converters/convert_official.py), and pass the file: "
            "weights='FILE.pth'."
        )
    return info.weights


def _read_entry(entry: dict[str, Any]) -> ModelInfo:
    result = entry["Results"][0]
    return ModelInfo(
        entry["Name"],
        config_root().parent / entry["Config"],
        entry["In Collection"],
        result["Dataset"],
        result["Paper"],
        result["Metrics"],
        entry.get("Weights"),
    )
