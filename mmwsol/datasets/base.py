"""The base of every localization data set."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.fileio import join_path
from mmengine.logging import print_log

from mmwsol.datasets.box_checks import as_boxes, box_problem
from mmwsol.datasets.coco_reader import read_json
from mmwsol.datasets.image_sizes import ON_ITS_SIDE, read_oriented, warn_of_turned
from mmwsol.datasets.labels import (
    MAX_LABEL,
    NO_LABEL,
    full_names,
    name_key,
    nfc,
    number_of,
    several,
    sort_names,
    written_names,
)
from mmwsol.datasets.records import MULTI_LABEL, Problems, Record, plain
from mmwsol.datasets.transforms.loading import COLOR_TYPES, EXIF_FIX, MAX_PIXELS, LoadImage, UnreadableImageError
from mmwsol.datasets.walk import require_dir
from mmwsol.registry import DATASETS


@DATASETS.register_module()
class BaseLocDataset(BaseDataset):
    """Images with a class label and, where known, boxes and masks.

    A data set of your own extends this class and returns from :meth:`load_data_list` one dict an image with
    ``img_path``, ``gt_label`` and optionally ``gt_bboxes_ori`` ((M, 4) x0, y0, x1, y1 in original pixels), ``img_id``,
    ``ori_size`` (W, H), ``mask_paths``, ``ignore_path``, and ``source``, the place that error messages name. Used
    directly, the class reads an OpenMMLab 2.0 annotation file with these keys. Items come out with ``img_path``,
    ``img_id``, ``gt_label``, ``gt_bboxes_ori`` float32 (M, 4), M may be 0, and ``sample_idx``.

    Args:
        data_root: Root of all relative paths. Defaults to ''.
        ann_file: List file or folder of lists, relative to ``data_root``. Defaults to ''.
        split: Split to read, where the data set has splits. Defaults to ''.
        data_prefix: Image folder ``img_path``, and mask folder ``mask_path``, relative to
            ``data_root``. Defaults to None: those of the data set.
        metainfo: ``classes``, names in the order of the labels, and whatever else is wanted.
            Defaults to None: that of the data set.
        pipeline: Transforms. Defaults to ().
        test_mode: Whether an unreadable image always raises. Defaults to False.
        on_error: What happens to bad records (malformed line, label out of range, box outside its image, image
            listed twice, unreadable image): 'raise' one error that names them, or 'skip' them with one line in the
            log; while training, 'skip' also replaces an unreadable image by another sample. Defaults to 'raise'.
        check_images: Whether to decode every image at the start and check its boxes against its size.
            Defaults to False: images are not touched before they are needed.
        k_shot: Keep this many random images of every class, for few-shot training. The choice depends
            on ``k_seed`` and the image ids alone, not on the order of the list or the process, and the images of a
            smaller number are among those of a larger one. Defaults to None: all images.
        k_seed: Number of the draw of ``k_shot``. Defaults to 0.
        **kwargs: Further arguments of ``mmengine.dataset.BaseDataset`` (``indices``, ``lazy_init``, ...).

    Raises:
        FileNotFoundError: If a list or a folder is missing.
        ValueError: If ``on_error='raise'`` and there are bad records, no image is left, or a class has fewer than
            ``k_shot`` images.
    """

    data_prefix: dict
    #: Whether listed boxes must lie inside the image; the CUB release has some that do not.
    strict_boxes = True
    #: Names of the classes or None, for tools of mmpretrain, which ask for them so.
    CLASSES = property(lambda self: self._metainfo.get("classes"))

    def __init__(
        self,
        data_root: str = "",
        ann_file: str = "",
        split: str = "",
        data_prefix: str | Mapping[str, str] | None = None,
        metainfo: Mapping[str, Any] | None = None,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        on_error: str = "raise",
        check_images: bool = False,
        k_shot: int | None = None,
        k_seed: int = 0,
        **kwargs,
    ) -> None:
        if k_shot is not None and k_shot < 1:
            raise ValueError(f"k_shot must be at least 1, got {k_shot}")
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
        self.split = split
        self.on_error = on_error
        self.check_images = check_images
        self.k_shot = k_shot
        self.k_seed = k_seed
        self.problems = Problems()
        self._turned: set[str] = set()  # ids of images with boxes whose EXIF tag turns them, and that load as stored
        self.num_replaced = 0  # unreadable training images replaced so far, in this process
        super().__init__(
            ann_file=str(ann_file),
            metainfo=metainfo,
            data_root=str(data_root),
            data_prefix=fill_prefix(data_prefix, img_path=""),
            pipeline=list(pipeline),
            test_mode=test_mode,
            **kwargs,
        )

    @classmethod
    def _load_metainfo(cls, metainfo: Mapping[str, Any] | None = None) -> dict:
        info = super()._load_metainfo(metainfo)
        for key, value in (metainfo or {}).items():
            if isinstance(value, str) and isinstance(info[key], list):  # mmengine has read a file
                info[key] = written_names(info[key])
        classes = info.get("classes")
        if isinstance(classes, str):
            raise FileNotFoundError(
                f"metainfo['classes'] is a sequence of names or a file of them; there is no file '{classes}'"
            )
        if classes is not None:
            info["classes"] = full_names(classes, "metainfo['classes']")
        return info

    # ---- reading -------------------------------------------------------------------------------

    def load_data_list(self) -> list[dict]:
        """Read an annotation file of OpenMMLab 2.0, JSON.

        Raises:
            FileNotFoundError: If it does not exist.
            ValueError: If it is no such file. mmengine would read a pickle, too, and run the code in it.
        """
        if not str(self.ann_file).lower().endswith(".json"):
            raise ValueError(f"{type(self).__name__}: ann_file '{self.ann_file}' is no .json file.")
        content = read_json(self.ann_file)
        items = content.get("data_list") if isinstance(content, dict) else None
        fits = isinstance(items, list) and all(isinstance(item, dict) for item in items)
        if not fits or not isinstance(content.get("metainfo"), dict):
            raise ValueError(
                f"'{self.ann_file}' is no annotation file of OpenMMLab 2.0, a dict of 'metainfo' (dict) and "
                "'data_list' (list of dicts); COCO json is read by mmwsol.LocListDataset"
            )
        return super().load_data_list()

    def full_init(self) -> None:
        """Read the lists, check them, and report bad records as ``on_error`` says."""
        if not self._fully_initialized:
            self.problems = Problems()
            self._turned = set()
            super().full_init()

    def filter_data(self) -> list[dict]:
        """Bring the items of :meth:`load_data_list` to their final form, without the bad ones."""
        items: list[dict] = []
        first_seen: dict[str, str] = {}
        root = self.data_prefix.get("img_path") or os.curdir
        for number, item in enumerate(self.data_list):
            if not isinstance(item, dict) or not isinstance(item.get("img_path"), str):
                self.problems.add(f"{self.ann_file}: item {number}", "an item is a dict with the text 'img_path'")
                continue
            img_id = item.setdefault("img_id", self._relative(item["img_path"]))
            source = item.pop("source", f"image '{img_id}'")
            box_sources = item.pop("box_sources", ())
            if img_id in self.problems.bad_ids:
                continue
            place = os.path.relpath(img_id, root) if os.path.isabs(img_id) else img_id
            if place in first_seen:
                message = f"image '{img_id}' is listed twice (first at {first_seen[place]}): "
                self.problems.add(source, message + "remove one line")
                continue
            first_seen[place] = source
            boxes = as_boxes(item.get("gt_bboxes_ori"))
            if boxes is None:
                message = f"gt_bboxes_ori of image '{img_id}' must be numbers (M, 4), x0, y0, x1, y1"
                self.problems.add(source, message, img_id)
                continue
            item["gt_bboxes_ori"] = boxes
            if len(boxes) and not self.strict_boxes:
                item["strict_boxes"] = False
            self._check_label(item, source)
            self._check_boxes(img_id, boxes.tolist(), item.get("ori_size"), box_sources, source)
            items.append(item)
        items = [item for item in items if item["img_id"] not in self.problems.bad_ids]
        if self.check_images:
            items = self._check_images(items)
        warn_of_turned(type(self).__name__, len(self._turned))
        self._settle(items)
        return items if self.k_shot is None else self._few(items, self.k_shot)

    def make_item(self, record: Record, label: int | str | None, path: str | None = None) -> dict:
        """Return the item of a record with boxes x0, y0, x1, y1; ``path`` is relative to the image folder."""
        item: dict[str, Any] = dict(
            img_path=join_path(self.data_prefix["img_path"], path or record.img_id),
            img_id=record.img_id,
            gt_label=label,
            gt_bboxes_ori=record.boxes,
            source=record.source,
            box_sources=record.box_sources,
        )
        if record.size is not None:
            item["ori_size"] = record.size
        if record.masks:
            masks = self.data_prefix.get("mask_path", self.data_prefix["img_path"])
            item["mask_paths"] = [join_path(masks, name) for name in record.masks]
            if record.ignore:
                item["ignore_path"] = join_path(masks, record.ignore)
        return item

    def folder_labels(self, names: set[str], key: str = "classes") -> dict[str, int]:
        """Return the class index of every class folder: its place in ``metainfo[key]``, or in sorted order.

        Raises:
            ValueError: If a folder is no class of ``metainfo[key]``, or sorted order cannot be the order of
                ``metainfo['classes']`` since the numbers differ.
        """
        known = self._metainfo.get(key)
        if known is not None:
            known = full_names(known, f"metainfo['{key}']")
            of = {nfc(name): name for name in reversed(known)}  # a folder of macOS
            unknown = sort_names(name for name in names if nfc(name) not in of)
            if unknown:
                raise ValueError(
                    f"'{self.data_prefix['img_path']}' has {len(unknown)} folder(s) that are not in "
                    f"metainfo['{key}'], e.g. '{unknown[0]}': correct metainfo or remove them"
                )
            labels = {name: index for index, name in enumerate(known)}
            return {**labels, **{name: labels[of[nfc(name)]] for name in names - set(known)}}
        classes = self._metainfo.get("classes")
        if classes is not None and len(classes) != len(names):
            raise ValueError(
                f"'{self.data_prefix['img_path']}' has {len(names)} class folders and "
                f"metainfo['classes'] {len(classes)} names: pass metainfo=dict(classes=[...], {key}=[...]) "
                "with the folders in the order of their labels"
            )
        return {name: index for index, name in enumerate(sort_names(names))}

    @property
    def color_type(self) -> str:
        """How the pipeline loads photographs with an EXIF tag, see :class:`LoadImage`."""
        return next((step.color_type for step in self._loaders()), COLOR_TYPES[1])

    @property
    def max_pixels(self) -> int | None:
        """Largest image that the pipeline loads, see :class:`LoadImage`."""
        return next((step.max_pixels for step in self._loaders()), MAX_PIXELS)

    def _loaders(self) -> list[LoadImage]:
        steps = getattr(getattr(self, "pipeline", None), "transforms", ())
        return [step for step in steps if isinstance(step, LoadImage)]

    @property
    def num_classes(self) -> int | None:
        """Number of classes, None if the data set does not know them."""
        return None if self.CLASSES is None else len(self.CLASSES)

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class of an image as a list, for ``ClassBalancedDataset``."""
        return [int(self.get_data_info(idx)["gt_label"])]

    def _relative(self, path: str) -> str:
        prefix = os.path.join(self.data_prefix.get("img_path", ""), "")
        return path[len(prefix) :] if path.startswith(prefix) else path

    def _check_label(self, item: dict, source: str) -> None:
        label, count = item.get("gt_label"), self.num_classes
        if label is None or (isinstance(label, str) and label in NO_LABEL):
            message = f"image '{item['img_id']}' has no label"
        elif isinstance(label, (bool, np.bool_)) or not isinstance(label, (int, np.integer)):
            message = f"unknown class {label!r} of image '{item['img_id']}': "
            if isinstance(label, str) and several(label):
                message += f"{MULTI_LABEL}; "
            elif isinstance(label, str) and number_of(label) is not None:
                message += "a number that is none of the names; "
            if isinstance(label, str) and self.problems.count < self.problems.limit:
                alike = [name for name in self._metainfo.get("classes") or () if name_key(name) == name_key(label)]
                message += f"it is {ascii(label)}, and the class {ascii(alike[0])}; " if alike else ""
            message += "add it to metainfo['classes'] or to label_map"
        elif label < 0 or label >= (MAX_LABEL if count is None else count):
            high = "" if count is None else f"..{count - 1}"
            message = f"label {label} of image '{item['img_id']}' is not in 0{high}: "
            message += "labels count from 0; correct the list or metainfo['classes']"
        else:
            item["gt_label"] = int(label)
            return
        self.problems.add(source, message, item["img_id"])

    def _check_boxes(
        self,
        img_id: str,
        boxes: list[list[float]],
        size: Sequence[float] | None,
        box_sources: Sequence[str],
        source: str,
    ) -> None:
        for number, box in enumerate(boxes):
            message = box_problem(box, img_id, size, self.strict_boxes)
            if message is not None:
                self.problems.add(box_sources[number] if number < len(box_sources) else source, message, img_id)

    def _check_images(self, items: list[dict]) -> list[dict]:
        require_dir(self.data_prefix.get("img_path", "") or ".", "check data_root and data_prefix")
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            read = partial(read_oriented, color_type=self.color_type, max_pixels=self.max_pixels)
            found = list(pool.map(read, [item["img_path"] for item in items]))
        for item, image in zip(items, found, strict=True):
            img_id, listed = item["img_id"], item.get("ori_size")
            if isinstance(image, str):
                self.problems.add(f"image '{img_id}'", image, img_id)
                continue
            size, turn = image
            if listed is not None and tuple(listed) != size:
                message = f"the file is {size[0]}x{size[1]}, the list says {listed[0]}x{listed[1]} (W x H)"
                if tuple(listed) == size[::-1]:
                    message += f"; if the photograph is turned by its EXIF tag: {EXIF_FIX}"
                self.problems.add(f"image '{img_id}'", message, img_id)
            else:
                boxes = item["gt_bboxes_ori"].tolist()
                self._check_boxes(img_id, boxes, size, (), f"image '{img_id}'")
                if listed is None or turn < ON_ITS_SIDE:  # a listed size, the stored one, says what the boxes are of
                    self._note_turned(img_id, boxes, turn)
        return [item for item in items if item["img_id"] not in self.problems.bad_ids]

    def _note_turned(self, img_id: str, boxes: Sequence, turn: int) -> None:
        """Note an image for the warning that its boxes may be of the upright photograph."""
        if len(boxes) and turn > 1 and self.color_type != "color":
            self._turned.add(img_id)

    def _settle(self, items: list[dict]) -> None:
        name = f"{type(self).__name__} {self.split}".strip()
        if self.problems.count and self.on_error == "raise":
            raise ValueError(
                f"{name}: {self.problems.summary()}\nCorrect the data, or pass on_error='skip' to leave these out."
            )
        if self.problems.count:
            print_log(plain(f"{name}: skipped {self.problems.summary(' | ')}"), "current", logging.WARNING)
        if not items:
            raise ValueError(
                f"{name}: no image in data_root='{self.data_root}', ann_file='{self.ann_file}', "
                f"img_path='{self.data_prefix.get('img_path', '')}': check these and split"
            )
        if self.test_mode and not any(len(i["gt_bboxes_ori"]) or "mask_paths" in i for i in items):
            message = f"{name} has neither boxes nor masks: only classification can be scored"
            print_log(message, "current", logging.WARNING)

    def _few(self, items: list[dict], number: int) -> list[dict]:
        """Return ``number`` random items of every class, in the order of the data set."""
        by_class: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for index, item in enumerate(items):
            by_class[item["gt_label"]].append((str(item["img_id"]), index))
        classes = self._metainfo.get("classes")
        chosen: list[int] = []
        for label in range(len(classes)) if classes is not None else sorted(by_class):
            images = sorted(by_class[label])
            if len(images) < number:
                name = classes[label] if classes is not None else label
                raise ValueError(
                    f"k_shot needs {number} images of every class, but '{name}' has {len(images)}: "
                    "take a smaller k_shot"
                )
            order = np.random.default_rng((self.k_seed, label)).permutation(len(images))
            chosen += [images[i][1] for i in order[:number]]
        return [items[index] for index in sorted(chosen)]

    # ---- loading -------------------------------------------------------------------------------

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on item ``idx``.

        An unreadable image raises an error that names it. With ``on_error='skip'`` and not in test mode it is counted
        in ``num_replaced``, logged, and None is returned, so that mmengine takes another sample.
        """
        try:
            return super().prepare_data(idx)
        except (UnreadableImageError, FileNotFoundError) as error:
            folder = self.data_prefix.get("img_path", "")
            if folder and "://" not in folder:
                require_dir(folder, f"check data_root ('{self.data_root}') and data_prefix")
            if self.test_mode or self.on_error == "raise":
                raise
            self.num_replaced += 1
            if self.num_replaced <= self.problems.limit:
                count = f"{self.num_replaced} in this process so far"
                print_log(plain(f"took another sample ({count}): {error}"), "current", logging.WARNING)
            return None


def fill_prefix(data_prefix: str | Mapping[str, str] | None, **defaults: str) -> dict[str, str]:
    """Return the folders of ``data_prefix``, a string being ``img_path``, with ``defaults`` for those that it lacks."""
    given = {"img_path": data_prefix} if isinstance(data_prefix, str) else (data_prefix or {})
    return {**defaults, **given}
