"""Images without labels as a data set, for a localizer to predict on."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from torch.utils.data import Dataset

from mmwsol.apis.inputs import list_inputs
from mmwsol.datasets.class_names import config_names
from mmwsol.datasets.label_files import relative_name
from mmwsol.datasets.wrappers import inner_config


class UnlabelledImages(Dataset):
    """Images without labels, for the test pipeline of a config.

    Args:
        cfg: Config of a localizer.
        images: Files, folders and globs, as :class:`mmwsol.apis.WSOLInferencer` takes them.
        classes: Class names of the checkpoint. Defaults to None: those of the config's test data set.

    Raises:
        ValueError: If there is no image, or the config has no ``test_dataloader``.
    """

    def __init__(self, cfg: Config, images: Any, classes: Sequence[str] | None = None) -> None:
        if cfg.get("test_dataloader") is None:
            raise ValueError("the config has no test_dataloader, whose pipeline reads images.")
        init_default_scope(cfg.get("default_scope", "mmpretrain"))
        dataset = inner_config(cfg.test_dataloader.dataset)
        steps = [step for step in dataset.pipeline if not str(step.get("type")).endswith("LoadMasks")]
        self.pipeline = Compose(copy.deepcopy(steps))
        self.paths = [os.path.abspath(path) for path in list_inputs(images)]
        classes = config_names(dataset) if classes is None else classes
        self.metainfo = {} if classes is None else dict(classes=tuple(classes))
        folders = {os.path.dirname(path) for path in self.paths}
        one = images[0] if isinstance(images, (list, tuple)) and len(images) == 1 else images
        is_folder = isinstance(one, (str, Path)) and os.path.isdir(one)
        self.data_root = os.path.abspath(one) if is_folder else os.path.commonpath(folders)

    def __len__(self) -> int:
        return len(self.paths)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return path and id of an image."""
        return dict(img_path=self.paths[index], img_id=relative_name(self.paths[index], self.data_root))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.pipeline(self.get_data_info(index))
