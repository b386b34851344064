"""Fine-grained data sets with boxes: Stanford Dogs, Stanford Cars and FGVC-Aircraft.

Each is read from its release (``format='official'``) or from the lists of SAT's repository (``format='sat'``). Boxes
are kept as listed, like SAT does: those of the cars count pixels from 1, and some reach over the border.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from mmpretrain.datasets.categories import FGVCAIRCRAFT_CATEGORIES, STANFORDCARS_CATEGORIES

from mmwsol.datasets.base import BaseLocDataset
from mmwsol.datasets.labels import parse_label
from mmwsol.datasets.readers import read_box_lines, read_lines, read_table, read_voc, require_file
from mmwsol.datasets.records import Record, parse_size
from mmwsol.datasets.walk import require_dir
from mmwsol.registry import DATASETS


class FineGrainedDataset(BaseLocDataset, ABC):
    """Base of the data sets that have a release and lists of SAT.

    Args:
        data_root: Folder of the release, or of SAT's lists and images.
        split: One of ``splits``. Defaults to 'train'.
        format: 'official' or 'sat'. Defaults to 'official'.
        data_prefix: Image folder. Defaults to None: that of the layout.
        metainfo: ``classes`` defaults to the names of the data set.
        **kwargs: Arguments of :class:`BaseLocDataset`.

    Raises:
        FileNotFoundError: If a list is missing.
        ValueError: If there is no such split or format.
    """

    splits: tuple[str, ...] = ("train", "test")
    #: Image folder of each format, ``{}`` is the split.
    img_prefix: Mapping[str, str] = {"official": "", "sat": "images"}
    strict_boxes = False

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        format: str = "official",
        data_prefix: str | Mapping[str, str] | None = None,
        metainfo: Mapping[str, Any] | None = None,
        **kwargs,
    ) -> None:
        if split not in self.splits:
            raise ValueError(f"{type(self).__name__} has the splits {self.splits}, got {split!r}")
        if format not in ("official", "sat"):
            raise ValueError(f"format must be 'official' or 'sat', got {format!r}")
        self.format = format
        if data_prefix is None:
            data_prefix = self.img_prefix[format].format(split)
        super().__init__(data_root, split=split, data_prefix=data_prefix, metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the release or SAT's lists."""
        records = self.read_official() if self.format == "official" else self.read_sat()
        return [self.make_item(record, record.label) for record in records]

    @abstractmethod
    def read_official(self) -> list[Record]:
        """Read the release."""

    @abstractmethod
    def read_sat(self) -> list[Record]:
        """Read SAT's lists."""

    def path(self, *names: str) -> str:
        """Return a path under ``data_root``."""
        return os.path.join(self.data_root, *names)

    def _read_sat_boxes(self, flags: Mapping[str, tuple[str, ...]]) -> list[Record]:
        """Read ``images_box.txt``, lines ``name;class;flag;x0 y0 x1 y1 H W``; ``flags`` lists the splits of a flag.

        The label is the line of the class in ``classes.txt``; its spelling is SAT's ('F A-18' for 'F/A-18').
        """
        fix = "SAT's repository has it in its folder Data"
        names = [text for _, text in read_lines(self.path("classes.txt"), fix)]
        if len(names) != self.num_classes:
            raise ValueError(
                f"'{self.path('classes.txt')}' has {len(names)} classes and metainfo['classes'] {self.num_classes}: "
                "correct metainfo"
            )
        labels = {name: label for label, name in enumerate(names)}
        records = []
        columns = ("name", "class", "flag", "x0 y0 x1 y1 H W")
        for source, (name, cls, flag, box) in read_table(self.path("images_box.txt"), columns, self.problems, ";", fix):
            if flag not in flags:
                self.problems.add(source, f"the flag must be one of {', '.join(flags)}, found {flag!r}", f"{name}.jpg")
            elif self.split in flags[flag]:
                record = Record(f"{name}.jpg", source, labels.get(cls, cls))
                self._add_sat_boxes(record, box, source)
                records.append(record)
        return records

    def _add_sat_boxes(self, record: Record, text: str, source: str) -> None:
        """Add the boxes and the size of ``x0 y0 x1 y1 [x0 y0 x1 y1 ...] H W``."""
        fields = text.split()
        if len(fields) % 4 != 2 or parse_size(fields[:-3:-1]) is None:
            self.problems.add(source, f"expected 'x0 y0 x1 y1 [...] H W', found {text!r}", record.img_id)
            return
        for start in range(0, len(fields) - 2, 4):
            record.add_box(fields[start : start + 4], source, self.problems)
        record.size = parse_size(fields[:-3:-1])


@DATASETS.register_module()
class StanfordDogs(FineGrainedDataset):
    """Stanford Dogs (Khosla et al., 2011): 12,000 training and 8,580 test images of 120 breeds, one or more boxes each.

    The release, its three archives in one folder::

        Images/<wnid>-<breed>/*.jpg
        Annotation/<wnid>-<breed>/*         (PASCAL VOC xml without extension)
        train_list.mat  test_list.mat       (or in lists/)

    SAT's lists, where training images have no boxes::

        {train,test}/<wnid>-<breed>/*.jpg
        train_list.txt  test_list.txt       (path;label)
        test_gt.txt                         (x0 y0 x1 y1 [x0 y0 x1 y1 ...] H W, line by line as test_list.txt)

    The arguments are those of :class:`FineGrainedDataset`; ``classes`` are the breeds in the folder names.
    """

    img_prefix = {"official": "Images", "sat": "{}"}

    def read_official(self) -> list[Record]:
        """Join ``train_list.mat`` or ``test_list.mat`` with the xml files."""
        name = f"{self.split}_list.mat"
        path = self.path("lists", name)
        path = path if os.path.isfile(path) else self.path(name)
        content = read_mat(path, "the release has it in lists.tar")
        paths, labels = (flat(content.get(key, [])) for key in ("file_list", "labels"))
        if not paths or len(paths) != len(labels):
            raise ValueError(f"'{path}' has {len(paths)} paths and {len(labels)} labels: download it again")
        folder = self.path("Annotation")
        require_dir(folder, "the release has it in annotation.tar")
        records = []
        for number, (img_id, label) in enumerate(zip(paths, labels, strict=True), 1):
            record, _ = read_voc(os.path.join(folder, os.path.splitext(img_id)[0]), img_id, self.problems)
            record.size = None  # the image's own counts
            record.label, record.source = int(label) - 1, f"{path}: entry {number}"
            records.append(record)
        self._set_classes(records)
        return records

    def read_sat(self) -> list[Record]:
        """Join ``test_list.txt`` with ``test_gt.txt``, or read ``train_list.txt``."""
        fix = "SAT's repository has it in Data/Stanford_Dogs"
        path = self.path(f"{self.split}_list.txt")
        rows = read_table(path, ("path", "label"), self.problems, ";", fix)
        records = [Record(img_id, source, parse_label(label)) for source, (img_id, label) in rows]
        if self.split == "test":
            gt = self.path("test_gt.txt")
            lines = list(read_lines(gt, fix))
            if len(lines) != len(records):
                raise ValueError(f"'{path}' has {len(records)} lines and '{gt}' {len(lines)}: they belong together")
            for record, (source, text) in zip(records, lines, strict=True):
                self._add_sat_boxes(record, text, source)
        self._set_classes(records)
        return records

    def _set_classes(self, records: list[Record]) -> None:
        if "classes" not in self._metainfo:
            names = {r.label: r.img_id.split("/")[0].split("-", 1)[-1] for r in records if isinstance(r.label, int)}
            self._metainfo["classes"] = tuple(names[label] for label in sorted(names))


@DATASETS.register_module()
class StanfordCars(FineGrainedDataset):
    """Stanford Cars (Krause et al., 2013): 8,144 training and 8,041 test images of 196 models, one box each.

    The release, in one of its two forms::

        car_ims/*.jpg  cars_annos.mat
        {cars_train,cars_test}/*.jpg  devkit/{cars_train_annos,cars_test_annos_withlabels}.mat

    SAT's lists::

        images/*.jpg                        (the files of car_ims)
        classes.txt  images_box.txt         (name;class;flag;x0 y0 x1 y1 H W; flag 0 train, 1 test)

    The arguments are those of :class:`FineGrainedDataset`.
    """

    METAINFO = dict(classes=STANFORDCARS_CATEGORIES)

    def read_official(self) -> list[Record]:
        """Read ``cars_annos.mat``, or the file of the split in ``devkit``."""
        whole = self.path("cars_annos.mat")
        part = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}[self.split]
        if os.path.isfile(whole):
            path, key, prefix = whole, "relative_im_path", ""
        else:
            path, key, prefix = self.path("devkit", part), "fname", f"cars_{self.split}/"
        content = read_mat(path, f"data_root has cars_annos.mat, or devkit/{part}").get("annotations", {})
        names = (key, "class", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", *(["test"] if path == whole else []))
        missing = [name for name in names if name not in content]
        if missing:
            raise ValueError(f"'{path}' has no {', '.join(missing)} in 'annotations': is it the release's file?")
        records = []
        columns = [flat(content[name]) for name in names]
        if len({len(column) for column in columns}) > 1:
            raise ValueError(f"'{path}' has columns of different lengths: download it again")
        rows = zip(*columns, strict=True)
        for number, (name, label, *values) in enumerate(rows, 1):
            if path == whole and bool(values[4]) != (self.split == "test"):
                continue
            record = Record(prefix + name, f"{path}: entry {number}", int(label) - 1)
            record.add_box([str(value) for value in values[:4]], record.source, self.problems)
            records.append(record)
        return records

    def read_sat(self) -> list[Record]:
        """Read ``images_box.txt``."""
        return self._read_sat_boxes({"0": ("train",), "1": ("test",)})


@DATASETS.register_module()
class FGVCAircraft(FineGrainedDataset):
    """FGVC-Aircraft 2013b (Maji et al., 2013): 10,000 images of 100 variants, one box each.

    3,334 train, 3,333 val and 3,333 test images; SAT trains on 'trainval'.

    The folder ``data`` of the release::

        images/*.jpg  images_variant_{train,val,trainval,test}.txt  images_box.txt

    SAT's lists::

        images/*.jpg
        classes.txt  images_box.txt         (name;class;flag;x0 y0 x1 y1 H W; flag 0 train, 1 test, 2 val)

    The 20 pixels of copyright notice at the bottom of every image are kept, as in SAT. The arguments are those of
    :class:`FineGrainedDataset`.
    """

    METAINFO = dict(classes=FGVCAIRCRAFT_CATEGORIES)
    splits = ("train", "val", "trainval", "test")
    img_prefix = {"official": "images", "sat": "images"}

    def read_official(self) -> list[Record]:
        """Join the list of the split with ``images_box.txt``."""
        index = {name: label for label, name in enumerate(self._metainfo["classes"])}
        boxes: dict[str, Record] = {}
        for record in read_box_lines(self.path("images_box.txt"), self.problems, labels=False):
            if boxes.setdefault(record.img_id, record) is not record:
                message = f"image id {record.img_id} is listed twice: remove one line"
                self.problems.add(record.source, message, f"{record.img_id}.jpg")
        records = []
        for source, text in read_lines(self.path(f"images_variant_{self.split}.txt")):
            number, _, name = text.partition(" ")
            record = Record(f"{number}.jpg", source, index.get(name.strip(), name.strip()))
            if number in boxes:
                record.boxes, record.box_sources = boxes[number].boxes, boxes[number].box_sources
            else:
                self.problems.add(source, f"image id {number} has no line in images_box.txt", record.img_id)
            records.append(record)
        return records

    def read_sat(self) -> list[Record]:
        """Read ``images_box.txt``."""
        return self._read_sat_boxes({"0": ("train", "trainval"), "1": ("test",), "2": ("val", "trainval")})


def read_mat(path: str, fix: str) -> dict:
    """Return the variables of a MATLAB file (version 7) as dicts, nested lists, strings and numbers.

    Raises:
        FileNotFoundError: If the file does not exist; ``fix`` says what to do.
        ValueError: If it cannot be read.
    """
    from mat4py import loadmat  # comes with mmpretrain

    require_file(path, fix)
    try:
        return loadmat(path)
    except Exception as error:  # a broken file raises anything
        raise ValueError(f"'{path}' is not a whole MATLAB file of version 7 ({error}): download it again") from error


def flat(value: Any) -> list:
    """Return the elements of a MATLAB vector, which comes nested, or alone if it has one element."""

    def elements(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            for item in value:
                yield from elements(item)
        else:
            yield value

    return list(elements(value))
