"""Boxes and masks of a localizer as labels: training data for a detector (PSOL, Zhang et al., CVPR 2020)."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader, Dataset

from mmwsol.apis.init_model import load_weights, load_weights_file
from mmwsol.apis.objects import BoxOptions, applied, find_boxes, map_scores
from mmwsol.datasets.class_names import check_same_names, checkpoint_names, dataset_names
from mmwsol.datasets.image_sizes import read_size
from mmwsol.datasets.label_files import FORMATS, LabelList, check_listable, label_names, relative_name
from mmwsol.datasets.transforms.loading import UnreadableImageError, load_mask
from mmwsol.datasets.wrappers import data_root_of, inner_config
from mmwsol.integrations.masks import object_masks
from mmwsol.integrations.unlabelled_images import UnlabelledImages
from mmwsol.registry import DATASETS, MODELS
from mmwsol.structures import Frame, LocDataSample
from mmwsol.utils.progress import track
from mmwsol.visualization import shown_map

SPLITS = ("train", "val", "test")
LABELS = ("gt", "pred")
MASKS = ("rle", "polygon")
FILES = dict(coco=".json", csv=".csv")  # endings of formats that are one file


@dataclass
class BoxExport(LabelList):
    """The boxes of a data set, and what was left out.

    Attributes:
        skipped: Number of images that were left out, by reason.
        unreadable: Message of every unreadable image.
    """

    skipped: Counter = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)

    def skip_unreadable(self, message: str) -> None:
        """Count an image that cannot be read."""
        self.skipped["unreadable"] += 1
        self.unreadable.append(message)
        print_log(f"Left out: {message}", "current", level=30)

    def save(self, path: str | Path, format: str | None = None) -> Path:
        """Write the boxes; see :class:`mmwsol.datasets.label_files.LabelList` for the files.

        Args:
            path: File of 'coco' (``.json``) and 'csv' (``.csv``); folder of 'yolo' and 'voc'.
            format: 'coco', 'yolo', 'voc' or 'csv'. Defaults to None: by the ending of ``path``.

        Returns:
            The file of class names of 'coco' and 'yolo', else ``path``.

        Raises:
            OSError: If a file cannot be written.
            ValueError: If no image is left, or ``path`` does not fit the format.
        """
        path = Path(path)
        format = format_of(path, format)
        if not self.images:
            first = f", first: {self.unreadable[0]}" if self.unreadable else ""
            raise ValueError(f"no image is left: {dict(self.skipped)}{first}.")
        if format in FILES:
            self.write(format, path.parent, path.stem)
            return path.with_name(f"{path.stem}.classes.txt") if format == "coco" else path
        self.write(format, path)
        return path / "classes.txt" if format == "yolo" else path


def format_of(path: str | Path, format: str | None = None) -> str:
    """Return the format of labels that go to ``path``, by its ending if none is named.

    Raises:
        ValueError: If they do not fit, or a folder for 'yolo' or 'voc' has files already.
    """
    path = Path(path)
    by_ending = {ending: name for name, ending in FILES.items()}
    if format is None:
        if path.suffix not in by_ending:
            raise ValueError(f"'{path}' must end in .json or .csv, or be a folder of format 'yolo' or 'voc'.")
        return by_ending[path.suffix]
    _check_choice("format", format, FORMATS)
    if format in FILES and path.suffix != FILES[format]:
        raise ValueError(f"'{path}' must end in {FILES[format]} for format {format!r}.")
    if format not in FILES and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"'{path}' is there and no empty folder: choose another for format {format!r}.")
    return format


def export_boxes(
    cfg: Config,
    checkpoint: str,
    split: str = "train",
    label: str = "gt",
    masks: str | None = None,
    class_agnostic: bool = False,
    score_thr: float = 0.0,
    device: str | None = None,
    format: str | None = None,
    max_boxes: int = 1,
    images: Any = None,
) -> BoxExport:
    """Localize the objects of every image of a split, or of images without labels.

    Images go through the test pipeline, those of the training split too. Left out, and counted, are images that cannot
    be read, whose score is below the threshold, or without a box of two pixels.

    Args:
        cfg: Config of the localizer, of one stage.
        checkpoint: Its weights.
        split: 'train', 'val' or 'test': whose data set to take. Defaults to 'train'.
        label: Class of the box: 'gt', the image label, as for training images; or 'pred', the best class.
            Defaults to 'gt'.
        masks: Adds ``segmentation`` as 'rle' (needs pycocotools) or 'polygon', the region of the
            thresholded map inside the box; ``area`` is then that of the mask. Defaults to None: boxes only.
        class_agnostic: Whether all boxes get the one class 'object'. Defaults to False.
        score_thr: Least probability of the class. Defaults to 0.
        device: Defaults to None: the accelerator if there is one.
        format: What the boxes will be saved as, 'coco', 'yolo', 'voc' or 'csv': images that have no place in it are
            named before inference. Defaults to None: they are not looked for.
        max_boxes: Most boxes an image, as ``mmwsol infer`` finds them (:func:`mmwsol.apis.objects.find_boxes`).
            Defaults to 1: that of the box rule.
        images: Files, folders and globs to take in place of a split; with label 'pred', since they have none.
            Defaults to None.

    Returns:
        BoxExport: The boxes; ``score`` is the confidence of ``mmwsol infer``, the probability of the class times the
            mean of the map inside the box.

    Raises:
        ValueError: If an option does not exist, the weights do not fit, or an image has no place in ``format``.
    """
    _check_choice("label", label, LABELS)
    if masks is not None:
        _check_choice("masks", masks, MASKS)
    options = BoxOptions(max_boxes)
    loaded = load_weights_file(checkpoint)
    if images is None:
        dataset = _labelled_split(cfg, split, label)
    elif label == "gt":
        raise ValueError("images without labels have boxes of the predicted class alone: give label='pred'.")
    else:
        dataset = UnlabelledImages(cfg, images, checkpoint_names(loaded))
    model = _load_model(cfg, loaded, checkpoint, dataset).to(device or get_device()).eval()
    info = dict(
        description=f"boxes of a localizer for {'images' if images else f'the {split} images'}, made by mmwsol",
        checkpoint=os.path.basename(checkpoint),
        label=label,
        score_thr=score_thr,
        max_boxes=max_boxes,
        box_rule=dict(model.map_to_box.rule, threshold=model.map_to_box.get_threshold()),
    )
    export = _new_export(dataset, class_agnostic, info, format, model.head.num_classes)
    loader = cfg[f"{split}_dataloader" if images is None else "test_dataloader"]
    with applied(options, model):
        for sample in _predict(model, dataset, loader, export):
            instances = _instances(model.map_to_box, sample, label, options, masks, score_thr)
            if isinstance(instances, str):
                export.skipped[instances] += 1
                continue
            if class_agnostic:
                instances = [dict(instance, label=0) for instance in instances]
            export.add(sample.img_path, (sample.ori_shape[1], sample.ori_shape[0]), instances)
    return export


def _instances(
    rule: Any, sample: LocDataSample, label: str, options: BoxOptions, masks: str | None, score_thr: float
) -> list[dict[str, Any]] | str:
    """Return the instances of an image for :meth:`BoxExport.add`, or why it is left out."""
    index, wanted = shown_map(sample, label)
    score = float(sample.pred_score[wanted])
    if score < score_thr:
        return "score below the threshold"
    boxes, _ = find_boxes(sample, rule, options, label)
    confidences = (map_scores(sample, index, boxes) * np.float32(score)).tolist()  # as mmwsol infer has it
    instances: list[dict[str, Any]] = [
        dict(label=wanted, box=box, score=round(confidence, 6))
        for box, confidence in zip(boxes.tolist(), confidences, strict=True)
    ]
    if masks is not None:
        found = list(zip(instances, object_masks(rule, sample, index, boxes), strict=True))
        instances = [
            dict(instance, segmentation=encode_mask(mask, masks), area=int(mask.sum()))
            for instance, mask in found
            if mask.any()
        ]
    return instances or "no foreground"


def export_ground_truth(
    cfg: Config,
    split: str = "val",
    class_agnostic: bool = False,
    format: str | None = None,
    masks: str | None = None,
) -> BoxExport:
    """Collect the listed boxes of a split, all of every image, as they are; images without boxes are left out.

    With ``masks`` the objects are those of the mask files, for mask AP, and images without mask files are left out: an
    image with one box gets the union of its masks; one without boxes an object a file, in the box around its pixels.
    Pixels of an ignore file become an object with ``iscrowd`` 1.

    The arguments are those of :func:`export_boxes`.

    Raises:
        ValueError: If an option does not exist, an image has no place in ``format``, or ``masks`` is given and an image
            has several boxes: which of its pixels belong to which is not listed.
    """
    if masks is not None:
        _check_choice("masks", masks, MASKS)
    dataset = build_split(cfg, split)
    info = dict(description=f"ground-truth boxes of the {split} images, written by mmwsol")
    export = _new_export(dataset, class_agnostic, info, format)
    for index in range(len(dataset)):
        item = dataset.get_data_info(index)
        size = item.get("ori_size") or read_size(item["img_path"], decode=False)
        if isinstance(size, str):
            export.skip_unreadable(size)
            continue
        objects = [dict(box=box) for box in item["gt_bboxes_ori"]]
        if masks is not None:
            objects = _masked_objects(item, size, masks)
        if not objects:
            export.skipped["no box" if masks is None else "no mask"] += 1
            continue
        label = 0 if class_agnostic else item["gt_label"]
        export.add(item["img_path"], tuple(size), [dict(instance, label=label) for instance in objects])
    return export


def _labelled_split(cfg: Config, split: str, label: str) -> Any:
    """Build a split; where images have no labels and need none, the error says what takes them."""
    try:
        return build_split(cfg, split, test_pipeline=True)
    except ValueError as error:
        if label == "pred" and "has no label" in str(error):
            raise ValueError(f"{error} Images without labels: --images FOLDER (in Python, images=).") from error
        raise


def _masked_objects(item: dict[str, Any], size: Sequence[int], kind: str) -> list[dict[str, Any]]:
    """Return the objects of an item's mask files; :func:`export_ground_truth` says which."""
    boxes, paths = item["gt_bboxes_ori"], item.get("mask_paths") or ()
    if not paths:
        return []
    if len(boxes) > 1:
        raise ValueError(
            f"image '{item['img_path']}' has {len(boxes)} boxes, and its masks do not say which pixels are of which: "
            "leave --masks out."
        )
    frame = Frame.identity((size[1], size[0]))
    found = [load_mask(path, frame) for path in paths]
    whole = np.logical_or.reduce(found)
    if len(boxes):
        found = [whole]
    objects = [_object(mask, kind) for mask in found if mask.any()]
    if len(boxes) and objects:
        objects[0]["box"] = boxes[0]
    if item.get("ignore_path"):
        ignored = load_mask(item["ignore_path"], frame) & ~whole
        objects += [dict(_object(ignored, kind), iscrowd=1)] if objects and ignored.any() else []
    return objects


def _object(mask: np.ndarray, kind: str) -> dict[str, Any]:
    """Return a mask (H, W) with the box around it, for :meth:`BoxExport.add`."""
    ys, xs = np.nonzero(mask)
    box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    return dict(box=box, segmentation=encode_mask(mask, kind), area=int(mask.sum()))


def build_split(cfg: Config, split: str, test_pipeline: bool = False) -> Any:
    """Build the data set of a split, with its own pipeline or that of the test split.

    Raises:
        ValueError: If the config has no such split.
    """
    _check_choice("split", split, SPLITS)
    for key in {f"{split}_dataloader", "test_dataloader"}:
        if cfg.get(key) is None:
            raise ValueError(f"the config has no {key}.")
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    whole = copy.deepcopy(cfg[f"{split}_dataloader"].dataset)
    inner = inner_config(whole)
    inner.test_mode = True  # an unreadable image is then never replaced by another
    if test_pipeline:
        inner.pipeline = copy.deepcopy(inner_config(cfg.test_dataloader.dataset).pipeline)
    dataset = DATASETS.build(whole)
    dataset.full_init()
    return dataset


def encode_mask(mask: np.ndarray, kind: str) -> dict | list:
    """Encode a mask (H, W) bool as COCO's compressed 'rle' or as 'polygon' lists of the outer contours."""
    if kind == "rle":
        try:
            from pycocotools import mask as mask_utils
        except ImportError as error:
            raise ImportError("masks='rle' needs pycocotools: install it, or take masks='polygon'.") from error
        rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
        return dict(size=list(rle["size"]), counts=rle["counts"].decode())
    # Contours join the centers of border pixels: twice the size shows the pixels' outer borders, to half a pixel.
    doubled = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [((contour.reshape(-1) + 0.5) / 2).tolist() for contour in contours if len(contour) > 2]


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}, got {value!r}.")


def _load_model(cfg: Config, loaded: Any, checkpoint: str, dataset: Any) -> Any:
    """Build the model; the class names of the data set must be those that the checkpoint was trained with."""
    names = dataset_names(dataset)
    check_same_names(names, checkpoint_names(loaded), type(dataset).__name__, f"the checkpoint '{checkpoint}'")
    model = MODELS.build(cfg.model)
    load_weights(model, loaded, checkpoint)
    return model


def _new_export(
    dataset: Any, class_agnostic: bool, info: dict, format: str | None, num_classes: int | None = None
) -> BoxExport:
    classes = dataset.metainfo.get("classes")
    if class_agnostic:
        classes = ("object",)
    elif classes is None and num_classes is not None:
        classes = tuple(str(label) for label in range(num_classes))
    elif classes is None:
        raise ValueError("the data set does not know its classes: set metainfo=dict(classes=[...]).")
    root = data_root_of(dataset)
    names = [relative_name(dataset.get_data_info(index)["img_path"], root) for index in range(len(dataset))]
    if format is not None:
        check_listable(names, format)
    return BoxExport(root, label_names(classes), info, others=names)


class _ReadableItems(Dataset):
    """Give the error message in place of an item that cannot be read."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict | str:
        try:
            return self.dataset[index]
        except (UnreadableImageError, FileNotFoundError) as error:
            return str(error)


def _predict(model: Any, dataset: Any, loader_cfg: dict, export: BoxExport) -> Iterator[LocDataSample]:
    """Run the model over a data set, in order, and show the progress."""
    loader = DataLoader(
        _ReadableItems(dataset),
        batch_size=loader_cfg.get("batch_size", 1),
        num_workers=loader_cfg.get("num_workers", 0),
        collate_fn=list,
    )
    for items in track(loader, "Inference", len(loader)):
        for item in items:
            if isinstance(item, str):
                export.skip_unreadable(item)
        readable = [item for item in items if not isinstance(item, str)]
        if readable:
            with torch.no_grad():
                yield from model.test_step(pseudo_collate(readable))
