"""The rows of one split of a table."""

from __future__ import annotations

import logging

from mmengine.logging import print_log

from mmwsol.datasets.labels import NO_LABEL
from mmwsol.datasets.records import Problems, Record, plain


def select_split(records: list[Record], split: str, path: str, problems: Problems) -> list[Record]:
    """Return the records of ``split``, all for ''.

    Rows without a split, or with one that differs from ``split`` in case only, are bad records. So is an image that has
    another label in another split; with the same label, it is in both, and the log says so.

    Raises:
        ValueError: If the table has no such split.
    """
    names = sorted({record.split for record in records})
    if split and split not in names:
        if names == [""]:
            raise ValueError(f"'{path}' lists no splits, so none is {split!r}: leave split out")
        raise ValueError(f"'{path}' has no split {split!r}; it has {names}")
    if not split or len(names) < 2:
        return records
    chosen = {record.img_id: record for record in records if record.split == split}
    shared: list[tuple[Record, Record]] = []
    for record in records:
        mine = chosen.get(record.img_id)
        if record.split in NO_LABEL:
            message = "no split, in a table that has splits: write one into each row"
            problems.add(record.source, message, record.img_id)
        elif record.split != split and record.split.casefold() == split.casefold():
            message = f"split {record.split!r} beside {split!r}: write them alike"
            problems.add(record.source, message, record.img_id)
        elif mine is not None and mine.split != record.split:
            if mine.label == record.label:
                shared.append((mine, record))
                continue
            message = f"'{record.img_id}' is {record.label!r} in split {record.split!r} and {mine.label!r} in "
            problems.add(record.source, f"{message}{mine.split!r} ({mine.source}): correct one", record.img_id)
    if shared:
        mine, record = shared[0]
        print_log(
            plain(
                f"'{path}': {len(shared)} image(s) of split {split!r} are in another split, too, such as "
                f"'{mine.img_id}' ({mine.source}) in {record.split!r} ({record.source})"
            ),
            "current",
            logging.WARNING,
        )
    return [record for record in records if record.split == split]
