"""COCO json."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from mmengine.logging import print_log

from mmwsol.datasets.coco_masks import segmentation_box
from mmwsol.datasets.labels import number_of
from mmwsol.datasets.readers import read_text
from mmwsol.datasets.records import MULTI_LABEL, Problems, Record, clean_path, parse_size, plain


def read_json(path: str) -> Any:
    """Read a json file.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is no json.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"'{path}' is not json: {error}") from error
    except RecursionError as error:
        raise ValueError(f"'{path}' is nested too deep for JSON of a data set") from error


def read_coco(path: str, problems: Problems) -> tuple[list[Record], list[str]]:
    """Read a COCO json; an image's label is ``image['label']`` or the one category of its annotations.

    ``image['label']`` is the id or the name of a category; records hold names. Ids may be numbers or text. A crowd
    (``iscrowd``) gives its image a label and no box, since it is no single object. An object without a ``bbox`` has the
    box around its ``segmentation``. A category that nothing is of and
    that is only the parent of others, as in exports of Roboflow, is no class.

    Returns:
        The records, boxes as x, y, w, h; and the category names in the order of their ids.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not COCO json.
    """
    try:
        content = read_json(path)
    except ValueError as error:
        raise ValueError(f"'{path}' is not COCO json: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"'{path}' is not COCO json (images, annotations, categories): it holds no such lists")
    lists: dict[str, Any] = {name: content.get(name) for name in ("images", "categories")}
    lists["annotations"] = content.get("annotations") or []
    for name, entries in lists.items():
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(
                f"'{path}' is not COCO json (images, annotations, categories): no list '{name}' of entries"
            )
    names = _read_categories(path, lists, problems)
    records: dict[str, Record] = {}
    repeated = []
    for number, image in enumerate(lists["images"]):
        key, file_name = _key(image.get("id")), image.get("file_name")
        source = f"{path}: image {number}" if key is None else f"{path}: image id {key}"
        if key is None or not isinstance(file_name, str) or not file_name:
            problems.add(source, "an image needs an id and a file_name")
            continue
        record = Record(clean_path(file_name), source)
        if key in records:
            message = f"the id is that of '{records[key].img_id}' and of '{record.img_id}': "
            problems.add(source, message + "number images once", records[key].img_id)
            problems.bad_ids.add(record.img_id)
            repeated.append(record)
            continue
        _read_image(record, image, names, problems)
        records[key] = record
    counts: Counter[str] = Counter()
    for number, annotation in enumerate(lists["annotations"]):
        source = f"{path}: annotation id {annotation.get('id', number)}"
        owner = records.get(_key(annotation.get("image_id")) or "")
        if owner is None:
            problems.add(source, f"image id {annotation.get('image_id')} is not in 'images'")
            continue
        counts[_add_annotation(owner, annotation, names, source, problems)] += 1
    if crowds := counts["crowd"]:
        print_log(f"'{path}': {crowds} crowd(s) (iscrowd) have no box: they are no single objects", "current")
    if masks := counts["mask"]:
        print_log(f"'{path}': {masks} object(s) have no bbox, and the box around their segmentation", "current")
    return [*records.values(), *repeated], list(dict.fromkeys(names.values()))


def _key(value: Any) -> str | None:
    """Return an id as text, 5 and '5' alike; None if it is no id."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or value != value:
        return None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else value
    return str(value) or None


def _read_categories(path: str, lists: dict[str, Any], problems: Problems) -> dict[str, str]:
    """Return the names of the categories by id, in the order of the ids."""
    categories: dict[str, dict] = {}
    for number, category in enumerate(lists["categories"]):
        key, name = _key(category.get("id")), category.get("name")
        if key is None or not isinstance(name, (str, int)) or name == "":
            raise ValueError(f"'{path}' is not COCO json: category {number} needs an id and a name")
        if key in categories:
            raise ValueError(
                f"'{path}': category id {key} is that of '{categories[key]['name']}' and of '{name}': number once"
            )
        categories[key] = category
    used = {_key(annotation.get("category_id")) for annotation in lists["annotations"]}
    used |= {_key(image.get("label")) for image in lists["images"]}
    above_others = (category.get("supercategory") for category in categories.values())
    parents = {name for name in above_others if isinstance(name, str)}
    for key, category in list(categories.items()):
        name, above = category["name"], category.get("supercategory")
        top = above in (None, "", "none", "None") and {key, str(name)}.isdisjoint(used - {None})
        if top and name in parents:
            print_log(
                plain(f"'{path}': category '{name}' is the parent of others and has no annotations: it is no class"),
                "current",
            )
            del categories[key]
    count = Counter(str(category["name"]) for category in categories.values())
    for name, times in count.items():
        if times > 1:
            ids = [key for key, category in categories.items() if str(category["name"]) == name]
            problems.add(f"{path}: categories", f"'{name}' has the ids {', '.join(ids)}: keep one of them")
    numbers = [number_of(key) for key in categories]
    whole = all(number is not None for number in numbers)
    order = sorted(categories, key=(lambda key: (number_of(key), key)) if whole else (lambda key: (0, key)))
    return {key: str(categories[key]["name"]) for key in order}


def _read_image(record: Record, image: dict, names: dict[str, str], problems: Problems) -> None:
    """Add the label and the size of an entry of 'images'."""
    label = image.get("label")
    if label is not None:
        key = _key(label)
        if key is None or (key not in names and key not in names.values()):
            problems.add(record.source, f"label {label!r} is neither id nor name of a category", record.img_id)
        elif isinstance(label, str) and label in names.values():  # a name wins over an id
            record.label = label
        else:
            record.label = names.get(key, key)
    size = [image.get("width"), image.get("height")]
    if size == [None, None]:
        return
    record.size = parse_size(size)
    if record.size is None:
        message = f"width and height must be whole numbers of pixels, found {size[0]!r}, {size[1]!r}"
        problems.add(record.source, message, record.img_id)


def _add_annotation(record: Record, annotation: dict, names: dict[str, str], source: str, problems: Problems) -> str:
    """Add label and box of an annotation; return what is special about it: 'crowd' (no box), 'mask', or ''."""
    category = _key(annotation.get("category_id"))
    if category not in names:
        message = f"category {annotation.get('category_id')} is not in 'categories'"
        problems.add(source, message, record.img_id)
        return ""
    name = names[category or ""]
    if record.label is None:
        record.label = name
    elif record.label != name:
        message = f"category '{name}' in image '{record.img_id}' of class '{record.label}': "
        problems.add(source, message + MULTI_LABEL, record.img_id)
        return ""
    crowd, box = annotation.get("iscrowd"), annotation.get("bbox")
    if crowd and str(crowd).strip().lower() not in ("", "0", "0.0", "false", "no", "none"):
        return "crowd"
    kind = ""
    if box is None or box == []:
        segmentation = annotation.get("segmentation")
        if not segmentation:
            return ""
        try:
            box, kind = [*segmentation_box(segmentation, record.size)], "mask"
            if isinstance(segmentation, dict):
                record.size = parse_size(segmentation["size"][::-1])
        except ValueError as error:
            problems.add(source, str(error), record.img_id)
            return ""
    if not isinstance(box, list) or any(
        isinstance(value, bool) or not isinstance(value, (int, float, str)) for value in box
    ):
        problems.add(source, f"a bbox is a list of four numbers x, y, w, h, found {str(box)[:80]}", record.img_id)
        return ""
    try:
        attributes = annotation.get("attributes")
        rotation = attributes.get("rotation") if isinstance(attributes, dict) and not kind else None
        record.add_box([str(value) for value in box], source, problems, rotation)
    except ValueError:  # a whole number of thousands of digits
        problems.add(source, "a bbox is a list of four numbers x, y, w, h", record.img_id)
    return kind
