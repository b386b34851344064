"""Hook that draws predictions during validation or test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmwsol.datasets.transforms.loading import read_original
from mmwsol.registry import HOOKS
from mmwsol.structures import LocDataSample
from mmwsol.visualization import LocVisualizer, picture_name, write_picture


@HOOKS.register_module()
class LocVisualizationHook(Hook):
    """Write overlay pictures of images, spread evenly over the data set.

    Each shows the original image and the localization map over it, with ground-truth boxes (green)
    and the predicted box (red), both class names, the score and the IoU. Under a distributed
    launcher every rank draws its own share; the choice of images does not depend on it.

    Goes into ``custom_hooks``, or into ``default_hooks`` under the name ``visualization``. With ``backends=True`` the
    pictures also go to the backends of the config's visualizer; a :class:`mmwsol.LocVisualizer` there sets their look:

        visualizer = dict(
            type='mmwsol.LocVisualizer', panels=['image', 'map', 'overlay'],
            vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
        default_hooks = dict(visualization=dict(type='mmwsol.LocVisualizationHook', backends=True))

    Args:
        out_dir: Folder of the pictures, ``<index>_<image id>.jpg``. Defaults to None: ``pictures`` in
            the work dir.
        number: Largest number of pictures; -1 draws all. Defaults to 50.
        target: Which map and box to draw: 'pred' of the top-1 class, 'gt' of the ground-truth
            class (class-agnostic maps are the same for both). Defaults to 'pred'.
        loops: When to draw: 'val' (each validation replaces the pictures of the one before), 'test'.
            Defaults to ('test',).
        backends: Whether to hand the pictures to the visualizer's backends too, with the epoch as their step;
            they get those of the main process. Defaults to False.

    Raises:
        ValueError: If ``target`` or ``loops`` has another value.
    """

    priority = "LOW"

    def __init__(
        self,
        out_dir: str | None = None,
        number: int = 50,
        target: str = "pred",
        loops: Sequence[str] = ("test",),
        backends: bool = False,
    ) -> None:
        if target not in ("pred", "gt"):
            raise ValueError(f"target must be 'pred' or 'gt', got {target!r}.")
        if not set(loops) <= {"val", "test"}:
            raise ValueError(f"loops may have 'val' and 'test', got {tuple(loops)}.")
        self.loops = tuple(loops)
        self.out_dir: Path | None = Path(out_dir) if out_dir else None
        self.number = number
        self.target = target
        self.backends = backends
        self._chosen: set[int] | None = None
        self._visualizer: LocVisualizer | None = None
        self._drawn = self._without = 0  # pictures of a loop, and those without ground-truth boxes

    def before_test(self, runner: Runner) -> None:
        """Choose the test images."""
        if "test" in self.loops:
            self._choose(len(runner.test_dataloader.dataset))

    def before_val(self, runner: Runner) -> None:
        """Choose the validation images."""
        if "val" in self.loops:
            self._choose(len(runner.val_dataloader.dataset))

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[LocDataSample] | None = None,
    ) -> None:
        """Draw the chosen images of a test batch."""
        if "test" in self.loops:
            self._draw_batch(runner, "test", runner.test_dataloader.dataset, data_batch, outputs)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[LocDataSample] | None = None,
    ) -> None:
        """Draw the chosen images of a validation batch."""
        if "val" in self.loops:
            self._draw_batch(runner, "val", runner.val_dataloader.dataset, data_batch, outputs)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Say how many test pictures have no ground-truth boxes."""
        self._report(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Say how many validation pictures have no ground-truth boxes."""
        self._report(runner)

    def _report(self, runner: Runner) -> None:
        if self._without:
            runner.logger.warning(
                f"{self._without} of {self._drawn} pictures are of images without ground-truth boxes in the data set: "
                "none are drawn there, and no IoU."
            )
        self._drawn = self._without = 0

    def _choose(self, total: int) -> None:
        if self.number >= 0:
            steps = np.linspace(0, total - 1, min(self.number, total))
            self._chosen = set(steps.round().astype(int).tolist())

    def _draw_batch(self, runner: Runner, loop: str, dataset: Any, data_batch: Any, outputs: Any) -> None:
        out_dir = self.out_dir or Path(runner.work_dir, "pictures")
        out_dir.mkdir(parents=True, exist_ok=True)
        visualizer = runner.visualizer
        if self._visualizer is None:
            self._visualizer = visualizer if isinstance(visualizer, LocVisualizer) else LocVisualizer()
        classes = (dataset.metainfo or {}).get("classes")
        for inputs, sample in zip(data_batch["inputs"], outputs or (), strict=False):
            index = int(sample.get("sample_idx", 0))
            if self._chosen is not None and index not in self._chosen:
                continue
            self._drawn += 1
            self._without += not len(sample.get("gt_bboxes_ori", ()))
            picture = self._visualizer.draw(original_image(sample, inputs), sample, classes, self.target)
            name = picture_name(str(sample.img_id))
            write_picture(out_dir / f"{index:06d}_{name}.jpg", picture)
            if self.backends:
                visualizer.add_image(f"{loop}_{index:06d}_{name}", picture, runner.epoch)


def original_image(sample: LocDataSample, inputs: Any) -> np.ndarray:
    """Read the image file as RGB; data sets without files show the network input in original pixels."""
    path = sample.get("img_path")
    if path is not None and os.path.isfile(path):
        return read_original(path, sample.ori_shape)[:, :, ::-1]
    picture = inputs.permute(1, 2, 0).clip(0, 255).byte().cpu().numpy()
    return sample.frame.inverse().maps(np.ascontiguousarray(picture))[:, :, ::-1]
