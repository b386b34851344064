"""Convert the proposals of the official DiPS code, a pickle of all images, to a cache for mmwsol.LoadProposals.

Only dicts, lists, numbers, strings and numpy arrays are unpickled; a file with anything else is refused, since
unpickling runs code. Give the result as cache_dir of mmwsol.LoadProposals, and leave the stage that writes proposals
out.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mmwsol.methods.dips.proposals import Proposals

_COUNTS = ("area_sucedded_for_n_imgs", "area_sucedded_for_n_imgs_percentage")


def read_official(path: str | Path) -> dict[str, dict]:
    """Return the entries by image.

    Raises:
        ValueError: If the file is no such pickle.
    """
    from mmwsol.plain_pickle import read_plain_pickle

    try:
        content = read_plain_pickle(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"'{path}' is no pickle of plain values and arrays: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"'{path}' holds a {type(content).__name__}, not a dict by image")
    return {name: entry for name, entry in content.items() if name not in _COUNTS}


def convert(
    entries: dict[str, dict], out_dir: str | Path, prefix: str = "", map_set: str = "1_4_heads_and_mean"
) -> str:
    """Write a file per image and the manifest; return the path of the first, without ending, in the folder.

    Nothing is written if an entry is wrong. A run that was broken off leaves a folder that does not count as a cache.

    Raises:
        OSError: If a file cannot be written.
        ValueError: If there is no entry, or one is wrong, or two images would have one file.
    """
    from mmwsol.datasets.offline_cache import cache_files, converted_cache, write_cached
    from mmwsol.methods.dips.proposals import SUFFIX

    for name in entries:
        if not isinstance(name, str):
            raise ValueError(f"the name of an image is {name!r:.40}, not text")
    if not entries:
        raise ValueError("the file holds no images")
    proposals = [read_entry(name, entry) for name, entry in entries.items()]
    paths = cache_files(out_dir, [name.removeprefix(prefix) for name in entries], SUFFIX)
    # without a list of failed images: the pickle has none, and may lack some
    manifest = dict(version=1, writer="official DiPS", suffix=SUFFIX, params=dict(map_set=map_set), prefix=prefix)
    with converted_cache(out_dir, dict(manifest, num_images=len(entries))):
        for path, found in zip(paths, proposals, strict=True):
            write_cached(out_dir, path, found.encode())
    return paths[0].relative_to(out_dir).with_suffix("").as_posix()


def read_entry(name: str, entry: Any) -> Proposals:
    """Return the proposals of an image.

    Raises:
        ValueError: If there are none that could be used.
    """
    from mmwsol.methods.dips.proposals import Proposals, check_proposals

    try:
        boxes = real_numbers(entry["lst_newbbox_topn"]).reshape(-1, 4)
        maps = real_numbers(entry["lst_best_head_topn_index"]).ravel()
        if len(boxes) != len(maps):
            raise ValueError(f"{len(boxes)} boxes and {len(maps)} maps")
        if (maps % 1 != 0).any():
            raise ValueError("the number of a map is not whole")
        with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is found out below
            boxes, maps = boxes.astype(np.float32), maps.astype(np.int64)
        proposals = Proposals(boxes, maps, np.full(len(boxes), np.nan, np.float32))
        check_proposals(proposals)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"the entry of image '{name}' has no lists of boxes and maps: {error!r}") from error
    except ValueError as error:
        raise ValueError(f"the entry of image '{name}' is wrong: {error}") from error
    return proposals


def real_numbers(values: Any) -> np.ndarray:
    """Return an array of float64."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"values of type {array.dtype} in place of numbers, or numbers that are too large")
    return array.astype(np.float64)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("src", help="pickle of the official code")
    parser.add_argument("out_dir", help="folder to write")
    parser.add_argument(
        "--prefix", default="", metavar="TEXT", help="beginning of the image names that the data set's img_id lacks"
    )
    parser.add_argument(
        "--map-set",
        default="1_4_heads_and_mean",
        metavar="NAME",
        help="maps that the boxes were found in, map_set of the head; default: %(default)s, the official one",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        entries = read_official(args.src)
        example = convert(entries, args.out_dir, args.prefix, args.map_set)
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
    print(f"Wrote the proposals of {len(entries)} images to {args.out_dir}; img_id of one, no suffix: '{example}'.")


if __name__ == "__main__":
    main()
