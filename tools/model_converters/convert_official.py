"""Convert the weights of an official release to an mmwsol checkpoint."""

import argparse
import sys


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
    from mmwsol.files import write_torch
    from mmwsol.models.weights import read_weights, unwrap
    from mmwsol.utils import convert_official

    try:
        state_dict = convert_official(read_weights(args.src)[1], args.source)
        if args.onto:
            state_dict = {**unwrap(read_weights(args.onto)[1]), **state_dict}
        write_torch(args.dst, dict(state_dict=state_dict, meta=dict(converted_from=args.source)))
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(f"Wrote {len(state_dict)} tensors to {args.dst}.")


if __name__ == "__main__":
    main()
