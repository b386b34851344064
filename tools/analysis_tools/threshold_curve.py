"""Plot accuracy against the threshold: BoxAcc per IoU threshold, GT-known and Top-k Loc, of one or several results.

Each input is a results file of `eval_maps.py --out` or `tools/test.py --out`, an npz of curves that these or this tool
wrote, or a folder or npz of maps (then give `--meta`). One panel a protocol, one color an input. Writes OUT.png and
OUT.npz, arrays 'INPUT/PROTOCOL/NAME'.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

Curves = dict[str, dict[str, dict[str, Any]]]  # input -> protocol -> name -> array


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", help="results files (.json, .pkl), curves (.npz), or maps")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="names of the inputs; default: from the files")
    parser.add_argument("--protocol", nargs="+", metavar="NAME", help="protocols to plot; default: all that are there")
    parser.add_argument("--out", default="threshold_curve", help="path of the picture and arrays, without extension")
    parser.add_argument("--meta", help="ground truth of maps, see eval_maps.py")
    parser.add_argument("--split", default="", help="split of --meta")
    parser.add_argument("--scores", metavar="FILE", help="class scores of the maps, for Top-k")
    parser.add_argument("--frame", nargs="+", type=int, metavar="SIDE", help="evaluation frame of maps")
    parser.add_argument("--ignore-extra-maps", action="store_true", help="maps may belong to no image of the list")
    return parser.parse_args()


def read_curves(path: str, args: argparse.Namespace) -> Curves:
    """Return the curves of one path; an npz of this tool can hold several inputs."""
    stems = [Path(other).stem for other in args.inputs]
    name = Path(path).stem
    if stems.count(name) > 1:  # a sweep calls all files results.json
        name = Path(path).with_suffix("").as_posix()
    if args.meta:
        return {name: evaluate(path, args)}
    if path.endswith((".json", ".pkl")):
        from mmwsol.evaluation.results_file import load_results

        results = load_results(path)
        if not results["curves"]:
            raise ValueError(f"'{path}' holds no curves: evaluate again, with eval_maps.py or tools/test.py --out")
        return {name: named_curves(results)}
    if not (path.endswith(".npz") and Path(path).is_file()):
        raise ValueError(f"'{path}' is neither a .json or .pkl nor an npz file of curves: for maps, give --meta")
    curves_of: Curves = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            source, _, rest = key.rpartition("/")[0].rpartition("/")  # tools/test.py writes no INPUT
            if not rest:
                raise ValueError(f"'{path}' is no npz of curves (key '{key}'): for maps, give --meta")
            curves_of.setdefault(source or name, {}).setdefault(rest, {})[key.rpartition("/")[2]] = file[key]
    return curves_of


def named_curves(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the curves of a results file, each with the name of its protocol under 'protocol_name'."""
    names = {title: protocol["name"] for title, protocol in results["protocol"].items() if "name" in protocol}
    return {title: {**curve, "protocol_name": names.get(title, "")} for title, curve in results["curves"].items()}


def evaluate(path: str, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the curves of maps."""
    from mmwsol.evaluation.map_evaluation import evaluate_files
    from mmwsol.evaluation.protocols import get_protocol
    from mmwsol.utils.progress import track

    protocols = args.protocol or ("wsol_v1", "wsol_v2")
    results = evaluate_files(
        path,
        args.meta,
        protocols,
        None if all(get_protocol(name).searches for name in protocols) else "best",
        frame=(args.frame[0], args.frame[-1]) if args.frame else None,
        scores=args.scores,
        ignore_extra_maps=args.ignore_extra_maps,
        progress=lambda batches: track(batches, "Evaluation", len(batches), stream=sys.stderr),
        split=args.split,
    )
    return named_curves(results)


def lines(curve: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the accuracies (T,) of a curve by their label; other arrays, and values at no threshold, are left out."""
    labels: dict[str, np.ndarray] = {}
    if not np.isfinite(np.asarray(curve.get("threshold", np.nan), np.float64)).all():
        return labels  # older results files have NaN for the threshold of a model that does not tell it
    for name, values in curve.items():
        if name == "gt_known" or name.startswith("top"):
            labels[name.replace("gt_known", "GT-known").replace("top", "Top-")] = np.asarray(values)
        elif name in ("single", "multi"):
            for iou_thr, row in zip(curve["iou_thr"], values, strict=True):
                labels[f"BoxAcc@{iou_thr:g}, {'largest' if name == 'single' else 'all contours'}"] = np.asarray(row)
    return labels


def panel_title(title: str, curve: dict[str, Any]) -> str:
    """Say in words what a curve shows: the kind of accuracy, the protocol, and what tells metrics of a kind apart."""
    parts = ["Box accuracy" if "single" in curve else "Localization accuracy"]
    name = protocol_name(curve)
    rest = title.replace("LocAccuracy", "").replace("MaxBoxAcc", "").strip("_")  # the prefix, or the protocol
    return ", ".join(parts + [f"protocol {name}"] * bool(name) + [rest] * (rest not in ("", name)))


def protocol_name(curve: dict[str, Any]) -> str:
    """Return the protocol of a curve, '' if the file does not tell it."""
    return str(curve.get("protocol_name", ""))


def panels_of(curves: Curves, wanted: list[str] | None) -> dict[str, list[tuple[str, str]]]:
    """Gather what one panel shows, (input, metric), by its title: the same accuracy under the same protocol.

    Raises:
        ValueError: If there is nothing to plot, or not what is wanted: protocols or metrics.
    """
    panels: dict[str, list[tuple[str, str]]] = {}
    known: dict[str, None] = {}
    found: set[str] = set()
    for source, by_title in curves.items():
        for title, curve in by_title.items():
            if not lines(curve):
                continue
            names = [name for name in (protocol_name(curve), title) if name]
            known |= dict.fromkeys(names)
            if wanted is None or not set(wanted).isdisjoint(names):
                found |= set(names)
                panels.setdefault(panel_title(title, curve), []).append((source, title))
    if not known:
        raise ValueError("the inputs hold no curves of accuracy against the threshold (BoxAcc, GT-known, Top-k Loc)")
    unknown = [name for name in wanted or () if name not in found]
    if unknown:
        raise ValueError(f"no curves of protocol {unknown[0]!r}; there are those of {list(known)}")
    return panels


def plot(curves: Curves, panels: dict[str, list[tuple[str, str]]], file: Path) -> None:
    """Draw one panel a protocol; inputs differ in color, accuracies in line style."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from mmwsol.files import writing

    styles = ["-", "--", ":", "-.", (0, (1, 4)), (0, (6, 1, 1, 1)), (0, (8, 4))]
    figure, axes = plt.subplots(1, len(panels), figsize=(6.5 * len(panels), 5), squeeze=False)
    for axis, (panel, shown) in zip(axes[0], panels.items(), strict=True):
        for source, title in shown:
            curve = curves[source][title]
            number = list(curves).index(source)
            for line, (label, values) in enumerate(lines(curve).items()):
                thresholds, best = np.asarray(curve["threshold"]), int(values.argmax())
                text = f"{label}: {values[best]:.2f} at {thresholds[best]:g}"
                axis.plot(
                    thresholds,
                    values,
                    marker="o" if len(values) == 1 else None,
                    color=f"C{number}",
                    linestyle=styles[line % len(styles)],
                    label=f"{source}, {text}" if len(curves) > 1 else text,
                )
        axis.set(
            title=panel,
            xlabel="threshold",
            ylabel="accuracy in percent",
            xlim=(0, 1),
            ylim=(0, 101),
        )
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    figure.tight_layout()
    with writing(file) as part:
        figure.savefig(part, dpi=150)
    plt.close(figure)


def main() -> None:
    args = parse_args()
    try:
        curves: Curves = {}
        for path in args.inputs:
            for name, by_protocol in read_curves(path, args).items():
                if name in curves and not args.names:
                    raise ValueError(f"two inputs are called '{name}': tell them apart with --names")
                curves[f"{name}#{len(curves)}" if args.names else name] = by_protocol
        if args.names:
            if len(args.names) != len(curves) or len(set(args.names)) < len(curves):
                raise ValueError(f"--names needs {len(curves)} different names, got {args.names}")
            curves = dict(zip(args.names, curves.values(), strict=True))
        panels = panels_of(curves, args.protocol)
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    out = Path(args.out)
    png, npz = (out.with_name(out.name + suffix) for suffix in (".png", ".npz"))
    arrays = {
        f"{source.replace('/', '_')}/{title}/{name}": np.asarray(values)
        for shown in panels.values()
        for source, title in shown
        for name, values in curves[source][title].items()
    }
    from mmwsol.files import writing

    try:
        plot(curves, panels, png)
        with writing(npz) as part:
            np.savez_compressed(part, **arrays)
    except OSError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(f"{len(panels)} panel(s) of {len(curves)} input(s) are plotted in {png}; arrays in {npz}.")


if __name__ == "__main__":
    main()
