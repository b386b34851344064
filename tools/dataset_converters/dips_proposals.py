"""Convert the proposals of the official DiPS code, a pickle of all images, to a cache for mmwsol.LoadProposals.

Only dicts, lists, numbers, strings and numpy arrays are unpickled; a file with anything else is refused, since
unpickling runs code. Give the result as cache_dir of mmwsol.LoadProposals, and leave the stage that writes proposals
out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

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
) -> int:
    """Write a file per image and the manifest; return the number of images.

    Raises:
        ValueError: If an entry lacks its boxes, or has another number of them than of maps.
    """
    from mmwsol.datasets.offline_cache import MANIFEST, cache_file
    from mmwsol.methods.dips.proposals import SUFFIX, Proposals

    out_dir = Path(out_dir)
    for name, entry in entries.items():
        try:
            boxes = np.asarray(entry["lst_newbbox_topn"], np.float64).reshape(-1, 4)
            maps = np.asarray(entry["lst_best_head_topn_index"], np.int64).ravel()
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the entry of image '{name}' has no lists of boxes and maps: {error!r}") from error
        if len(boxes) != len(maps):
            raise ValueError(f"image '{name}' has {len(boxes)} boxes and {len(maps)} maps")
        path = cache_file(out_dir, name.removeprefix(prefix), SUFFIX)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Proposals(boxes, maps, np.full(len(boxes), np.nan)).encode())
    params = dict(map_set=map_set)
    manifest = dict(version=1, writer="official DiPS", suffix=SUFFIX, params=params, num_images=len(entries))
    manifest["complete"] = True  # without a list of failed images: the pickle has none, and may lack some
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / MANIFEST).write_text(json.dumps(manifest, indent=1))
    return len(entries)


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
        number = convert(read_official(args.src), args.out_dir, args.prefix, args.map_set)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    example = next(Path(args.out_dir).rglob("*.npz")).relative_to(args.out_dir).with_suffix("")
    print(f"Wrote the proposals of {number} images to {args.out_dir}; img_id of one, without suffix: '{example}'.")


if __name__ == "__main__":
    main()
