"""The command ``mmwsol``, also ``python -m mmwsol``: infer, new, list, doctor, and those of ``tools``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from mmwsol import infer_command, new_command

# Threads that wait give their core back: beside another process inference is several times faster. Read by torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Sub-commands that are a tool, with its options; an installed wheel has them, too.
TOOLS = {
    "train": ("train.py", "train a model: every stage of a config"),
    "test": ("test.py", "evaluate a checkpoint"),
    "sweep": ("sweep.py", "train and evaluate the cells of a sweep, and write its table"),
    "browse": ("visualization/browse_dataset.py", "draw the images and boxes of a data set as a model gets them"),
    "boxes": ("pseudo_boxes.py", "write the boxes of a localizer as training data for a detector"),
    "export": ("deployment/export.py", "export a model to ONNX or a torch.export program"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in TOOLS:
        return _run_tool(arguments[0], arguments[1:])
    parser = argparse.ArgumentParser(prog="mmwsol", description="Weakly supervised object localization.")
    commands = parser.add_subparsers(dest="command", required=True)
    infer_command.add_parser(commands)
    new_command.add_parser(commands)
    _add_list(commands)
    for name, (_, what) in TOOLS.items():
        commands.add_parser(name, help=what)
    commands.add_parser("doctor", help="versions, known conflicts and how to repair them")
    args = parser.parse_args(arguments)
    if args.command == "doctor":  # imports nothing that may be broken
        from mmwsol.doctor import main as doctor

        return doctor()
    from mmwsol.utils.tool_errors import one_line_errors

    try:
        with one_line_errors(getattr(args, "model", None) or "", "the same command goes on, if it has --out-dir"):
            return {"infer": infer_command.run, "new": new_command.run, "list": _list}[args.command](args)
    except SystemExit as end:
        if isinstance(end.code, int):
            return end.code
        print(end.code, file=sys.stderr)
    return 1


def _run_tool(name: str, arguments: Sequence[str]) -> int:
    import importlib.util

    from mmwsol.utils.config import tool_file

    spec: Any = importlib.util.spec_from_file_location(f"mmwsol_{name}", tool_file(TOOLS[name][0]))
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    sys.argv = [f"mmwsol {name}", *arguments]  # what the tool reads, and calls itself
    tool.main()
    return 0


def _add_list(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("list", help="list the models by name, with their figures")
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern: 'trt*', '*_cub'; default: all")


def _list(args: argparse.Namespace) -> int:
    from mmwsol.utils.model_index import list_models, read_model_index

    index = read_model_index()
    names = list_models(args.pattern)
    if not names:
        raise ValueError(f"no model is called '{args.pattern}'; 'mmwsol list' shows all.")
    width = max(map(len, names))
    print(f"{'name':{width}s}  {'data':20s}  {'GT-known: paper':>15s}  {'ours':>5s}  weights")
    for name in names:
        info = index.get(name)
        figures = (info.paper.get("loc/gt_known"), info.metrics.get("loc/gt_known")) if info else (None, None)
        paper, ours = ("-" if value is None else f"{value:g}" for value in figures)
        dataset, weights = (info.dataset, info.weights or "-") if info else ("-", "-")
        print(f"{name:{width}s}  {dataset:20s}  {paper:>15s}  {ours:>5s}  {weights}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
