"""Tables of images as people write them: CSV with or without a header, columns in any order, of many names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator

from mmengine.logging import print_log

from mmwsol.datasets.csv_columns import NO_NUMBER, WANTED, Layout, column_meaning, named_layout
from mmwsol.datasets.labels import is_split, number_of
from mmwsol.datasets.readers import is_text, read_text
from mmwsol.datasets.records import MULTI_LABEL, Problems, Record, clean_path, parse_number, parse_size, plain
from mmwsol.datasets.walk import IMG_EXTENSIONS

_SINGLE_QUOTES = re.compile("^'(.*)'$", re.DOTALL)
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}\.[0-9]{3}")
_SEPARATOR_LINE = re.compile(r'"?sep=([,;|\t])"?\n')  # Excel reads it


def read_csv(
    path: str, problems: Problems, split: str = "", classes: Collection[str] = ()
) -> tuple[list[Record], str | None]:
    """Read a table of images, one row a box or mask; see :class:`mmwsol.datasets.LocListDataset` for its columns.

    Fields are separated by comma, semicolon, tab or '|'. Columns are known by their names; without a header they are
    ``path,split,label,x0,y0,x1,y1[,mask,ignore]``, or keras-retinanet's ``path,x1,y1,x2,y2,class``. An image repeats
    its row for every further box or mask; cells of boxes may be empty, or ``nan``. A first column with the numbers of
    rows, as pandas writes it, is left out.

    Args:
        path: The table.
        problems: Where bad rows go.
        split: Split that is asked for, '' for all.
        classes: Names of classes, where they are known.

    Returns:
        The records, and 'xyxy', 'xywh' or 'cxcywh' where names of columns say what boxes are, else None.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty or no table, or a column is missing, unknown or comes twice.
    """
    text = read_text(path, strict=False)
    lines = list(split_rows(path, text, problems))
    if not lines and not problems.count:
        raise ValueError(f"list file '{path}' is empty: its columns are {WANTED}")
    layout, header, lines = _find_layout(path, lines) if lines else (None, None, lines)
    if layout is None or not lines:
        raise ValueError(problems.first[0] if problems.first else f"list file '{path}' has a header and no rows")
    if header is None and layout.split < layout.label:
        _check_splits(lines, layout, split, classes)
    if ";" in text.partition("\n")[0]:  # as in countries where 1.000 is a thousand
        _check_thousands(lines, layout)
    headers = 0
    records: dict[tuple[str, str], Record] = {}
    for source, row in lines:
        if row == header:
            headers += 1  # of files that were put together
            continue
        if len(row) != layout.width:
            while len(row) not in layout.lengths and not row[-1]:
                row.pop()  # separators at the end
            if len(row) not in layout.lengths:
                img_id = clean_path(row[layout.path]) if layout.path < len(row) else None
                problems.add(source, f"expected '{layout.wanted}': {','.join(row)!r}", img_id)
                continue
            row = row + [""] * (layout.width - len(row))
        row.append("")
        _add_row(records, row, layout, source, problems)
    if headers:
        print_log(plain(f"'{path}': the header comes {headers + 1} times, as of tables put together"), "current")
    _drop_headers(records, problems)
    return list(records.values()), layout.box_format


def _check_splits(lines: list[tuple[str, list[str]]], layout: Layout, split: str, classes: Collection[str]) -> None:
    """Raise ``ValueError`` if rows without a header hardly are path, split, label, and so on."""
    found = bool(split) and any(len(row) > 2 and row[layout.split] == split for _, row in lines)
    for source, row in lines:
        if len(row) < 3:
            continue
        second, third = row[layout.split], row[layout.label]
        if is_split(second) or second == split:
            continue
        if second in classes or (not found and parse_number(third) is not None):
            raise ValueError(
                f"{source}: without a header the columns are {WANTED}: is {second!r} a split and {third!r} a class? "
                "Write the names of the columns into the first line"
            )


def _check_thousands(lines: list[tuple[str, list[str]]], layout: Layout) -> None:
    """Raise ``ValueError`` if points of boxes can stand for thousands: '1.000' where others are whole, without one."""
    cells = [(source, row[column]) for source, row in lines for column in layout.box if column < len(row)]
    pointed = [(source, cell) for source, cell in cells if "." in cell]
    whole = any(cell.isdecimal() and cell.strip("0") for _, cell in cells)
    if whole and pointed and all(_THOUSANDS.fullmatch(cell) for _, cell in pointed):
        source, cell = pointed[0]
        message = f"{source}: {cell!r} may be a thousand, or not, beside whole numbers: write "
        raise ValueError(f"{message}{cell.replace('.', '')} or {float(cell)}")


def _drop_headers(records: dict[tuple[str, str], Record], problems: Problems) -> None:
    """Note headers among the rows, which look like the image 'path' of class 'label'."""
    for key in [key for key in records if "." not in key[0] and column_meaning(key[0]) == "path"]:
        record = records[key]
        names = (record.img_id, str(record.label))
        if column_meaning(names[1]) is not None:
            message = f"a header among the rows, {', '.join(names)}: files put together need the same columns, and "
            problems.add(record.source, message + "one header", record.img_id)
            del records[key]


def _add_row(
    records: dict[tuple[str, str], Record], row: list[str], layout: Layout, source: str, problems: Problems
) -> None:
    img_id, split, label = clean_path(row[layout.path]), row[layout.split], row[layout.label]
    if not img_id or img_id in NO_NUMBER:
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
    if not NO_NUMBER.issuperset(fields):
        record.add_box(fields, source, problems)
    listed = [row[column] for column in layout.size]
    if not NO_NUMBER.issuperset(listed):
        size = parse_size(listed)
        if size is None or record.size not in (None, size):
            message = f"the size of image '{img_id}' must be the same two whole numbers of pixels in each of its rows"
            problems.add(source, f"{message}, found {','.join(listed)!r}", img_id)
        record.size = size
    record.add_mask(row[layout.mask], row[layout.ignore], source, problems)


def split_rows(path: str, text: str, problems: Problems) -> Iterator[tuple[str, list[str]]]:
    """Yield (file:line, fields) of the rows that are not empty."""
    whole, quoted = is_text(text), '"' in text
    said = _SEPARATOR_LINE.match(text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=said[1] if said else _delimiter(text))
    try:
        if said:
            next(rows)
        for row in rows:
            fields = [_SINGLE_QUOTES.sub(r"\1", field.strip()) for field in row]
            if not any(fields):
                continue
            source = f"{path}:{rows.line_num}"
            if quoted and ("\n" in "".join(fields) or row[-1].endswith("\n")):
                problems.add(source, f"a quotation mark is not closed: {fields[0][:60]!r}")
            elif not whole and not is_text("".join(fields)):
                problems.add(source, f"the row is not UTF-8 text: {','.join(fields)!r}; save the file as UTF-8")
            else:
                yield source, fields
    except csv.Error as error:
        raise ValueError(f"list file '{path}:{rows.line_num}' is no CSV text: {error}") from error


def _delimiter(text: str) -> str:
    """Return what separates the fields of the first lines: comma, semicolon, tab or '|'.

    That is what gives a header of known names, else rows that begin with an image, else the most fields.
    """
    start = [line for line in text[:20000].split("\n")[:20] if line.strip()]
    if text[:20000] != text and len(start) > 1:
        start = start[:-1]  # it may be cut
    scores = {}
    for delimiter in ",;\t|":
        rows = [[field.strip(" '\"") for field in line.split(delimiter)] for line in start]
        names = sum(column_meaning(name) is not None for name in rows[0]) if rows else 0
        images = sum(len(row) > 1 and (_is_image(row[0]) or _has_index(row)) for row in rows)
        scores[delimiter] = (names if names > 1 else 0, images, min(map(len, rows), default=0))
    return max(scores, key=lambda delimiter: scores[delimiter])  # the first of equals


def _find_layout(
    path: str, lines: list[tuple[str, list[str]]]
) -> tuple[Layout, list[str] | None, list[tuple[str, list[str]]]]:
    """Return the layout, the header or None, and the rows below it."""
    source, first = lines[0]
    if _is_header(first):
        return named_layout(source, first, [row for _, row in lines[1:]]), first, lines[1:]
    for place, row in lines[1:6]:
        if _is_header(row):
            raise ValueError(f"{place}: the header is not in the first line: remove what is before it, {first[0]!r}")
    numbers = any(number_of(field) is not None for field in first)
    if all(len(row) == 1 for _, row in lines):
        raise ValueError(
            f"{source}: expected '{WANTED}', a header of such names or a row, separated by comma, semicolon, tab or "
            f"'|'; nothing separates the fields of {first[0][:80]!r}"
        )
    if len(lines) > 1 and not numbers and not _is_image(first[0]) and _is_image(lines[1][1][0]):
        raise ValueError(f"{source}: a header with unknown columns, {','.join(first)!r}: name them {WANTED}")
    if all(_has_index(row) for _, row in lines):
        lines = [(source, row[1:]) for source, row in lines]
    if all(len(row) == 6 for _, row in lines) and any(row[5] for _, row in lines):
        if any(number_of(row[5]) is not None for _, row in lines):
            raise ValueError(
                f"{source}: 6 columns and no header may be 'path,x1,y1,x2,y2,class' or 'path,label,x0,y0,x1,y1': "
                "write the names of the columns into the first line"
            )
        layout = Layout(0, 6, 5, (1, 2, 3, 4), (), 6, 6, 6, None, frozenset({6}), "path,x1,y1,x2,y2,class")
        return layout, None, lines
    layout = Layout(0, 1, 2, (3, 4, 5, 6), (), 7, 8, 9, None, frozenset({3, 7, 8, 9}), WANTED)
    return layout, None, lines


def _is_header(row: list[str]) -> bool:
    """Return whether a row names columns."""
    return sum(bool(column_meaning(field)) for field in row) > 1 and all(number_of(field) is None for field in row)


def _is_image(text: str) -> bool:
    return text.lower().endswith(IMG_EXTENSIONS)


def _has_index(row: list[str]) -> bool:
    """Return whether a row begins with a number, as pandas writes it, and then an image."""
    return len(row) > 1 and row[0].isdecimal() and _is_image(row[1])
