"""Write the tables of README.md and configs/*/README.md, and configs/model-index.yml, from the metafiles.

A table stands between the comments

    <!-- table: rows = main; paper = loc/top1 loc/gt_known; ours = loc/gt_known; datasets = CUB-200-2011, ILSVRC2012 -->
    <!-- end of table -->

``rows`` (default main) is 'main', models without the field Variant; 'variants', those with it; or 'methods', one row
a collection. ``baseline``, ``paper`` and ``ours`` are metrics, ``models`` shell patterns of names (default *),
``datasets`` those of the results (default: all). Figures are printed with the digits that the metafiles have; a dash is
not published, or not measured.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
METRICS = {
    "cls/top1": "Top-1 Cls",
    "cls/top5": "Top-5 Cls",
    "loc/top1": "Top-1 Loc",
    "loc/top5": "Top-5 Loc",
    "loc/gt_known": "GT-known",
    "loc/max_box_acc": "MaxBoxAcc",
    "loc/max_box_acc_v2": "MaxBoxAccV2",
    "trt_v2/max_box_acc_v2": "MaxBoxAccV2",
    "sat/max_box_acc@30": "IoU .3",
    "sat/max_box_acc@50": "IoU .5",
    "sat/max_box_acc@70": "IoU .7",
    "sat/max_box_acc_v2": "mean",
    "seg/pxap": "PxAP",
    "seg/piou": "pIoU",
}
DATASETS = {"CUB-200-2011": "CUB", "ILSVRC2012": "ILSVRC", "MRI for Brain Tumor": "Brain Tumor"}
OPTIONS = ("rows", "baseline", "paper", "ours", "models", "datasets")
TABLE = re.compile(r"(<!-- table:(.*?)-->\n)(.*?)(<!-- end of table -->)", re.DOTALL)


class Figure(float):
    """A number that keeps its digits: 60.00 stays 60.00."""

    def __init__(self, text: str) -> None:
        self.text = text


class FigureLoader(yaml.SafeLoader):
    """YAML with :class:`Figure` for floats."""


FigureLoader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: Figure(node.value))


def index_text(root: Path = ROOT) -> str:
    """Return the model index: the metafiles in the order that it has, new ones at its end."""
    listed = yaml.safe_load((root / "configs/model-index.yml").read_text(encoding="utf-8"))["Import"]
    present = sorted(path.relative_to(root).as_posix() for path in root.glob("configs/*/metafile.yml"))
    kept = [path for path in listed if path in present]
    return "Import:\n" + "".join(f"  - {path}\n" for path in kept + [path for path in present if path not in kept])


def read_metafiles(root: Path = ROOT) -> list[dict[str, Any]]:
    """Read the metafiles in the order of the model index."""
    paths = yaml.safe_load(index_text(root))["Import"]
    return [yaml.load((root / path).read_text(encoding="utf-8"), FigureLoader) for path in paths]


def read_options(text: str) -> dict[str, str]:
    """Read the options in the comment of a table.

    Raises:
        ValueError: If one is unknown.
    """
    options = {"rows": "main", "baseline": "", "paper": "", "ours": "", "models": "*", "datasets": ""}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        if name.strip() not in OPTIONS or not value.strip():
            raise ValueError(f"unknown option '{part.strip()}' of a table: it may have {', '.join(OPTIONS)}")
        options[name.strip()] = value.strip()
    for name in " ".join(options[key] for key in ("baseline", "paper", "ours")).split():
        if name not in METRICS:
            raise ValueError(f"unknown metric '{name}' of a table: there are {', '.join(METRICS)}")
    return options


def build_table(options: dict[str, str], metafiles: list[dict[str, Any]], folder: Path, root: Path = ROOT) -> str:
    """Return the lines of a table in the README of ``folder``.

    Raises:
        ValueError: If it has no row.
    """
    build = build_methods if options["rows"] == "methods" else build_models
    header, rows = build(options, metafiles, folder, root)
    if not rows:
        raise ValueError(f"a table of {folder} has no row: {options}")
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("| --- |", "|---|").replace(" --- |", "---|")


def build_methods(
    options: dict[str, str], metafiles: list[dict[str, Any]], folder: Path, root: Path
) -> tuple[list[str], list[list[str]]]:
    """Make one row a collection; our figures are those of its first model on the data set."""
    ours = options["ours"].split()
    header = ["method", "networks", "configs", *(f"{METRICS[name]} on {options['datasets']}" for name in ours)]
    rows = []
    for metafile in metafiles:
        for collection in metafile["Collections"]:
            readme = Path(collection["README"])
            models = [model for model in metafile["Models"] if model["In Collection"] == collection["Name"]]
            results = [result for model in models for result in model["Results"] if "Variant" not in model]
            measured = next((r["Metrics"] for r in results if r["Dataset"] == options["datasets"]), {})
            link = f"[{readme.parent.as_posix()}]({_link(root / readme, folder)}): {len(models)}"
            name = f"{collection['Name']} ({collection['Paper']['Venue']})"
            figures = [_figure(measured.get(metric)) for metric in ours]
            rows.append([name, collection["Metadata"]["Networks"], link, *figures])
    return header, rows


def build_models(
    options: dict[str, str], metafiles: list[dict[str, Any]], folder: Path, root: Path
) -> tuple[list[str], list[list[str]]]:
    """Make one row a result of a model whose README this is."""
    before, paper, ours = (options[key].split() for key in ("baseline", "paper", "ours"))
    datasets = [name.strip() for name in options["datasets"].split(",") if name.strip()]
    variants = options["rows"] == "variants"
    header = ["config", "what, data" if variants else "data"]
    header += [f"{METRICS[name]} without it" for name in before] + [METRICS[name] for name in paper]
    header += [f"{METRICS[name]}, ours" for name in ours]
    rows = []
    for metafile in metafiles:
        readmes = {entry["Name"]: (root / entry["README"]).parent for entry in metafile["Collections"]}
        for model in metafile["Models"]:
            here = readmes[model["In Collection"]] == folder and variants == ("Variant" in model)
            if not here or not any(fnmatchcase(model["Name"], p) for p in options["models"].split()):
                continue
            for result in model["Results"]:
                if datasets and result["Dataset"] not in datasets:
                    continue
                data = DATASETS.get(result["Dataset"], result["Dataset"])
                what = [model.get("Variant"), data, model.get("Note")]
                cells = [f"[{model['Name']}]({_link(root / model['Config'], folder)})", ", ".join(filter(None, what))]
                cells += [_figure(result.get("Baseline", {}).get(name)) for name in before]
                cells += [_figure(result["Paper"].get(name)) for name in paper]
                rows.append(cells + [_figure(result["Metrics"].get(name)) for name in ours])
    return header, rows


def rewrite(path: Path, metafiles: list[dict[str, Any]], root: Path = ROOT) -> str:
    """Return a README with its tables made anew."""

    def table(match: re.Match) -> str:
        return match[1] + build_table(read_options(match[2]), metafiles, path.parent, root) + match[4]

    text = path.read_text(encoding="utf-8")
    if text.count("<!-- table:") != len(TABLE.findall(text)):
        raise ValueError(f"{path}: a table has no '<!-- end of table -->'")
    return TABLE.sub(table, text)


def _figure(value: Any) -> str:
    if value is None:
        return "–"
    return value.text if isinstance(value, Figure) else str(value)


def _link(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a table is not up to date")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    args = parser.parse_args()
    from mmwsol.files import write_text

    metafiles = read_metafiles(args.root)
    texts = {args.root / "configs/model-index.yml": index_text(args.root)}
    for path in [args.root / "README.md", *sorted(args.root.glob("configs/*/README.md"))]:
        texts[path] = rewrite(path, metafiles, args.root)
    old = []
    for path, text in texts.items():
        if text != path.read_text(encoding="utf-8"):
            old.append(path.relative_to(args.root).as_posix())
            if not args.check:
                write_text(path, text)
    if args.check and old:
        sys.exit(f"not up to date: {', '.join(old)}; run python tools/misc/build_readme_tables.py")
    print(f"{len(old)} files written." if old else "All tables are up to date.")


if __name__ == "__main__":
    main()
