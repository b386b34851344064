"""The visualizer: a prediction as a picture, for files, windows and every backend of mmengine."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dist import master_only
from mmengine.visualization import Visualizer
from PIL import Image

from mmwsol.evaluation.functional import evaluation_map, normalize_map, resize_map
from mmwsol.evaluation.functional.maps import MAP_OPTIONS
from mmwsol.files import write_bytes
from mmwsol.registry import VISUALIZERS
from mmwsol.structures import LocDataSample
from mmwsol.visualization.draw import draw_prediction

PANELS = ("image", "map", "overlay")
TARGETS = ("pred", "gt")
NO_WINDOW = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")  # backends of matplotlib that only write files


def shown_map(sample: LocDataSample, target: str = "pred") -> tuple[int, int]:
    """Choose the map and box to show.

    Args:
        sample: A prediction.
        target: 'pred' for the top-1 class, 'gt' for the ground-truth class, where that is known. Defaults to
            'pred'.

    Returns:
        Index into ``pred_maps`` and ``pred_instances``, and the class. Class-agnostic maps are the
        same for every class.
    """
    label = int(sample.gt_label if target == "gt" and "gt_label" in sample else sample.pred_label)
    labels = sample.pred_maps.labels.tolist()
    return (labels.index(label) if label in labels else 0), label


def score_map(
    sample: LocDataSample, index: int = 0, map_range: tuple[float, float] | None = None
) -> tuple[np.ndarray, tuple[float, float]]:
    """Make a map in original pixels.

    Args:
        sample: A prediction.
        index: Which of ``pred_maps``. Defaults to 0.
        map_range: Values of the network's map that become 0 and 1, the same for all
            images. Defaults to None: as the box rule normalizes, which for most rules spreads every map over 0 to 1,
            however weak it is.

    Returns:
        (H, W) float32 in [0, 1], 0 outside the network frame; and the smallest and largest value of the
        network's map.
    """
    raw = sample.pred_maps.maps[index].detach().cpu().double().numpy()
    size = sample.frame.shape
    rule = sample.get("box_rule")
    if map_range is not None:
        low, high = map_range
        frame_map = ((resize_map(raw, size) - low) / (high - low)).clip(0, 1)
    elif rule is not None:
        frame_map = evaluation_map(raw, size, **{name: rule[name] for name in MAP_OPTIONS if name in rule})
    else:
        frame_map = normalize_map(resize_map(raw, size))
    warped = sample.frame.inverse().maps(frame_map.astype(np.float32))
    return warped, (float(raw.min()), float(raw.max()))


@VISUALIZERS.register_module()
class LocVisualizer(Visualizer):
    """mmengine's ``Visualizer`` for localization: image, map and boxes with their IoU in one picture.

    As ``visualizer`` of a config it hands pictures to all its backends (files, TensorBoard, W&B, ...) for
    :class:`mmwsol.engine.LocVisualizationHook`. It also works alone: ``LocVisualizer().draw(image, sample)``.

    Ground-truth boxes are green, the predicted box is red, or the boxes of ``pred_objects`` where inference found them.
    The caption has the classes, the score and the best IoU; the panel 'map' the smallest and largest value of the
    network's map.

    Args:
        name: Name of the instance. Defaults to 'visualizer'.
        panels: Any of 'image', 'map', 'overlay'. Defaults to ('image', 'overlay').
        target: Class whose map and box are drawn, 'pred' or 'gt'. Defaults to 'pred'.
        map_range: See :func:`score_map`. Defaults to None.
        **kwargs: Arguments of mmengine's class, among them ``vis_backends`` and ``save_dir``.

    Raises:
        ValueError: If an option has another value.
    """

    def __init__(
        self,
        name: str = "visualizer",
        panels: Sequence[str] = ("image", "overlay"),
        target: str = "pred",
        map_range: tuple[float, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        if not panels or not set(panels) <= set(PANELS):
            raise ValueError(f"panels may have {PANELS}, got {tuple(panels)}.")
        if target not in TARGETS:
            raise ValueError(f"target must be 'pred' or 'gt', got {target!r}.")
        if map_range is not None and not map_range[0] < map_range[1]:
            raise ValueError(f"map_range must be a smaller and a larger value, got {tuple(map_range)}.")
        self.panels = tuple(panels)
        self.target = target
        self.map_range = map_range

    def draw(
        self,
        image: np.ndarray,
        sample: LocDataSample,
        classes: Sequence[str] | None = None,
        target: str | None = None,
        draw_gt: bool = True,
    ) -> np.ndarray:
        """Draw a prediction.

        Args:
            image: (H, W, 3) uint8 RGB, the original image.
            sample: Its prediction, with ground truth where that is known.
            classes: Class names. Defaults to None: those of ``dataset_meta``, or numbers.
            target: Defaults to None: that of the visualizer.
            draw_gt: Whether to show the ground truth. Defaults to True.

        Returns:
            The picture, uint8 RGB.
        """
        index, _ = shown_map(sample, target or self.target)
        boxes = sample.pred_instances.bboxes[index]
        if "pred_objects" in sample and index == shown_map(sample)[0]:
            boxes = sample.pred_objects.bboxes
        predicted, map_class = int(sample.pred_label), int(sample.pred_maps.labels[index])  # -1: class-agnostic
        names = classes or (self.dataset_meta or {}).get("classes") or ()
        localization, (low, high) = score_map(sample, index, self.map_range)
        known = draw_gt and "gt_label" in sample
        picture = draw_prediction(
            np.ascontiguousarray(image[:, :, ::-1]),
            localization,
            boxes.cpu().numpy(),
            np.asarray(sample.get("gt_bboxes_ori", ()), np.float64).reshape(-1, 4) if draw_gt else np.zeros((0, 4)),
            class_name(names, int(sample.gt_label)) if known else None,
            class_name(names, predicted),
            float(sample.pred_score[predicted]),
            self.panels,
            f"{low:.3g} to {high:.3g}",
            class_name(names, map_class) if map_class not in (-1, predicted) else None,
        )
        return np.ascontiguousarray(picture[:, :, ::-1])

    def show(self, *args: Any, backend: str = "matplotlib", **kwargs: Any) -> None:
        """Open a window, see ``mmengine.visualization.Visualizer.show``.

        Raises:
            ValueError: If there is no display: mmengine would wait for ever.
        """
        import matplotlib  # only here: start-up needs none of it

        if backend == "matplotlib" and matplotlib.get_backend().lower() in NO_WINDOW:
            raise ValueError("there is no display to show pictures on: have them written to files instead.")
        super().show(*args, backend=backend, **kwargs)

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: LocDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        step: int = 0,
        out_file: str | None = None,
    ) -> None:
        """Draw a prediction and hand it to a window, a file, or all backends.

        Args:
            name: Name of the picture.
            image: (H, W, 3) uint8 RGB, the original image.
            data_sample: Its prediction. Defaults to None: the image alone.
            draw_gt: Whether to show the ground truth. Defaults to True.
            draw_pred: Whether to show map and predicted box. Defaults to True.
            show: Whether to open a window. Defaults to False.
            wait_time: Seconds that the window stays; 0: until a key is pressed. Defaults to 0.
            step: Step under which backends store it. Defaults to 0.
            out_file: Picture file, then the backends get nothing. Defaults to None.
        """
        picture = image
        if data_sample is not None and draw_pred and "pred_maps" in data_sample:
            picture = self.draw(image, data_sample, draw_gt=draw_gt)
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)
        if out_file is not None:
            write_picture(out_file, picture)
        elif not show or self._vis_backends:
            self.add_image(name, picture, step)


def write_picture(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Write an RGB picture to a file, making its folder: an ending that OpenCV knows, or .pdf, a page at 200 dpi.

    Raises:
        OSError: If it cannot be written, or the ending is not that of a picture.
    """
    if os.path.splitext(path)[1].lower() == ".pdf":
        page = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(picture)).save(page, "PDF", resolution=200)
        write_bytes(Path(path), page.getvalue())
        return
    try:
        done, content = cv2.imencode(os.path.splitext(path)[1], picture[:, :, ::-1])
    except cv2.error as error:
        raise OSError(f"cannot write '{path}': {error}") from error
    if not done:
        raise OSError(f"cannot write '{path}'.")
    write_bytes(Path(path), content.tobytes())


def picture_name(img_id: str) -> str:
    """Return a name for the picture of an image, without ending: 'a/b.jpg' is 'a_b'."""
    return os.path.splitext(img_id)[0].replace("/", "_").replace("\\", "_")


def class_name(classes: Sequence[str], label: int) -> str:
    """Return the name of a class, or its number where names are missing."""
    return classes[label] if label < len(classes) else str(label)
