"""Masks of the official LocLoc release: unpack an HDF5 file into one PNG per image.

python tools/dataset_converters/locloc_masks.py locloc_deit-s_cub cub_grabcut_train.h5 data/locloc_masks/cub
"""

from __future__ import annotations

import argparse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="config, or its name, whose training set the file belongs to")
    parser.add_argument("masks", help="HDF5 file of the release")
    parser.add_argument("out", help="folder to write; then set mask_root of both mmwsol.LoadPseudoMask to it")
    args = parser.parse_args()
    from mmwsol.methods.locloc.official_masks import unpack_official_masks
    from mmwsol.registry import DATASETS
    from mmwsol.utils.config import load_config
    from mmwsol.utils.tool_errors import one_line_errors

    with one_line_errors(args.config):
        dataset = dict(load_config(args.config).train_dataloader.dataset, pipeline=[])
        number = unpack_official_masks(args.masks, DATASETS.build(dataset), args.out)
    print(f"Wrote {number} masks to {args.out}.")


if __name__ == "__main__":
    main()
