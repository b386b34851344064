"""What the columns of a table of images are, by the names that people give them."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import NamedTuple

from mmengine.logging import print_log

from mmwsol.datasets.labels import number_of
from mmwsol.datasets.records import plain

WANTED = "path,split,label,x0,y0,x1,y1[,mask,ignore]"
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
_UNIT = re.compile(r"[(\[]\s*(px|pixels?)\s*[)\]]$")
_MEANING = {name: meaning for meaning, names in _SYNONYMS.items() for name in names.split()}
_CORNERS = (("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_STARTS = (("x", "y"), ("xmin", "ymin"), ("x0", "y0"), ("x1", "y1"))
_SIZES = (("w", "h"), ("width", "height"))
_COORDINATES = {"xmin", "ymin", "xmax", "ymax", "x0", "y0", "x1", "y1", "x2", "y2", "x", "y", "w", "h", "cx", "cy"}
NO_NUMBER = {"", "nan", "NaN", "NA", "N/A", "<NA>", "null", "None"}


class Layout(NamedTuple):
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


def column_meaning(name: str) -> str | None:
    """Return what a column of that name is, '' for one that is not needed, None for an unknown one."""
    return _MEANING.get(re.sub(r"[\s_\-.]+", "", _UNIT.sub("", name.strip(" '\"").lower())))


def named_layout(source: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Layout:
    """Understand a header, or raise ``ValueError``."""
    place: dict[str, int] = {}
    ignored: list[str] = []
    unknown: list[str] = []
    for column, name in enumerate(header):
        meaning = column_meaning(name)
        if not name and (column == 0 or not any(row[column] for row in rows if column < len(row))):
            continue  # the index of pandas, or a separator at the end of lines
        if not meaning:
            (unknown if meaning is None else ignored).append(name)
        elif meaning in place:
            pair = (place[meaning], column)
            texts = [number for number in pair if not _is_numeric(number, rows)]
            if meaning not in ("path", "label") or len(texts) != 1:  # names win over their numbers
                other = header[place[meaning]]
                raise ValueError(f"{source}: columns '{other}' and '{name}' are both the {meaning}: remove one of them")
            place[meaning] = texts[0]
            ignored.append(header[sum(pair) - texts[0]])
        else:
            place[meaning] = column
    if unknown:
        raise ValueError(
            f"{source}: unknown column(s) {', '.join(map(repr, unknown))}: name them {WANTED}, or remove them (one "
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
    return Layout(*named, boxes, sizes, mask, ignore, end, box_format, frozenset(lengths), ",".join(header))


def _is_numeric(column: int, rows: Sequence[Sequence[str]]) -> bool:
    """Return whether all cells of a column are numbers, or empty."""
    return all(row[column] in NO_NUMBER or number_of(row[column]) is not None for row in rows if column < len(row))


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
