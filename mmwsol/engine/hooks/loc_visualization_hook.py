"""Hook that draws predictions during validation or test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmwsol.datasets.transforms.loading import decode_image
from mmwsol.evaluation.functional import normalize_map, resize_map
from mmwsol.registry import HOOKS
from mmwsol.structures import LocDataSample
from mmwsol.visualization.draw import draw_prediction, warp_to_original


@HOOKS.register_module()
class LocVisualizationHook(Hook):
    """Write overlay pictures of images, spread evenly over the data set.

    Each shows the original image and the localization map over it, with ground-truth boxes (green)
    and the predicted box (red), both class names, the score and the IoU. Under a distributed
    launcher every rank draws its own share; the choice of images does not depend on it.

    Args:
        out_dir (str, optional): Folder of the pictures, ``<index>_<image id>.jpg``. Defaults to None: ``pictures`` in
            the work dir.
        number (int): Largest number of pictures; -1 draws all. Defaults to 50.
        target (str): Which map and box to draw: 'pred' of the top-1 class, 'gt' of the ground-truth
            class (class-agnostic maps are the same for both). Defaults to 'pred'.
        loops (Sequence[str]): When to draw: 'val' (each validation replaces the pictures of the one before), 'test'.
            Defaults to ('test',).

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
    ) -> None:
        if target not in ("pred", "gt"):
            raise ValueError(f"target must be 'pred' or 'gt', got {target!r}.")
        if not set(loops) <= {"val", "test"}:
            raise ValueError(f"loops may have 'val' and 'test', got {tuple(loops)}.")
        self.loops = tuple(loops)
        self.out_dir: Path | None = Path(out_dir) if out_dir else None
        self.number = number
        self.target = target
        self._chosen: set[int] | None = None

    def before_test(self, runner: Runner) -> None:
        """Choose the test images."""
        if "test" in self.loops:
            self._choose(runner, len(runner.test_dataloader.dataset))

    def before_val(self, runner: Runner) -> None:
        """Choose the validation images."""
        if "val" in self.loops:
            self._choose(runner, len(runner.val_dataloader.dataset))

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[LocDataSample] | None = None,
    ) -> None:
        """Draw the chosen images of a test batch."""
        if "test" in self.loops:
            self._draw_batch(runner, runner.test_dataloader.dataset, data_batch, outputs)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[LocDataSample] | None = None,
    ) -> None:
        """Draw the chosen images of a validation batch."""
        if "val" in self.loops:
            self._draw_batch(runner, runner.val_dataloader.dataset, data_batch, outputs)

    def _choose(self, runner: Runner, total: int) -> None:
        self.out_dir = self.out_dir or Path(runner.work_dir) / "pictures"
        self.out_dir.mkdir(parents=True, exist_ok=True)
        if self.number >= 0:
            steps = np.linspace(0, total - 1, min(self.number, total))
            self._chosen = set(steps.round().astype(int).tolist())

    def _draw_batch(self, runner: Runner, dataset: Any, data_batch: Any, outputs: Any) -> None:
        assert self.out_dir is not None
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        classes = (dataset.metainfo or {}).get("classes")
        for inputs, sample in zip(data_batch["inputs"], outputs or (), strict=False):
            index = int(sample.get("sample_idx", 0))
            if self._chosen is not None and index not in self._chosen:
                continue
            picture = self._draw(sample, inputs, getattr(model, "map_to_box", None), classes)
            name = os.path.splitext(str(sample.img_id))[0].replace("/", "_").replace("\\", "_")
            path = self.out_dir / f"{index:06d}_{name}.jpg"
            if not cv2.imwrite(str(path), picture):
                raise OSError(f"cannot write '{path}'.")

    def _draw(
        self,
        sample: LocDataSample,
        inputs: Any,
        map_to_box: Any,
        classes: Sequence[str] | None,
    ) -> np.ndarray:
        labels = sample.pred_maps.labels.tolist()
        label, pred_label = int(sample.gt_label), int(sample.pred_label)
        shown = label if self.target == "gt" else pred_label
        index = labels.index(shown) if shown in labels else 0  # class-agnostic maps: the first
        score_map = self._score_map(sample, index, map_to_box)
        bbox = sample.pred_instances.bboxes[index].cpu().numpy()
        names = classes or [str(i) for i in range(len(sample.pred_score))]
        return draw_prediction(
            _original_image(sample, inputs),
            warp_to_original(score_map, sample.frame, sample.ori_shape),
            bbox,
            np.asarray(sample.get("gt_bboxes_ori", np.zeros((0, 4)))),
            names[label],
            names[shown],
            float(sample.pred_score[shown]),
        )

    @staticmethod
    def _score_map(sample: LocDataSample, index: int, map_to_box: Any) -> np.ndarray:
        """Make the map (H, W) of the network frame as the box rule sees it."""
        maps = sample.pred_maps.maps[index : index + 1]
        size = tuple(sample.img_shape[:2])
        if map_to_box is not None:
            return map_to_box.scoremap(maps, size)[0].astype(np.float32)
        return normalize_map(resize_map(maps[0].float().cpu().numpy(), size))


def _original_image(sample: LocDataSample, inputs: Any) -> np.ndarray:
    """Read the image file; data sets without files show the network input in original pixels."""
    path = sample.get("img_path")
    if path is not None and os.path.isfile(path):
        return decode_image(Path(path).read_bytes(), path)
    picture = inputs.permute(1, 2, 0).clip(0, 255).byte().cpu().numpy()
    return warp_to_original(np.ascontiguousarray(picture), sample.frame, sample.ori_shape)
