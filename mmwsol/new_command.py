"""The command ``mmwsol new``: a config for a user's own images. What is heavy is imported when it runs."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("new", help="write the config that trains a method on your own images")
    folder = "images in a folder a class, FOLDER/cat/1.jpg, or FOLDER/train, FOLDER/val and FOLDER/test of such folders"
    parser.add_argument("folder", metavar="FOLDER", help=folder)
    parser.add_argument(
        "--method", required=True, metavar="NAME", help="cam, ts-cam, trt, sat, ...; a wrong one lists all"
    )
    backbone = "deit-small, resnet50, a name of timm, ...; default: deit-small, for cam resnet50, for dips dino-small"
    parser.add_argument("--backbone", metavar="NAME", help=backbone)
    parser.add_argument("--out", metavar="FILE", help="the config; default: METHOD_FOLDER.py in the working directory")
    boxes = "file or folder with boxes of val and test, where several fit, or none; default: what FOLDER has"
    parser.add_argument("--boxes", metavar="PATH", help=boxes)
    parser.add_argument("--force", action="store_true", help="write over a config that exists")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status.

    Raises:
        OSError: If the folder cannot be read, or the config exists.
        ValueError: If an option or the data is wrong.
    """
    from mmwsol.new_config import METHODS, find_network, look_at, write_config
    from mmwsol.utils.config import load_config

    if args.method not in METHODS:
        raise ValueError(f"--method '{args.method}' is none of {', '.join(METHODS)}.")
    method = METHODS[args.method]
    network = find_network(args.backbone or method.backbone)
    name = Path(args.folder).resolve().name.replace(" ", "-")
    file = Path(args.out or f"{args.method}_{name}.py")
    if file.suffix != ".py":
        raise ValueError(f"--out '{file}' must end in .py.")
    if why := method.refusal(network):  # before the folder is read
        raise ValueError(f"--method {method.name} cannot use --backbone '{network.name}': {why}.")
    found = look_at(args.folder, args.boxes)
    words = ["mmwsol", "new", args.folder, "--method", method.name, "--backbone", network.name]
    words += ["--boxes", args.boxes] if args.boxes else []
    written = write_config(file, found, method, network, shlex.join(words), args.force)
    print("\n".join(_report(found)))
    print(f"Written: {', '.join(map(str, written))}.\n\nNext:")
    stages = load_config(file).get("stages") or [dict(name="")]
    for line in _next(file, stages[-1]["name"], found):
        print(f"  {line}")
    return 0


def _report(found: Any) -> list[str]:
    from mmwsol.new_config import describe

    counts = found.train.counts(found.classes)
    lines = [f"{len(found.classes)} classes, training images of each:"]
    lines += [f"  {name}: {number}" for name, number in list(zip(found.classes, counts, strict=True))[:20]]
    lines += [f"  ... and {len(counts) - 20} more"] if len(counts) > 20 else []
    for part in found.parts:
        where = f", boxes in {part.boxes_in}" if part.boxes_in and part.num_boxes else ""
        lines.append(
            f"{part.name}: {describe(part)}{where}{' (held out)' if found.held_out and part is found.val else ''}"
        )
    for what, (size, path) in (("smallest", found.smallest), ("largest", found.largest)):
        lines.append(f"{what} image: {size[0]}x{size[1]} pixels, {path}")
    if found.unreadable:
        lines.append(
            f"{len(found.unreadable)} images cannot be read, and training would stop at them: {found.unreadable[0]}"
        )
    if found.val.num_boxes:
        lines.append("The threshold of the boxes is chosen on val after each epoch, and kept in the checkpoint.")
    else:
        lines.append(
            "val has no boxes: the threshold is the published one, hardly the best for your images. With boxes of some "
            "dozens of val images it is chosen on them; without, draw several: mmwsol infer --thresholds."
        )
    return lines + list(found.notes)


def _next(file: Path, stage: str, found: Any) -> list[str]:
    """Return the next commands; ``stage`` is the last one."""
    kept = "best" if found.val.num_boxes else "epoch"  # without boxes on val no epoch is known to be the best
    weights = shlex.quote(Path("work_dirs", file.stem, stage).as_posix()) + f"/{kept}_*.pth"
    split = "test" if (found.test or found.val).num_boxes else "train"
    return [
        f"mmwsol browse {shlex.quote(str(file))} --split {split} --output-dir browse   # what the network gets",
        f"mmwsol train {shlex.quote(str(file))} --dry-run   # builds everything, one step",
        f"mmwsol train {shlex.quote(str(file))}",
        f"mmwsol test {shlex.quote(str(file))} {weights} --show-dir pictures --out results.json",
        f"mmwsol infer PHOTOS --weights {weights} --out-dir found",
    ]
