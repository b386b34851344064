"""Registries of mmwsol: one child for every root registry of mmengine, scope ``mmwsol``.

Every type is written with its prefix, ``type='mmwsol.ConvCAMHead'``, and resolves from any scope: mmengine imports this
module when it meets the prefix, and ``locations`` imports the package that registers the class.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence

from mmengine import registry as root

from mmwsol import compat, weight_hubs
from mmwsol.utils.config import find_base


class _Registry(root.Registry):
    """A child registry with places to look last, whose failed look-up names the nearest registered types.

    Args:
        last: Packages that are imported when a type is in none of the ``locations``, which mmengine
            imports all together.
        **kwargs: Arguments of mmengine's ``Registry``.
    """

    def __init__(self, *args, last: Sequence[str] = (), **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._last = last

    def get(self, key: str) -> type | None:
        """Look ``key`` up; raise ``KeyError`` with the closest names if mmwsol has no such type."""
        registered = super().get(key)
        scope, name = self.split_scope_key(key)
        if registered is None and scope in (None, self.scope):
            for package in self._last:
                importlib.import_module(package)
            if name in self.module_dict:
                return self.module_dict[name]
            names = sorted(self.module_dict)
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
            hint = " or ".join(f"'mmwsol.{n}'" for n in near)
            hint = f"did you mean {hint}?" if near else f"registered: {', '.join(names) or 'none'}."
            raise KeyError(f"'mmwsol.{name}' is not in the mmwsol {self.name} registry: {hint}")
        return registered


def _child(parent: root.Registry, *locations: str, last: Sequence[str] = ()) -> _Registry:
    return _Registry(
        parent.name,
        parent=parent,
        scope="mmwsol",
        locations=[f"mmwsol.{package}" for package in locations],
        last=[f"mmwsol.{package}" for package in last],
    )


RUNNERS = _child(root.RUNNERS)
RUNNER_CONSTRUCTORS = _child(root.RUNNER_CONSTRUCTORS)
LOOPS = _child(root.LOOPS, "engine")
HOOKS = _child(root.HOOKS, "engine")
STRATEGIES = _child(root.STRATEGIES)
DATASETS = _child(root.DATASETS, "datasets")
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, "datasets")
TRANSFORMS = _child(root.TRANSFORMS, "datasets.transforms", "methods")
MODELS = _child(root.MODELS, "models", "methods", last=["integrations"])  # which imports apis, engine and pictures
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS, "engine")
WEIGHT_INITIALIZERS = _child(root.WEIGHT_INITIALIZERS)
OPTIMIZERS = _child(root.OPTIMIZERS)
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS)
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS)
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, "engine")
METRICS = _child(root.METRICS, "evaluation.metrics")
EVALUATOR = _child(root.EVALUATOR)
TASK_UTILS = _child(root.TASK_UTILS, "models", "methods")  # map_to_box and other parts without learning
VISUALIZERS = _child(root.VISUALIZERS, "visualization")
VISBACKENDS = _child(root.VISBACKENDS)
LOG_PROCESSORS = _child(root.LOG_PROCESSORS)
INFERENCERS = _child(root.INFERENCERS, "apis")
FUNCTIONS = _child(root.FUNCTIONS, "engine")

compat.apply()
weight_hubs.register_hubs()
compat.find_own_configs(find_base)
