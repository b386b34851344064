"""Tables of images as people write them: CSV with or without a header, columns in any order, of many names."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mmengine.logging import print_log

from mmwsol.datasets.labels import number_of
from mmwsol.datasets.readers import is_text, read_text
from mmwsol.datasets.records import MULTI_LABEL, Problems, Record, clean_path, parse_size, plain
from mmwsol.datasets.walk import IMG_EXTENSIONS

_CANONICAL = ("path", "split", "label", "x0", "y0", "x1", "y1", "mask", "ignore")
_WANTED = "path,split,label,x0,y0,x1,y1[,mask,ignore]"
# What the columns of common tables mean; case, spaces, '_' and '-' do not count.
_SYNONYMS = {
    "path": "path file filename filepath image imagefile imagefilename imagename imagepath imageid img imgid imgname "
    "imgpath",
    "split": "split subset partition datasplit",
    "label": "label class category labels classname classlabel classid categoryid categoryname labelname labelid "
    "celltype species",
    "xmin": "xmin minx left bboxxmin bbxmin",
    "ymin": "ymin miny top bboxymin bbymin",
    "xmax": "xmax maxx right bboxxmax bbxmax",
    "ymax": "ymax maxy bottom bboxymax bbymax",
    "x0": "x0",
    "y0": "y0",
    "x1": "x1 bboxx1",
    "y1": "y1 bboxy1",
    "x2": "x2 bboxx2",
    "y2": "y2 bboxy2",
    "x": "x bboxx",
    "y": "y bboxy",
    "w": "w bboxw bboxwidth boxwidth",
    "h": "h bboxh bboxheight boxheight",
    "width": "width",
    "height": "height",
    "imagewidth": "imagewidth imgwidth imagew imgw",
    "imageheight": "imageheight imgheight imageh imgh",
    "cx": "cx xcenter centerx xc xcentre",
    "cy": "cy ycenter centery yc ycentre",
    "mask": "mask maskpath maskfile",
    "ignore": "ignore ignorepath ignorefile",
    "": "index unnamed:0 id annid confidence score area difficult occluded isoccluded truncated istruncated isinside "
    "pose",
}
_MEANING = {name: meaning for meaning, names in _SYNONYMS.items() for name in names.split()}
_CORNERS = (("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_STARTS = (("x", "y"), ("xmin", "ymin"), ("x0", "y0"), ("x1", "y1"))
_SIZES = (("w", "h"), ("width", "height"))
_COORDINATES = {"xmin", "ymin", "xmax", "ymax", "x0", "y0", "x1", "y1", "x2", "y2", "x", "y", "w", "h", "cx", "cy"}
_NO_NUMBER = {"", "nan", "NaN", "NA", "N/A", "<NA>", "null", "None"}


class _Layout(NamedTuple):
    """Which column is what; columns that are not there have the number of a column behind the last, always empty."""

    path: int
    split: int
    label: int
    box: tuple[int, ...]  # four, or none
    size: tuple[int, ...]  # two, or none
    mask: int
    ignore: int
    width: int  # number of columns
    box_format: str | None  # None: as the caller says
    lengths: frozenset[int]  # numbers of fields that a row may have
    wanted: str  # the header, for messages


def read_csv(path: str, problems: Problems) -> tuple[list[Record], str | None]:
    """Read a table of images, one row a box or mask; see :class:`mmwsol.datasets.LocListDataset` for its columns.

    Fields are separated by comma, semicolon or tab. Columns are known by their names; without a header they are
    ``path,split,label,x0,y0,x1,y1[,mask,ignore]``, or keras-retinanet's ``path,x1,y1,x2,y2,class``. An image repeats
    its row for every further box or mask; cells of boxes may be empty, or ``nan``. A first column with the numbers of
    rows, as pandas writes it, is left out.

    Returns:
        The records, and 'xyxy', 'xywh' or 'cxcywh' where names of columns say what boxes are, else None.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty or no table, or a column is missing, unknown or comes twice.
    """
    lines = list(_rows(path, read_text(path, strict=False), problems))
    if not lines:
        raise ValueError(f"list file '{path}' is empty: its columns are {_WANTED}")
    layout, has_header, lines = _find_layout(path, lines)
    if has_header and not lines:
        raise ValueError(f"list file '{path}' has a header and no rows")
    records: dict[tuple[str, str], Record] = {}
    for source, row in lines:
        if len(row) != layout.width:
            if len(row) not in layout.lengths:
                problems.add(source, f"expected '{layout.wanted}': {','.join(row)!r}", clean_path(row[layout.path]))
                continue
            row = row + [""] * (layout.width - len(row))
        row.append("")
        _add_row(records, row, layout, source, problems)
    return list(records.values()), layout.box_format


def _add_row(
    records: dict[tuple[str, str], Record], row: list[str], layout: _Layout, source: str, problems: Problems
) -> None:
    img_id, split, label = clean_path(row[layout.path]), row[layout.split], row[layout.label]
    if not img_id or img_id in _NO_NUMBER:
        problems.add(source, f"no path of an image: {','.join(row[:-1])!r}")
        return
    key = (img_id, split)
    record = records.get(key)
    if record is None:
        record = records[key] = Record(img_id, source, label, split=split)
    elif record.label != label:
        message = f"a second label {label!r} for '{img_id}' (the first is {record.label!r} at {record.source}): "
        problems.add(source, message + MULTI_LABEL, img_id)
    fields = [row[column] for column in layout.box]
    if not _NO_NUMBER.issuperset(fields):
        record.add_box(fields, source, problems)
    listed = [row[column] for column in layout.size]
    if not _NO_NUMBER.issuperset(listed):
        size = parse_size(listed)
        if size is None or record.size not in (None, size):
            message = f"the size of image '{img_id}' must be the same two whole numbers of pixels in each of its rows"
            problems.add(source, f"{message}, found {','.join(listed)!r}", img_id)
        record.size = size
    if row[layout.mask]:
        record.masks.append(clean_path(row[layout.mask]))
    record.ignore = clean_path(row[layout.ignore]) or record.ignore


def _rows(path: str, text: str, problems: Problems) -> Iterator[tuple[str, list[str]]]:
    """Yield (file:line, fields) of the rows that are not empty."""
    whole, quoted = is_text(text), '"' in text
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        for row in rows:
            fields = [field.strip() for field in row]
            if not any(fields):
                continue
            source = f"{path}:{rows.line_num}"
            if quoted and "\n" in "".join(fields):
                problems.add(source, f"a quotation mark is not closed: {fields[0][:60]!r}")
            elif not whole and not is_text("".join(fields)):
                problems.add(source, f"the row is not UTF-8 text: {','.join(fields)!r}; save the file as UTF-8")
            else:
                yield source, fields
    except csv.Error as error:
        raise ValueError(f"list file '{path}:{rows.line_num}' is no CSV text: {error}") from error


def _delimiter(text: str) -> str:
    """Return what separates the fields of the first lines: comma, semicolon or tab."""
    start = [line for line in text[:20000].split("\n")[:20] if line.strip()]
    if text[:20000] != text and len(start) > 1:
        start = start[:-1]  # it may be cut
    counts = {}
    for delimiter in ",;\t":
        names = sum(_meaning(name) is not None for name in start[0].split(delimiter)) if start else 0
        fields = min((line.count(delimiter) for line in start), default=0)
        counts[delimiter] = (names if names > 1 else 0, fields)
    return max(counts, key=lambda delimiter: counts[delimiter])  # the first of equals


def _meaning(name: str) -> str | None:
    """Return what a column of that name is, '' for one that is not needed, None for an unknown one."""
    return _MEANING.get(re.sub(r"[\s_\-.]+", "", name.strip(" '\"").lower()))


def _find_layout(path: str, lines: list[tuple[str, list[str]]]) -> tuple[_Layout, bool, list[tuple[str, list[str]]]]:
    """Return the layout, whether there is a header, and the rows below it."""
    source, first = lines[0]
    numbers = any(number_of(field) is not None for field in first)
    known = sum(bool(_meaning(field)) for field in first)
    if known > 1 and not numbers:
        return _named_layout(source, first, [row for _, row in lines[1:]]), True, lines[1:]
    if len(lines) > 1 and not numbers and not _is_image(first[0]) and _is_image(lines[1][1][0]):
        raise ValueError(f"{source}: a header with unknown columns, {','.join(first)!r}: name them {_WANTED}")
    numbered = all(row[0] == str(number) for number, (_, row) in enumerate(lines, int(number_of(first[0]) or 0)))
    if numbered and all(len(row) > 1 and _is_image(row[1]) for _, row in lines):  # the index of pandas
        lines = [(source, row[1:]) for source, row in lines]
    if all(len(row) == 6 for _, row in lines):
        if any(number_of(row[5]) is not None for _, row in lines):
            raise ValueError(
                f"{source}: 6 columns and no header may be 'path,x1,y1,x2,y2,class' or 'path,label,x0,y0,x1,y1': "
                "write the names of the columns into the first line"
            )
        layout = _Layout(0, 6, 5, (1, 2, 3, 4), (), 6, 6, 6, None, frozenset({6}), "path,x1,y1,x2,y2,class")
        return layout, False, lines
    layout = _Layout(0, 1, 2, (3, 4, 5, 6), (), 7, 8, 9, None, frozenset({3, 7, 8, 9}), _WANTED)
    return layout, False, lines


def _is_image(text: str) -> bool:
    return text.lower().endswith(IMG_EXTENSIONS)


def _named_layout(source: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> _Layout:
    """Understand a header, or raise ``ValueError``."""
    place: dict[str, int] = {}
    ignored: list[str] = []
    unknown: list[str] = []
    for column, name in enumerate(header):
        meaning = _meaning(name)
        if not name and (column == 0 or not any(row[column] for row in rows if column < len(row))):
            continue  # the index of pandas, or a separator at the end of lines
        if not meaning:
            (unknown if meaning is None else ignored).append(name)
        elif meaning in place:
            other = header[place[meaning]]
            raise ValueError(f"{source}: columns '{other}' and '{name}' are both the {meaning}: remove one of them")
        else:
            place[meaning] = column
    if unknown:
        raise ValueError(
            f"{source}: unknown column(s) {', '.join(map(repr, unknown))}: name them {_WANTED}, or remove them (one "
            "column a class is not read: an image has one label)"
        )
    for name in ("path", "label"):
        if name not in place:
            raise ValueError(f"{source}: no column for the {name} in {','.join(header)!r}: it is called '{name}'")
    if ignored:
        print_log(plain(f"{source}: columns that are not used: {', '.join(ignored)}"), "current", logging.INFO)
    box_format, names = _box_columns(source, header, place)
    end = len(header)
    size: tuple[str, ...] = ("imagewidth", "imageheight")
    if not {*size} <= {*place} and not {"width", "height"} & {*names}:
        size = ("width", "height")
    sizes = tuple(place[name] for name in size) if {*size} <= {*place} else ()
    boxes = tuple(place[name] for name in names)
    optional = {*boxes, *sizes, *(place[name] for name in ("mask", "ignore") if name in place)}
    lengths = {end}
    for length in range(end - 1, 0, -1):
        if length not in optional and header[length]:
            break
        if not any(column < length for column in boxes) or all(column < length for column in boxes):
            lengths.add(length)
    split, mask, ignore = (place.get(name, end) for name in ("split", "mask", "ignore"))
    named = (place["path"], split, place["label"])
    return _Layout(*named, boxes, sizes, mask, ignore, end, box_format, frozenset(lengths), ",".join(header))


def _box_columns(source: str, header: Sequence[str], place: dict[str, int]) -> tuple[str | None, tuple[str, ...]]:
    """Return the format of the boxes (None: x0, y0, x1, y1 as the caller reads them) and the four columns."""
    given = _COORDINATES & {*place}
    if not given:
        return None, ()
    for names in _CORNERS:
        if given == {*names}:
            return (None if names == _CORNERS[0] else "xyxy"), names
    for kind, starts in (("xywh", _STARTS), ("cxcywh", (("cx", "cy"),))):
        for start in starts:
            for size in _SIZES:
                if given - {*size} == {*start} and {*size} <= {*place} and place[size[0]] > place[start[0]]:
                    return kind, (*start, *size)
    listed = ", ".join(header[column] for column in sorted(place[name] for name in given))
    raise ValueError(
        f"{source}: the columns of boxes, {listed}, must be x0,y0,x1,y1 or xmin,ymin,xmax,ymax or "
        "x1,y1,x2,y2 (corners), or x,y,w,h (corner and size)"
    )
