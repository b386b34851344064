"""Hook that writes the maps of a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmwsol.evaluation.map_dump import DumpedImage, check_file_names, write_lists, write_maps
from mmwsol.registry import HOOKS
from mmwsol.structures import LocDataSample


@HOOKS.register_module()
class MapDumpHook(Hook):
    """Write the localization maps, class scores and ground truth of a test, see :mod:`mmwsol.evaluation.map_dump`.

    ``eval_maps.py FOLDER/maps FOLDER/meta --scores FOLDER/scores.npz`` gives the numbers of the test under any protocol
    of the same frame, which the dump names. Class-specific heads give the maps of the five
    best classes and of the ground truth.

    Args:
        folder: Folder of the files; it must not exist, or be empty.

    Raises:
        ValueError: If the folder holds something; before a test, if two images have one file.
    """

    priority = "LOW"

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        if self.folder.is_dir() and any(self.folder.iterdir()):
            raise ValueError(f"the folder for the maps, '{folder}', is not empty: name another one.")
        self._images: dict[int, DumpedImage] = {}

    def before_test(self, runner: Runner) -> None:
        """Forget earlier tests, and check the names of the files."""
        self._images = {}
        dataset = runner.test_dataloader.dataset
        check_file_names([str(dataset.get_data_info(index)["img_id"]) for index in range(len(dataset))])

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[LocDataSample] | None = None,
    ) -> None:
        """Write the maps of a batch, and keep what the lists tell."""
        for sample in outputs or ():
            write_maps(self.folder, sample.img_id, sample.pred_maps.maps.numpy(), sample.pred_maps.labels.tolist())
            self._images[int(sample.sample_idx)] = DumpedImage(
                sample.img_id,
                int(sample.gt_label),
                sample.frame.ori_shape,
                np.asarray(sample.get("gt_bboxes_ori", ()), np.float32).reshape(-1, 4),
                sample.pred_score.numpy(),
                sample.frame.shape,
            )

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Collect the images of all ranks and write the lists."""
        ranks = all_gather_object(self._images)
        if not is_main_process():
            return
        images = {index: image for rank in ranks for index, image in rank.items()}
        write_lists(self.folder, [images[index] for index in sorted(images)])
        runner.logger.info(f"Maps of {len(images)} images are written to {self.folder}.")
