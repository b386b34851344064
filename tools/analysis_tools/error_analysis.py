"""Where localization goes wrong: kinds of errors of a results file, overall and per class, and the worst cases.

The file is one of `tools/test.py --out` or of `eval_maps.py --out`. Kinds: right; cls (wrong class); multi_instance
(one box over several objects); part (the box lies in the object); more (it holds the object and much else); wrong.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", help="results file, .json or .pkl")
    parser.add_argument("--protocol", metavar="NAME", help="protocol or metric; default: the first with boxes")
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help="class names in the order of the labels, one a line, in place of those in the file",
    )
    parser.add_argument("--worst-classes", type=int, default=10, metavar="N", help="classes to print, worst first")
    parser.add_argument("--out", metavar="FILE.csv", help="write the table of all classes")
    parser.add_argument("--show-dir", metavar="DIR", help="draw the worst cases of every kind to this folder")
    parser.add_argument("--number", type=int, default=8, metavar="N", help="pictures per kind; default 8")
    parser.add_argument("--image-root", metavar="DIR", help="image folder, if the file's own paths do not lead there")
    return parser.parse_args()


def tables(images: Sequence[Any], kinds: Sequence[str]) -> list[tuple[int | None, int, dict[str, float], float]]:
    """Return (class or None for all, images, percent by kind, mean IoU): all classes, then from worst to best."""
    groups: dict[int | None, list] = {None: list(images)}
    for outcome in images:
        groups.setdefault(outcome.gt_label, []).append(outcome)
    rows = []
    for label, group in groups.items():
        counts = Counter(outcome.error for outcome in group)
        share = {kind: 100.0 * counts[kind] / len(group) for kind in kinds}
        rows.append((label, len(group), share, sum(outcome.iou for outcome in group) / len(group)))
    return rows[:1] + sorted(rows[1:], key=lambda row: (row[2]["right"], row[3], row[0]))


def class_name(names: Sequence[str], label: int) -> str:
    """Return the name of a class, its number where it has none."""
    return names[label] if label < len(names) else str(label)


def draw_worst(
    images: Sequence[Any], kinds: Sequence[str], names: Sequence[str], number: int, folder: Path, image_root: str | None
) -> int:
    """Draw the images of lowest IoU of every kind of error; return how many."""
    from mmwsol.evaluation.results_file import read_picture
    from mmwsol.visualization import draw_outcome, picture_name, write_picture
    from mmwsol.visualization.draw import PRED_COLOR

    drawn = 0
    for kind in kinds:
        worst = sorted((o for o in images if o.error == kind), key=lambda o: (o.iou, o.img_id))[:number]
        for rank, o in enumerate(worst if kind != "right" else ()):
            caption = f"{kind} | IoU {o.iou:.2f} | class {class_name(names, o.gt_label)}"
            if o.pred_label is not None:
                caption += f", predicted {class_name(names, o.pred_label)}"
            picture = draw_outcome(read_picture(o, image_root), o.gt_bboxes, [o.bbox], [PRED_COLOR], caption)
            write_picture(folder / f"{kind}_{rank:03d}_{picture_name(o.img_id)}.jpg", picture[:, :, ::-1])
            drawn += 1
    return drawn


def analyze(args: argparse.Namespace) -> None:
    from mmwsol.evaluation.functional import ERROR_TYPES
    from mmwsol.evaluation.results_file import choose_protocol, load_results, outcomes
    from mmwsol.files import write_text

    results = load_results(args.results)
    protocol = choose_protocol(results, args.protocol)
    images = outcomes(results, protocol)
    if images[0].error is None:
        raise ValueError(f"protocol '{protocol}' scores several boxes an image: choose one with a single box")
    given = Path(args.classes).read_text(encoding="utf-8").splitlines() if args.classes else None
    names = results.get("classes") or [] if given is None else given
    rows = tables(images, ERROR_TYPES)

    name = results["protocol"][protocol].get("name", protocol)
    print(f"{args.results}, protocol {name}: {len(images)} images with boxes; percent of them")
    if results["class_scores"] != "given":
        print(f"class scores: {results['class_scores']}")
    print(f"{'class':<24} {'images':>7} " + " ".join(f"{kind:>14}" for kind in ERROR_TYPES) + f" {'mean IoU':>9}")
    for label, number, share, iou in rows[: 1 + args.worst_classes]:
        name = "all" if label is None else class_name(names, label)
        print(f"{name[:24]:<24} {number:>7} " + " ".join(f"{share[k]:>14.2f}" for k in ERROR_TYPES) + f" {iou:>9.4f}")
    if args.out:
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow(["class", "images", *ERROR_TYPES, "mean_iou"])
        for label, number, share, iou in rows:
            writer.writerow(["all" if label is None else label, number, *share.values(), iou])
        write_text(args.out, table.getvalue())
        print(f"The table of {len(rows) - 1} classes is written to {args.out}.")
    if args.show_dir:
        drawn = draw_worst(images, ERROR_TYPES, names, args.number, Path(args.show_dir), args.image_root)
        print(f"{drawn} pictures are drawn in {args.show_dir}: ground truth green, prediction red.")


def main() -> None:
    args = parse_args()
    try:
        analyze(args)
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
