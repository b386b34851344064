"""Evaluate localization maps that any program stored as files, under one or several protocols.

Example: eval_maps.py maps/ metadata/CUB/test --protocol wsol_v1 wsol_v2 tscam --threshold 0.1 --out results.json
"""

from __future__ import annotations

import argparse
import sys
from typing import Any


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("maps", help="folder of .npz/.npy/.png, one file an image, or one npz with all maps")
    parser.add_argument("meta", help="ground truth: folder with wsolevaluation's four files, a CSV, or COCO json")
    parser.add_argument("--split", default="", help="split of the ground truth, where it has several")
    parser.add_argument("--scores", metavar="FILE", help="class scores (.npz or .csv), for Top-k")
    parser.add_argument(
        "--protocol", nargs="+", default=["wsol_v1", "wsol_v2"], metavar="NAME", help="default: wsol_v1 wsol_v2"
    )
    parser.add_argument(
        "--threshold",
        metavar="T",
        help="for protocols with one threshold: a number, CUB or ILSVRC (the published one), or 'best' on this set",
    )
    parser.add_argument(
        "--iou-thrs",
        nargs="+",
        type=float,
        default=[0.3, 0.5, 0.7],
        help="of MaxBoxAcc; default: .3 .5 .7",
    )
    parser.add_argument(
        "--frame",
        nargs="+",
        type=int,
        metavar="SIDE",
        help="evaluation frame, side or H W; default: that of a dump, else 224",
    )
    parser.add_argument("--masks", metavar="DIR", help="folder of the mask files that the list names: adds PxAP, pIoU")
    parser.add_argument("--image-root", metavar="DIR", help="image folder, for sizes the list lacks and for pictures")
    parser.add_argument(
        "--image-size", nargs=2, type=int, metavar=("W", "H"), help="size of all images, where nothing else tells"
    )
    parser.add_argument("--classes", metavar="FILE", help="class names in the order of the labels, one a line")
    parser.add_argument(
        "--box-format",
        choices=["xyxy", "xywh", "xyxy_norm", "xywh_norm", "cxcywh_norm"],
        help="default: that of the list",
    )
    parser.add_argument(
        "--bad-maps", choices=["error", "zero"], default="error", help="constant maps and NaN; default: error"
    )
    parser.add_argument("--ignore-extra-maps", action="store_true", help="maps may belong to no image of the list")
    parser.add_argument("--out", metavar="FILE.json", help="write metrics, protocols, curves and per-image boxes")
    args = parser.parse_args()
    if args.frame and len(args.frame) > 2:
        parser.error(f"--frame takes a side, or H W, got {args.frame}")
    if args.out and not args.out.endswith(".json"):
        parser.error(f"--out must end in .json, got '{args.out}'")
    return args


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate as the command line says, with a bar on anything that takes long."""
    from mmwsol.evaluation.map_evaluation import evaluate_files
    from mmwsol.evaluation.protocols import parse_threshold
    from mmwsol.utils.progress import track

    classes = None
    if args.classes:
        from mmwsol.datasets.readers import read_lines

        classes = [text for _, text in read_lines(args.classes, "give the file of class names")]
    return evaluate_files(
        args.maps,
        args.meta,
        args.protocol,
        None if args.threshold is None else parse_threshold(args.threshold),
        args.iou_thrs,
        (args.frame[0], args.frame[-1]) if args.frame else None,
        args.scores,
        args.bad_maps,
        args.ignore_extra_maps,
        keep=bool(args.out),
        progress=lambda batches: track(batches, "Evaluation", len(batches), stream=sys.stderr),
        split=args.split,
        image_root=args.image_root,
        image_size=tuple(args.image_size) if args.image_size else None,
        mask_root=args.masks,
        classes=classes,
        box_format=args.box_format,
    )


def main() -> None:
    args = parse_args()
    try:
        results = evaluate(args)
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    if results["num_zeroed_maps"]:
        print(f"\n{results['num_zeroed_maps']} constant or NaN maps were scored as empty.")
    print()
    width = max(map(len, results["metrics"]))
    for key, value in results["metrics"].items():
        print(f"{key:<{width}}  {value:.4f}")
    if args.out:
        from mmwsol.evaluation.results_file import save_results

        try:
            save_results(results, args.out)
        except OSError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        print(f"\nResults of {len(results['predictions'])} images are written to {args.out}.")


if __name__ == "__main__":
    main()
