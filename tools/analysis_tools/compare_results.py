"""Compare two results files image by image: what B wins and loses against A.

Both are files of `tools/test.py --out` or of `eval_maps.py --out`, of the same images under the same protocol; only the
threshold may differ. The interval of a difference is a paired bootstrap over the images (10,000 resamples, 2.5 to 97.5
percent): it tells what other images of the same kind could give, not what another seed of the training could.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESAMPLES = 10_000


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", help="results file of the baseline, .json or .pkl")
    parser.add_argument("b", help="results file to compare with it")
    parser.add_argument("--protocol", metavar="NAME", help="protocol or metric; default: the first of A that B has")
    parser.add_argument("--number", type=int, default=10, metavar="N", help="wins and losses to list and draw")
    parser.add_argument("--out", metavar="FILE.csv", help="write IoUs and hits of every image")
    parser.add_argument("--show-dir", metavar="DIR", help="draw the largest wins and losses to this folder")
    parser.add_argument("--image-root", metavar="DIR", help="image folder, if the files' own paths do not lead there")
    return parser.parse_args()


def paired(args: argparse.Namespace) -> tuple[list[tuple[Any, Any]], str, float, list[str]]:
    """Return the outcomes of every image in both files, the protocol, its IoU threshold, and both box thresholds.

    Raises:
        ValueError: If protocols, images or ground truth differ.
    """
    from mmwsol.evaluation.results_file import choose_protocol, load_results, outcomes

    both = [load_results(path) for path in (args.a, args.b)]
    wanted = args.protocol
    if wanted is None:  # the first of A that B has, too
        names = [[results["protocol"][title]["name"] for title in evaluated(results)] for results in both]
        wanted = next((name for name in names[0] if name in names[1]), None)
    titles = [choose_protocol(both[0], wanted)]
    # The same metric under the same title, or under another one of the same protocol.
    protocol = both[0]["protocol"][titles[0]]["name"]
    known = both[1]["protocol"].get(titles[0], {}).get("name") == protocol
    try:
        titles.append(choose_protocol(both[1], titles[0] if known else protocol))
    except ValueError as error:
        raise ValueError(f"'{args.b}': {error}") from error
    rules = [results["protocol"][title] for results, title in zip(both, titles, strict=True)]
    for key in sorted({*rules[0], *rules[1]} - {"threshold", "prefix"}):
        if as_plain(rules[0].get(key)) != as_plain(rules[1].get(key)):
            raise ValueError(
                f"protocol '{protocol}' differs in {key}: {rules[0].get(key)} in '{args.a}', {rules[1].get(key)} in "
                f"'{args.b}'. Evaluate both under one protocol"
            )
    a, b = ({o.img_id: o for o in outcomes(results, title)} for results, title in zip(both, titles, strict=True))
    only = [sorted(a.keys() - b.keys()), sorted(b.keys() - a.keys())]
    if only[0] or only[1]:
        example = f"'{only[0][0]}' only in A" if only[0] else f"'{only[1][0]}' only in B"
        raise ValueError(f"the files are of different images: {len(only[0])} only in A, {len(only[1])} only in B, "
                         f"e.g. {example}")  # fmt: skip
    for img_id, o in a.items():
        if o.gt_label != b[img_id].gt_label or o.gt_bboxes.tolist() != b[img_id].gt_bboxes.tolist():
            raise ValueError(f"image '{img_id}' has other ground truth in the two files")
    iou_thr = float(rules[0].get("iou_thr", 0.5))
    pairs = [(o, b[img_id]) for img_id, o in a.items()]
    return pairs, protocol, iou_thr, [str(rule["threshold"]) for rule in rules]


def evaluated(results: dict[str, Any]) -> list[str]:
    """Return the titles of the metrics that have a box per image."""
    return list(results["predictions"][0]["evaluated"]) if results["predictions"] else []


def as_plain(value: Any) -> Any:
    """Return tuples as lists: JSON has no tuples, pickle has."""
    if isinstance(value, dict):
        return {key: as_plain(item) for key, item in value.items()}
    return [as_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def compare(args: argparse.Namespace) -> None:
    import numpy as np

    from mmwsol.files import write_text

    pairs, protocol, iou_thr, thresholds = paired(args)
    iou = np.array([[a.iou, b.iou] for a, b in pairs])
    hit = iou >= iou_thr
    change = iou[:, 1] - iou[:, 0]
    print(f"A: {args.a} (threshold {thresholds[0]})\nB: {args.b} (threshold {thresholds[1]})")
    print(f"protocol {protocol}, {len(pairs)} images with boxes, hit: IoU >= {iou_thr:g}")
    shares = {"hits, percent": hit}
    if all(o.pred_label is not None for pair in pairs for o in pair):
        top1 = np.array([[o.pred_label == o.gt_label for o in pair] for pair in pairs])
        shares |= {"class right, percent": top1, "class right and hit": top1 & hit}
    print(f"{'':<24} {'A':>10} {'B':>10} {'B - A':>10}   95 % interval")
    for name, right in shares.items():
        (first, second), (low, high) = 100 * right.mean(axis=0), interval(right)
        print(f"{name:<24} {first:>10.4f} {second:>10.4f} {second - first:>+10.4f}   {low:+.2f} to {high:+.2f}")
    for name, (first, second) in {"mean IoU": iou.mean(axis=0), "median IoU": np.median(iou, axis=0)}.items():
        print(f"{name:<24} {first:>10.4f} {second:>10.4f} {second - first:>+10.4f}")
    gained, lost = ~hit[:, 0] & hit[:, 1], hit[:, 0] & ~hit[:, 1]
    print(f"hits gained {gained.sum()}, lost {lost.sum()}, in both {hit.all(axis=1).sum()}, ", end="")
    print(
        f"in neither {(~hit).all(axis=1).sum()}; IoU higher {(change > 0).sum()}, lower {(change < 0).sum()}, ", end=""
    )
    print(f"equal {(change == 0).sum()}")

    order = np.argsort(change, kind="stable")
    chosen = {
        "wins": [i for i in order[::-1].tolist() if change[i] > 0][: args.number],
        "losses": [i for i in order.tolist() if change[i] < 0][: args.number],
    }
    for name, indices in chosen.items():
        print(f"\nLargest {name}:")
        for i in indices:
            what = "hit gained" if gained[i] else "hit lost" if lost[i] else ""
            print(f"{change[i]:>+8.4f}  {iou[i, 0]:.4f} -> {iou[i, 1]:.4f}  {pairs[i][0].img_id}  {what}".rstrip())
    if args.out:
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow(["img_id", "iou_a", "iou_b", "iou_change", "hit_a", "hit_b"])
        for i, (a, _) in enumerate(pairs):
            writer.writerow([a.img_id, *iou[i].tolist(), change[i], *hit[i].astype(int).tolist()])
        write_text(args.out, table.getvalue())
        print(f"\n{len(pairs)} images are written to {args.out}.")
    if args.show_dir:
        drawn = draw(pairs, chosen, Path(args.show_dir), args.image_root)
        print(f"\n{drawn} pictures are drawn in {args.show_dir}: ground truth green, A blue, B red.")


def interval(right: Any) -> tuple[float, float]:
    """Return the 95 % interval, in percent, of the difference of two shares of right answers (N, 2) of the same images.

    An image counts -1, 0 or 1, so that a resample is three numbers: how many images of each kind it has.
    """
    import numpy as np

    change = right[:, 1].astype(int) - right[:, 0]
    kinds = np.array([-1, 0, 1])
    share = (change[:, None] == kinds).mean(axis=0)
    resamples = np.random.default_rng(0).multinomial(len(change), share, size=RESAMPLES) @ kinds
    low, high = np.percentile(100 * resamples / len(change), [2.5, 97.5])
    return float(low), float(high)


def draw(pairs: Sequence[tuple[Any, Any]], chosen: dict[str, list[int]], folder: Path, image_root: str | None) -> int:
    """Draw the chosen images with both boxes; return how many."""
    from mmwsol.evaluation.results_file import read_picture
    from mmwsol.visualization import draw_outcome, picture_name, write_picture
    from mmwsol.visualization.draw import OTHER_COLOR, PRED_COLOR

    for name, indices in chosen.items():
        for rank, i in enumerate(indices):
            a, b = pairs[i]
            caption = f"IoU {a.iou:.2f} -> {b.iou:.2f} | class {a.gt_label}"
            image = read_picture(a, image_root)
            picture = draw_outcome(image, a.gt_bboxes, [a.bbox, b.bbox], [OTHER_COLOR, PRED_COLOR], caption)
            write_picture(folder / f"{name}_{rank:03d}_{picture_name(a.img_id)}.jpg", picture[:, :, ::-1])
    return sum(map(len, chosen.values()))


def main() -> None:
    args = parse_args()
    try:
        compare(args)
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
