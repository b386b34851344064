"""Convert the weights of an official release to an mmwsol checkpoint."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("src", help="file of the release")
    parser.add_argument("dst", help="checkpoint to write (.pth)")
    parser.add_argument("--source", required=True, help="release: deit, conformer, tscam, ...; a wrong name lists all")
    parser.add_argument(
        "--onto", metavar="PTH", help="mmwsol checkpoint whose other weights are written too, for releases in parts"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    import torch
    from mmengine.runner import CheckpointLoader

    from mmwsol import registry  # noqa: F401  (loads checkpoints of torch >= 2.6 safely)
    from mmwsol.utils import convert_official

    state_dict = convert_official(CheckpointLoader.load_checkpoint(args.src, map_location="cpu"), args.source)
    if args.onto:
        state_dict = {**CheckpointLoader.load_checkpoint(args.onto, map_location="cpu")["state_dict"], **state_dict}
    torch.save(dict(state_dict=state_dict, meta=dict(converted_from=args.source)), args.dst)
    print(f"Wrote {len(state_dict)} tensors to {args.dst}.")


if __name__ == "__main__":
    main()
