"""Predictions as label files, and as a list of what a person should look at first."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmwsol.apis.inputs import input_name
from mmwsol.datasets.label_files import FORMATS, LabelList, relative_name, unlistable
from mmwsol.datasets.records import plain

REVIEW = "review.csv"
# Folder and name of the files of each format within the output folder.
PLACES = dict(coco=("", "coco"), yolo=("yolo", ""), voc=("voc", ""), csv=("", "labels"))


class LabelOutput:
    """Label files of the predictions of a call of :class:`mmwsol.apis.WSOLInferencer`.

    Args:
        inputs: What was asked for: a single folder is the root of all names.
        items: All inputs, one by one.
        formats: Of :data:`mmwsol.datasets.label_files.FORMATS`.
        classes: Class names of all labels.
        only: Labels of the classes that may be predicted: those of the label files, in this order. None: all.
        info: What made the boxes, for COCO json.

    Attributes:
        names: Paths of the images, or what stands for them.
        root: Folder that paths in label files are relative to: the folder that was asked for if it is one, else the
            folder that all images share.

    Raises:
        ValueError: If a format is unknown, or label files are wanted of an input that is no file.
    """

    def __init__(
        self,
        inputs: Any,
        items: Sequence[Any],
        formats: Sequence[str],
        classes: Sequence[str],
        only: Sequence[int] | None,
        info: dict[str, Any],
    ) -> None:
        formats = [formats] if isinstance(formats, str) else formats
        for format in formats:
            if format not in FORMATS:
                raise ValueError(f"formats may have {', '.join(FORMATS)}, got {format!r}.")
        self.formats = list(dict.fromkeys(formats))
        labels = range(len(classes)) if only is None else only
        self.classes = tuple(classes[label] for label in labels)
        self.positions = {label: position for position, label in enumerate(labels)}
        self.names = [input_name(item, index) for index, item in enumerate(items)]
        for index, (name, item) in enumerate(zip(self.names, items, strict=True)):
            if self.formats and (not isinstance(item, (str, Path, dict)) or "://" in name):
                raise ValueError(f"label files name images by their paths, and input {index} is no file.")
        entries = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if len(entries) == 1 and isinstance(entries[0], (str, Path)) and os.path.isdir(entries[0]):
            self.root = os.path.abspath(entries[0])
        else:
            self.root = os.path.commonpath([os.path.dirname(os.path.abspath(name)) for name in self.names])
        self.info = dict(info, root=plain(self.root))
        self.relative = {name: relative_name(name, self.root) for name in self.names}

    def problems(self) -> dict[str, str]:
        """Say which images cannot stand in the label files, and why."""
        found = {}
        for name, relative in self.relative.items():
            reasons = [reason for format in self.formats if (reason := unlistable(relative, format))]
            if reasons:
                found[name] = f"image '{name}' has {reasons[0]}: rename it"
        return found

    def planned(self) -> list[str]:
        """Name all files of text that may be written, relative to the output folder."""
        anything = [dict(img_path=name, ori_shape=[1, 1], objects=[], pred_label=0) for name in self.relative]
        return [name for name, _ in self._labels(anything)] + [REVIEW]

    def files(self) -> list[str]:
        """Name the file or folder of each format, relative to the output folder."""
        endings = dict(coco=".json", csv=".csv")
        return [os.path.join(*PLACES[format]) + endings.get(format, "") for format in self.formats]

    def texts(self, records: Sequence[dict[str, Any]], failed: Sequence[dict[str, str]]) -> Iterator[tuple[str, str]]:
        """Yield the files of text of predictions: path relative to the output folder, and content."""
        yield from self._labels(records)
        yield REVIEW, self._review(records, failed)

    def _labels(self, records: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
        if not self.formats:
            return
        by_name = {self.relative[record["img_path"]]: record for record in records}  # one may be listed twice
        labels = LabelList(self.root, self.classes, self.info, others=list(self.relative.values()))
        for record in by_name.values():
            height, width = record["ori_shape"]
            label = self.positions.get(record["pred_label"], 0)
            instances = [
                dict(label=label, box=item["bbox"], score=round(item["confidence"], 6)) for item in record["objects"]
            ]
            labels.add(record["img_path"], (width, height), instances, label)
        for format in self.formats:
            folder, name = PLACES[format]
            for path, text in labels.contents(format, name):
                yield os.path.join(folder, path), text

    def _review(self, records: Sequence[dict[str, Any]], failed: Sequence[dict[str, str]]) -> str:
        """Write a table of all images: those that failed, then those with most doubts, then the least confident."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["path", "reasons", "confidence", "class", "probability", "boxes"])
        for entry in failed:
            writer.writerow([self._shown(entry["input"]), plain(f"failed: {entry['error']}"), "", "", "", ""])
        for record in sorted(records, key=lambda record: (-len(record["doubts"]), record["confidence"])):
            name = self._shown(record["img_path"] or record["picture"])
            figures = (f"{record['confidence']:.3f}", record["pred_class"], f"{record['pred_score']['scores'][0]:.3f}")
            writer.writerow([name, "; ".join(record["doubts"]), *figures, len(record["objects"])])
        return table.getvalue()

    def _shown(self, name: str) -> str:
        return plain(self.relative.get(name, name))
