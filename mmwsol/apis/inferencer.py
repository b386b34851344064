"""Inference on images: from a path, an array, a list, a folder or a glob to maps, boxes and pictures."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.registry import TRANSFORMS
from PIL import Image
from torch import nn

from mmwsol.apis.init_model import build_model, find_model_config, load_weights_file
from mmwsol.apis.inputs import failure, input_name, list_inputs, printable
from mmwsol.apis.label_output import LabelOutput
from mmwsol.apis.objects import BoxOptions, applied, find_classes, find_objects, to_record
from mmwsol.apis.output_folder import OutputFolder
from mmwsol.apis.stored_config import plain_errors
from mmwsol.compat import registered_types_only
from mmwsol.datasets.label_files import label_names
from mmwsol.datasets.transforms.carry import carry
from mmwsol.datasets.transforms.loading import UnreadableImageError, to_rgb
from mmwsol.datasets.wrappers import inner_config
from mmwsol.registry import INFERENCERS
from mmwsol.structures import Frame, LocDataSample
from mmwsol.utils.config import list_configs
from mmwsol.utils.model_index import find_weights
from mmwsol.utils.progress import track
from mmwsol.visualization import LocVisualizer, class_name

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
CHECKPOINT_ENDINGS = (".pth", ".pt", ".ckpt")


@INFERENCERS.register_module()
class WSOLInferencer(BaseInferencer):
    """Localize objects in images.

        inferencer = WSOLInferencer('ts-cam_deit-s_cub', weights='epoch_60.pth')
        result = inferencer('bird.jpg', return_vis=True)
        result['predictions'][0]['bboxes'][0]   # in pixels of the file

    Images go through the config's test pipeline. Files are decoded as in the data pipeline: by default the EXIF
    orientation is *not* applied, so that boxes count in the stored pixels.

    Args:
        model: Config file, name of a config, or config. A checkpoint file here counts
            as ``weights``. Defaults to None: the config that is stored in the checkpoint.
        weights: Checkpoint file or URL, or an ImageNet classifier, 'timm://NAME' or 'torchvision://NAME'. Defaults to
            None: that of the metafile.
        device: Defaults to None: the accelerator, if there is one.
        show_progress: Whether to show a progress bar for several batches. Defaults to True.
        stage: Stage of a config that has several. Defaults to None: the last one.
        max_pixels: Pixels of the largest image that is decoded. Defaults to None: what the pipeline allows, see
            :class:`mmwsol.LoadImage`.
        exif: Whether to turn images by their EXIF tag, as viewers and labelling tools show them: boxes, maps and
            pictures are then in the pixels that they show. Defaults to False: as the pipeline says.

    Raises:
        FileNotFoundError: If a config or checkpoint does not exist.
        ValueError: If there are no weights, or they do not fit.
    """

    visualize_kwargs = {"return_vis", "show", "wait_time"}
    postprocess_kwargs = {"return_maps", "out_dir", "max_boxes", "threshold", "classes", "min_area", "formats"}

    def __init__(
        self,
        model: str | Path | Config | None = None,
        weights: str | Path | None = None,
        device: str | torch.device | None = None,
        show_progress: bool = True,
        stage: str | None = None,
        max_pixels: int | None = None,
        exif: bool = False,
    ) -> None:
        if weights is None and model is not None and str(model).endswith(CHECKPOINT_ENDINGS):
            model, weights = None, str(model)
        if weights is None and isinstance(model, (str, Path)):
            name = Path(model).stem
            if not os.path.isfile(model) and name not in list_configs():
                find_model_config(model, None, "")  # raises, with the nearest names
            weights = find_weights(name)
        with contextlib.ExitStack() as stack:
            if model is None:
                stack.enter_context(registered_types_only())
                stack.enter_context(plain_errors(str(weights)))
            self._loaded = None if weights is None else load_weights_file(weights)
            cfg = find_model_config(model, self._loaded, str(weights), stage)
            if weights is None:
                weights = cfg.get("load_from")
                if weights is None:
                    raise ValueError("there are no weights: pass weights=, or set load_from in the config.")
                self._loaded = load_weights_file(weights)
            self._max_pixels, self._exif = max_pixels, exif
            super().__init__(cfg, str(weights), device, cfg.get("default_scope", "mmpretrain"), show_progress)
        del self._loaded
        path = os.path.abspath(str(weights))
        stamp = os.stat(path).st_mtime_ns if os.path.isfile(path) else None
        settings = [cfg.get(name) for name in ("model", "test_dataloader", "val_dataloader", "visualizer")]
        digest = hashlib.sha256(repr(settings).encode()).hexdigest()
        self._key = dict(weights=path, stamp=stamp, config=digest, max_pixels=max_pixels, exif=exif)
        self._info = dict(description="boxes of a localizer, made by mmwsol", weights=os.path.basename(path))
        #: Images of the last call that could not be read: ``dict(input=..., error=...)``.
        self.failed: list[dict[str, str]] = []
        self._images: dict[int, np.ndarray] = {}

    def __call__(  # type: ignore[override]
        self,
        inputs: Any,
        return_datasamples: bool = False,
        batch_size: int = 1,
        return_vis: bool = False,
        show: bool = False,
        wait_time: float = 0,
        out_dir: str | Path | None = None,
        return_maps: bool = True,
        max_boxes: int = 1,
        threshold: float | None = None,
        classes: Sequence[str] | None = None,
        min_area: float = 0.0,
        formats: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Predict.

        Args:
            inputs: A path, an array, a PIL image, or a list of them; a folder (searched with its sub-folders), or a
                glob such as 'photos/*.jpg'. Arrays are (H, W, 3) uint8 BGR, as OpenCV reads them, or (H, W) gray. A
                dict with ``img_path`` and an item's further keys (``gt_label``, ``gt_bboxes_ori``) shows ground truth.
            return_datasamples: Whether ``predictions`` are :class:`LocDataSample`, with the raw maps of the
                best classes. Defaults to False: dicts, see below.
            batch_size: Images a batch. Defaults to 1.
            return_vis: Whether to return pictures, (H, W, 3) uint8 RGB. Defaults to False.
            show: Whether to open a window for each image. Defaults to False.
            wait_time: Seconds that a window stays; 0: until a key is pressed. Defaults to 0.
            out_dir: Folder for pictures, ``predictions.json`` and ``review.csv``, all images with those first that a
                person should look at. Within a folder of ``inputs`` it is not searched for images. Defaults to None.
            return_maps: Whether predictions have their map; a large folder may need the memory. Defaults to
                True.
            max_boxes: Most ``objects`` an image, see :func:`mmwsol.apis.objects.find_objects`. Defaults to 1: the box
                of the model's own rule.
            threshold: Threshold of the box rule in place of its own, 0 <= threshold < 1: a share of the map's maximum
                for :class:`mmwsol.ContourBox`, a value of the normalized map for :class:`mmwsol.ComponentBox`.
                Defaults to None.
            classes: Names of the classes that may be predicted. Probabilities stay those among all classes.
                Defaults to None: all.
            min_area: Least area of an object's box as a share of that of the image, 0 <= min_area < 1.
                Defaults to 0.0.
            formats: Label files to write into ``out_dir``, of 'coco', 'yolo', 'voc' and 'csv'; see
                :class:`mmwsol.datasets.label_files.LabelList`. Defaults to ().

        Returns:
            ``predictions``, ``visualization`` (pictures or None) and ``failed``, the inputs that could not be
            read and why; they are missing from the other two. ``label_files`` are names within ``out_dir``, ``root``
            the folder that paths in them are relative to. A prediction has

            - ``img_path`` (None for arrays), ``ori_shape`` [H, W],
            - ``pred_label``, ``pred_class``, ``pred_score``: the five best classes as ``labels``, ``classes`` and
              ``scores``,
            - ``bboxes`` [x0, y0, x1, y1] in pixels of the image, best class first, with ``bbox_labels`` (-1: the
              same for every class) and ``bbox_scores``,
            - ``objects`` of the first class, at most ``max_boxes``: ``bbox``, ``class``, ``map_score`` (mean of the map
              inside the box) and ``confidence``, that times the probability of the class; none if no region of the map
              is above the threshold,
            - ``confidence``, the largest of the objects, 0 without one; ``doubts``, why a person should look,
            - ``map`` (H, W) float32 in [0, 1]: the localization map behind the first box, in pixels of the image,
            - ``picture``: its file in ``out_dir``, if one is written.

        Raises:
            ValueError: If there is no image, none can be read, a file would be written over one that inference has not
                written, a class is unknown, or an option is out of range or does not fit the model.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}.")
        items = list_inputs(inputs, out_dir)
        known = label_names([self.class_name(label) for label in range(self.model.head.num_classes)])
        labels = None if classes is None else find_classes(self.classes, known, classes)
        options = BoxOptions(max_boxes, threshold, labels, min_area)
        if formats and out_dir is None:
            raise ValueError("label files need a folder: pass out_dir.")
        files = LabelOutput(inputs, items, formats, known, labels, dict(self._info, **vars(options)))
        draw = return_vis or out_dir is not None
        self.failed = []
        predictions: list[Any] = []
        pictures: list[np.ndarray] = []
        with applied(options, self.model):
            output = None
            if out_dir is not None:
                key = dict(self._key, **vars(options), formats=files.formats)
                output = OutputFolder(out_dir, files.names, key, files.planned())
            known_bad = files.problems()
            self.failed += [dict(input=name, error=error) for name, error in known_bad.items()]
            done: dict[str, dict[str, Any]] = {}
            if output is not None and not (return_datasamples or return_vis or show or return_maps):
                done = output.done
                predictions += done.values()
                if done:
                    print(f"{len(done)} images are done already, by a run that was broken off.", flush=True)
            ready = {*done, *known_bad}
            pairs = [(index, item) for index, item in enumerate(items) if files.names[index] not in ready]
            batches: Any = self.preprocess(pairs, batch_size, keep_images=draw or show)
            if self.show_progress and len(pairs) > batch_size:
                batches = track(batches, "Inference", -(-len(pairs) // batch_size))
            for sample in (sample for batch in batches for sample in self._forward(batch, items)):
                index = sample.input_index
                try:
                    find_objects(sample, self.model.map_to_box, options)
                    drawn = self.visualize(items, [sample], draw, show, wait_time)
                    record = self.as_record(sample, return_maps and not return_datasamples)
                    if output is not None:
                        output.add(index, record, drawn[0])
                except (OSError, ValueError, cv2.error) as error:
                    if show or (isinstance(error, OSError) and error.errno in NO_SPACE):  # what is done stays
                        raise
                    self.failed.append(dict(input=files.names[index], error=failure(items[index], index, error)))
                    continue
                predictions.append(sample if return_datasamples else record)
                pictures += drawn if return_vis else []
        self._report(len(items))
        if output is not None:
            output.finish(self.failed, files.texts(output.records, self.failed), root=files.root)
        found = dict(predictions=predictions, visualization=pictures if return_vis else None, failed=self.failed)
        return dict(found, root=files.root, label_files=files.files())

    def preprocess(self, inputs: list, batch_size: int = 1, keep_images: bool = False, **_: Any) -> Iterator[dict]:
        """Read images, pairs of an index and an input, and yield batches; those that fail go to :attr:`failed`."""
        for start in range(0, len(inputs), batch_size):
            chunk: list[dict] = []
            self._images = {}
            for index, item in inputs[start : start + batch_size]:
                try:
                    results = self._read(item, index)
                except (UnreadableImageError, OSError, KeyError, ImportError) as error:  # or of a backend for URLs
                    self.failed.append(dict(input=input_name(item, index), error=str(error)))
                    continue
                if keep_images:
                    self._images[index] = results["img"][:, :, ::-1].copy()
                try:
                    data = self.pipeline(results)
                except Exception as error:  # an image that does not fit: transforms raise anything
                    self.failed.append(dict(input=input_name(item, index), error=failure(item, index, error)))
                    continue
                data["data_samples"].set_metainfo(dict(input_index=index))
                chunk.append(data)
            alike = len({data["inputs"].shape for data in chunk}) <= 1
            for part in [chunk] if alike else [[data] for data in chunk]:  # images of different sizes: one by one
                yield self.collate_fn(part) if part else {}

    def _forward(self, batch: dict, items: list) -> list[LocDataSample]:
        """Predict a batch; if that fails, its images one by one, and those that fail go to :attr:`failed`."""
        if not batch:
            return []
        try:
            return self.forward(batch)
        except Exception as error:  # an image that the network does not take, or a full memory
            parts = [{key: [value[i]] for key, value in batch.items()} for i in range(len(batch["inputs"]))]
            if len(parts) > 1:
                return [sample for part in parts for sample in self._forward(part, items)]
            index = batch["data_samples"][0].input_index
            self.failed.append(dict(input=input_name(items[index], index), error=failure(items[index], index, error)))
            return []

    def visualize(  # type: ignore[override]
        self,
        inputs: list,
        preds: Sequence[LocDataSample],
        return_vis: bool = False,
        show: bool = False,
        wait_time: float = 0,
    ) -> list[np.ndarray]:
        """Draw predictions, (H, W, 3) uint8 RGB."""
        if not (return_vis or show):
            return []
        pictures = []
        for sample in preds:
            picture = self.visualizer.draw(self._images[sample.input_index], sample, self.classes)
            if show:
                self.visualizer.show(picture, input_name(inputs[sample.input_index], sample.input_index), wait_time)
            pictures.append(picture)
        return pictures

    def postprocess(self, preds: Sequence[LocDataSample], *_: Any, **__: Any) -> dict:
        """Turn predictions into dicts."""
        for sample in preds:
            find_objects(sample, self.model.map_to_box, BoxOptions())
        return dict(predictions=[self.as_record(sample) for sample in preds])

    def as_record(self, sample: LocDataSample, with_map: bool = True) -> dict[str, Any]:
        """Turn a prediction with ``pred_objects`` into plain values; see :meth:`__call__`."""
        return to_record(sample, self.model.head, self.class_name, with_map)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names, None if they are not known."""
        return self.model.dataset_meta.get("classes")

    def class_name(self, label: int) -> str:
        """Return the name of a class, or its number."""
        return class_name(self.classes or (), label)

    # ---- building ------------------------------------------------------------------------------

    def _init_model(self, cfg: Any, weights: str | None, device: Any = None) -> nn.Module:
        return build_model(cfg, self._loaded, str(weights), device)

    def _init_pipeline(self, cfg: Any) -> Callable:
        """Build the test pipeline: its loader, which arrays go around, and the rest."""
        loader = cfg.get("test_dataloader") or cfg.get("val_dataloader") or {}
        pipeline = list(inner_config(loader.get("dataset") or {}).get("pipeline") or ())
        if not pipeline or "Load" not in str(pipeline[0].get("type")):
            raise ValueError(
                "inference needs test_dataloader.dataset.pipeline, and its first transform to load images."
            )
        loader = dict(pipeline[0])
        if self._max_pixels is not None:
            loader["max_pixels"] = self._max_pixels
        if self._exif:
            loader["color_type"] = "color"
        self._load_image = TRANSFORMS.build(loader)
        return Compose([step for step in pipeline[1:] if not str(step.get("type")).endswith("LoadMasks")])

    def _init_collate(self, cfg: Any) -> Callable:
        return pseudo_collate

    def _init_visualizer(self, cfg: Any) -> LocVisualizer:
        options = dict(cfg.get("visualizer") or {})
        kept = ("panels", "target", "map_range") if options.get("type") == "mmwsol.LocVisualizer" else ()
        return LocVisualizer(**{key: options[key] for key in kept if key in options})

    # ---- reading -------------------------------------------------------------------------------

    def _read(self, item: Any, index: int) -> dict[str, Any]:
        """Start the pipeline's results of an input."""
        if isinstance(item, (str, Path)):
            item = dict(img_path=str(item))
        if isinstance(item, dict):
            known = {key: value for key, value in item.items() if key != "sample_idx"}
            if "img_path" not in known:
                raise ValueError(f"input {index} has no 'img_path', only {sorted(known)}.")
            path = str(known["img_path"])
            if "://" not in path and not os.path.isfile(path):
                raise UnreadableImageError(f"image '{path}' does not exist")
            known.setdefault("img_id", os.path.basename(path))
            results = self._load_image(known)
            if results is None:  # a loader that ignores such files
                raise UnreadableImageError(f"image '{path}' cannot be decoded")
            return results
        if isinstance(item, Image.Image):
            item = np.asarray(to_rgb(item, input_name(item, index)))[:, :, ::-1]
        if not isinstance(item, np.ndarray):
            raise TypeError(f"input {index} must be a path, an array or a PIL image, got {type(item).__name__}.")
        fits = item.ndim == 2 or (item.ndim == 3 and item.shape[2] == 3)
        if item.dtype != np.uint8 or not fits or item.size == 0:
            raise ValueError(f"input {index} must be (H, W, 3) or (H, W) uint8, got {item.shape} {item.dtype}.")
        image = np.ascontiguousarray(item if item.ndim == 3 else np.repeat(item[:, :, None], 3, axis=2))
        return carry(dict(img=image, ori_shape=image.shape[:2], img_id=str(index)), Frame.identity(image.shape))

    def _report(self, total: int) -> None:
        """Name the inputs that could not be read, and count them."""
        if not self.failed:
            return
        if len(self.failed) == total:
            reasons = [entry["error"].replace(entry["input"], "") for entry in self.failed]
            [(reason, number)] = Counter(reasons).most_common(1)
            example = self.failed[reasons.index(reason)]["error"]
            raise ValueError(f"none of {total} image(s) gave a prediction. Most often ({number} times): {example}")
        for entry in self.failed[:10]:
            print(printable(f"skipped: {entry['error']}"), flush=True)
        print(f"{len(self.failed)} of {total} images failed and were skipped.", flush=True)
