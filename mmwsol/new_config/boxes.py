"""Where the boxes of a folder of images are, and which split they are of.

A table, a json or a folder of label files is of a split if

- it is a table with a column ``split``, which names that split (the rows of others are not read); else
- its name, or that of the nearest folder around it, has a word of that split and of no other: ``val.csv``,
  ``val/boxes.csv``, ``annotations/instances_val2017.json``, ``labels/val``; else
- its paths, relative to the root of the data, lie in the folder of that split: ``val/cat/1.jpg``.

Paths are relative to the root or to the folder of the split. What is of no split is never read for one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from mmwsol.datasets.coco_reader import read_coco
from mmwsol.datasets.csv_reader import read_csv
from mmwsol.datasets.folder_reader import read_folder
from mmwsol.datasets.labels import NO_LABEL, name_key
from mmwsol.datasets.readers import read_voc, read_wsol
from mmwsol.datasets.records import Problems, Record
from mmwsol.datasets.walk import is_system, walk
from mmwsol.new_config.parts import SPLITS, TABLES, Part, read_part, split_names

_LABEL_FOLDERS = ("annotations", "labels", "boxes", "xml", "voc", "yolo")
_LABEL_FILES = (".xml", ".txt")
_WSOL = "image_ids.txt"  # of wsolevaluation's folders, each a list
_HOW = "write val.csv and test.csv, folders labels/val and labels/test, or a table with a column 'split'"


class _Unusable(ValueError):
    """What is no list of boxes, or of no split: passed over with a note, an error if it is what ``--boxes`` named."""


class _OfTraining(_Unusable):
    """Boxes of training images, which nothing here reads: passed over without a note."""


def given_boxes(root: Path, boxes: str) -> str:
    """Return the path of ``--boxes`` relative to the root, or absolute where it is not below it."""
    for path in (root / boxes, Path(boxes)):
        if path.exists():
            return os.path.relpath(path, root) if path.resolve().is_relative_to(root.resolve()) else str(path.resolve())
    raise FileNotFoundError(f"--boxes '{boxes}' is neither in '{root}' nor in the working directory.")


def add_boxes(
    root: Path, parts: dict[str, Part], classes: Sequence[str], given: str | None, look: bool, notes: list[str]
) -> None:
    """Exchange parts for those with boxes.

    Args:
        root: Root of the data.
        parts: Images by split, 'train' among them, which gets no boxes; or by '': the only ones, of any list.
        classes: Names of the classes.
        given: What ``--boxes`` named.
        look: Whether to look for boxes.
        notes: Where what was passed over is noted.

    Raises:
        ValueError: If what ``--boxes`` named cannot be used, a list of a split has errors, contradicts the folders of
            the classes or may be of several splits, or several lists are of one split.
    """
    found: dict[str, list[Part]] = {split: [] for split in parts}
    folders = {split: part.options.get("data_prefix", "") for split, part in parts.items()}
    passed = []
    tops = [given] if given else _usual(root, folders) if look else []
    for place in _places(root, tops, folders):
        try:
            for part in _read(root, place, parts, folders, classes):
                found[part.name].append(part)
        except _Unusable as error:
            if isinstance(error, _OfTraining) and not given:
                continue
            passed.append(f"'{root / place}' is not used: {error}.")
        except (ValueError, OSError) as error:
            why = str(error).rstrip(".")
            raise ValueError(
                f"{why}. Correct it, name another file by --boxes, or go on without boxes: --boxes none."
            ) from error
    if given and not any(found.values()):
        raise ValueError(f"--boxes: {passed[0]}" if passed else f"--boxes '{root / given}' has no list of boxes.")
    for split, fitting in found.items():
        if len(fitting) > 1:
            listed = " and in ".join(sorted(part.boxes_in for part in fitting))
            raise ValueError(f"boxes of {split or 'the images'} are in {listed}: say which by --boxes, or leave one.")
        if fitting:
            parts[split] = fitting[0]
    notes += passed


# ---- what may hold boxes ------------------------------------------------------------------------------


def _usual(root: Path, folders: Mapping[str, str]) -> list[str]:
    """Return the folders to look in: the root, those of the splits, and in both those for labels."""
    tops = ["", *(folder for split, folder in folders.items() if split != "train")]
    return [
        *tops,
        *(name for top in tops for name in _inner(root, top) if PurePath(name).name.lower() in _LABEL_FOLDERS),
    ]


def _inner(root: Path, folder: str) -> list[str]:
    names = sorted(path.name for path in (root / folder).iterdir() if path.is_dir() and not is_system(path.name))
    return [os.path.join(folder, name) for name in names]


def _places(root: Path, tops: Sequence[str], folders: Mapping[str, str]) -> Iterator[str]:
    """Yield the files and the folders of label files in some folders, and in those of splits in them."""
    outer = [top for top in tops if top and top not in folders.values() and (root / top).is_dir()]
    inside = [name for top in outer for name in _inner(root, top) if split_names(PurePath(name).name)]
    tops = list(dict.fromkeys([*tops, *inside]))
    labels = []
    for top in tops:
        if (root / top).is_file():
            yield top
            continue
        for path in sorted((root / top).iterdir()):
            if path.is_file() and path.suffix.lower() in (*TABLES, ".json") and not is_written(path):
                yield os.path.join(top, path.name)
        if (top or "" in folders) and any(
            name.lower().endswith(_LABEL_FILES) for name in walk(str(root / top), "").files
        ):
            labels.append(top)
    for top in labels:
        if not any(other != top and (not top or other.startswith(f"{top}/")) for other in labels):  # the innermost
            yield top or "."


def is_written(path: Path) -> bool:
    """Return whether a file is hidden, or the list that ``mmwsol new`` writes beside a config."""
    stem = path.stem.removesuffix("_images")
    ours = path.suffix == ".csv" and stem != path.stem and path.with_name(f"{stem}.py").is_file()
    return ours or is_system(path.name)


# ---- which split it is of -----------------------------------------------------------------------------


def named_split(place: str) -> str:
    """Return the split that a path names, '' for none: the last part with a word of a split says it.

    Of a path outside the data that is the name alone.
    """
    path = PurePath(PurePath(place).name if os.path.isabs(place) else place)
    for part in (path.stem, *(folder.name for folder in path.parents)):
        named = split_names(part)
        if named:
            return named[0] if len(named) == 1 else ""  # 'train_val' names none
    return ""


def _read(
    root: Path, place: str, parts: Mapping[str, Part], folders: Mapping[str, str], classes: Sequence[str]
) -> list[Part]:
    """Return the images with boxes of the splits that a list is of."""
    read = _of_folder if (root / place).is_dir() and not (root / place / _WSOL).is_file() else _of_list
    result = []
    for split, options in read(root, place, parts, folders, classes).items():
        options = {key: value for key, value in options.items() if value}
        part = read_part(root, classes, dict(ann_file=place, **options), split, place)
        _check(root, place, part, parts, folders[split], classes)
        if part.num_boxes:
            result.append(part)
    if not result:
        raise _Unusable("it has no boxes" + ("" if "" in parts else f" of {_other(parts)}"))
    return result


def _of_list(
    root: Path, place: str, parts: Mapping[str, Part], folders: Mapping[str, str], classes: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return the splits that a table or json is of, and the further arguments that read it."""
    named = named_split(place)
    try:
        records = _records(root / place, classes)
    except (ValueError, OSError) as error:
        if named in parts and named != "train":
            raise
        raise _Unusable(f"it cannot be read: {str(error).rstrip('.')}") from error
    written = {record.split for record in records}.difference(NO_LABEL)
    if "" in parts:
        return {"": dict(data_prefix=_prefix(root, records, parts[""], folders[""]))}
    if written:
        chosen = {split: sorted(name for name in written if name.lower() in SPLITS[split]) for split in parts}
        several = [names for names in chosen.values() if len(names) > 1]
        if several:
            raise ValueError(f"'{root / place}': the splits {' and '.join(several[0])} are one: write them alike")
        names = {split: names[0] for split, names in chosen.items() if names and split != "train"}
        if not names and chosen["train"]:
            raise _OfTraining("its column split has none but training images")
        if not names:
            raise _Unusable(
                f"its column split has {', '.join(sorted(written))}, and there are images of {_other(parts)} alone"
            )
        of = {split: [record for record in records if record.split == name] for split, name in names.items()}
        return {
            split: dict(split=name, data_prefix=_prefix(root, of[split], parts[split], folders[split]))
            for split, name in names.items()
        }
    if not named:
        named = _split_of_paths(root, place, {record.img_id for record in records}, parts, folders)
    _require(named, parts)
    return {named: dict(data_prefix=_prefix(root, records, parts[named], folders[named]))}


def _of_folder(
    root: Path, place: str, parts: Mapping[str, Part], folders: Mapping[str, str], classes: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return the split that a folder of label files is of, and the further arguments that read it."""
    stems = {
        PurePath(os.path.splitext(name)[0]).name
        for name in walk(str(root / place), "").files
        if name.lower().endswith(_LABEL_FILES)
    }
    fitting = [
        split
        for split, part in parts.items()
        if any(not stems.isdisjoint((path.name, path.stem)) for path in (Path(i["img_path"]) for i in part.items))
    ]
    named = "" if "" in parts else named_split(place)
    if "" not in parts and not named:
        if len(fitting) > 1:
            raise ValueError(f"'{root / place}': its files are named like images of {' and of '.join(fitting)}: {_HOW}")
        raise _Unusable(f"nothing says which split it is of: {_HOW}")
    _require(named, parts)
    if named not in fitting:
        raise _Unusable(f"none of its xml and txt files is named like an image of '{root / folders[named]}'")
    return {named: dict(data_prefix=folders[named])}


def _require(split: str, parts: Collection[str]) -> None:
    if split == "train":
        raise _OfTraining("it is of training images")
    if split not in parts:
        raise _Unusable(f"it is of {split}, and there are images of {_other(parts)} alone")


def _other(parts: Collection[str]) -> str:
    return " and ".join(split for split in parts if split != "train") or "train"


def _records(path: Path, classes: Sequence[str]) -> list[Record]:
    if path.is_dir():
        return read_wsol(str(path), Problems())
    if path.suffix.lower() == ".json":
        return read_coco(str(path), Problems())[0]
    return read_csv(str(path), Problems(), "", classes)[0]


def _real(root: Path, prefix: str, img_id: str) -> str:
    return os.path.realpath(os.path.join(root, prefix, img_id))


def _images(part: Part) -> set[str]:
    return {os.path.realpath(item["img_path"]) for item in part.items}


def _split_of_paths(
    root: Path, place: str, listed: Collection[str], parts: Mapping[str, Part], folders: Mapping[str, str]
) -> str:
    """Return the split whose folder the paths of a list begin with."""
    in_root = {_real(root, "", img_id) for img_id in listed}
    inside = [split for split, part in parts.items() if not in_root.isdisjoint(_images(part))]
    if len(inside) > 1:
        raise ValueError(f"'{root / place}' lists images of {' and of '.join(inside)}: write a column 'split'")
    if inside:
        return inside[0]
    fitting = [
        split
        for split, part in parts.items()
        if not _images(part).isdisjoint(_real(root, folders[split], img_id) for img_id in listed)
    ]
    if len(fitting) > 1:
        raise ValueError(f"'{root / place}': its paths fit images of {' and of '.join(fitting)}: {_HOW}")
    if fitting:
        raise _Unusable(f"nothing says which split it is of: {_HOW}")
    raise _Unusable(f"none of its paths is an image of '{root}', such as '{min(listed, default='')}'")


def _prefix(root: Path, records: Sequence[Record], part: Part, folder: str) -> str:
    """Return what paths are relative to: '', the root, or the folder of the split."""
    mine = _images(part)
    count = {prefix: sum(_real(root, prefix, r.img_id) in mine for r in records) for prefix in ("", folder)}
    if not any(count.values()):
        first = records[0].img_id if records else ""
        raise _Unusable(f"none of its paths is an image of '{root / folder}', such as '{first}'")
    return max(count, key=lambda prefix: count[prefix])


def _check(root: Path, place: str, part: Part, parts: Mapping[str, Part], folder: str, classes: Sequence[str]) -> None:
    """Raise ``ValueError`` if a list has images beyond those of its split, or contradicts the folders they lie in."""
    folder_of = {os.path.realpath(item["img_path"]): classes[item["gt_label"]] for item in parts[part.name].items}
    said = {os.path.realpath(item["img_path"]): classes[item["gt_label"]] for item in part.items}
    if missing := [path for path in said if path not in folder_of]:
        raise ValueError(f"'{root / place}': '{missing[0]}' is not among the images of '{root / folder}'")
    if (root / place).is_dir() and not (root / place / _WSOL).is_file():
        said = _voc_names(root, place, folder, classes)
    for path, name in said.items():
        if name != folder_of[path]:
            raise ValueError(f"'{root / place}': '{path}' is of '{name}' and lies in the folder of '{folder_of[path]}'")


def _voc_names(root: Path, place: str, folder: str, classes: Sequence[str]) -> dict[str, str]:
    """Return the classes of the objects by image, where they are none but another one than that of its folder."""
    by_key = {name_key(name): name for name in classes}
    names = {}
    for record in read_folder(str(root / folder), str(root / place), Problems())[0]:
        file = record.box_sources[0].rpartition(": object ")[0] if record.box_sources else ""  # '' of YOLO's numbers
        keys = {name_key(name) for name in read_voc(file, "", Problems())[1]} if file else set()
        others = [by_key[key] for key in sorted(keys) if key in by_key]
        if others and name_key(str(record.label)) not in keys:
            names[_real(root, folder, record.img_id)] = others[0]
    return names
