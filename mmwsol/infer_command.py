"""The command ``mmwsol infer``. What is heavy is imported when it runs."""

from __future__ import annotations

import argparse
from typing import Any

# What localizes where no model is named: an ImageNet classifier whose weights are a package, mmwsol[demo].
DEMO = "cam_efficientnet-lite0_imagenet"


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("infer", help="localize the objects of images")
    parser.add_argument("inputs", nargs="+", metavar="IMAGES", help="files, folders or globs")
    model = f"config file, or its name; default: the config in the checkpoint, or with no weights either {DEMO}"
    parser.add_argument("--model", help=model)
    weights = "checkpoint file or URL, or an ImageNet classifier, timm://NAME or torchvision://NAME"
    parser.add_argument("--weights", metavar="FILE", help=weights)
    out_dir = "folder for pictures, predictions.json and review.csv; default: 'found' with no model or with --format"
    parser.add_argument("--out-dir", metavar="DIR", help=out_dir)
    formats = "also write label files into the folder: coco, yolo, voc, csv, one or several"
    parser.add_argument("--format", nargs="+", default=[], metavar="NAME", help=formats)
    boxes = "most boxes an image, one a connected region of the map; default: 1, the box of the model's own rule"
    parser.add_argument("--max-boxes", type=int, default=1, metavar="N", help=boxes)
    threshold = "of the map, 0 <= T < 1, in place of the box rule's own"
    parser.add_argument("--threshold", type=float, metavar="T", help=threshold)
    several = "draw up to eight of the images with each of these thresholds, and write nothing but DIR/thresholds.jpg"
    parser.add_argument("--thresholds", type=float, nargs="+", metavar="T", help=several)
    area = "leave out boxes with a smaller share of the image's area, 0 <= A < 1; default: 0"
    parser.add_argument("--min-area", type=float, default=0.0, metavar="A", help=area)
    classes = "predict one of these classes only; quote names with blanks"
    parser.add_argument("--classes", nargs="+", metavar="NAME", help=classes)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: the accelerator, if there is one")
    parser.add_argument("--stage", metavar="NAME", help="stage of the config; default: the last one")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="decode larger images; default: 178,956,970")
    exif = "turn images by their EXIF tag, as viewers and labelling tools show them; boxes are in the pixels shown"
    parser.add_argument("--exif", action="store_true", help=exif)
    parser.add_argument("--show", action="store_true", help="open a window for each image")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If an option is wrong, or no image gives a prediction.
    """
    formats = [name for entry in args.format for name in entry.split(",") if name]
    if args.model is None and args.weights is None:
        args.model, args.out_dir = DEMO, args.out_dir or "found"
    if (formats or args.thresholds) and not args.out_dir:
        args.out_dir = "found"
    if args.thresholds and (formats or args.threshold is not None):
        raise ValueError("--thresholds draws a picture to choose one by: leave --format and --threshold out.")
    from mmengine.logging import MMLogger

    MMLogger.get_instance("mmwsol", log_level="WARNING")
    from mmwsol.apis import WSOLInferencer

    options = dict(stage=args.stage, max_pixels=args.max_pixels, exif=args.exif)
    inferencer = WSOLInferencer(args.model, args.weights, args.device, **options)
    if args.thresholds:
        return _draw_thresholds(inferencer, args)
    result = inferencer(
        args.inputs,
        batch_size=args.batch_size,
        show=args.show,
        out_dir=args.out_dir,
        return_maps=False,
        max_boxes=args.max_boxes,
        threshold=args.threshold,
        classes=args.classes,
        min_area=args.min_area,
        formats=formats,
    )
    for record in result["predictions"]:
        path = record["img_path"].encode(errors="replace").decode()  # a name may hold bytes that are no text
        print(f"{path}: {record['pred_class']} {record['pred_score']['scores'][0]:.2f}, {_boxes(record['objects'])}")
    if not args.exif:
        turned = [record["img_path"] for record in result["predictions"] if _is_turned(record["img_path"])]
        if turned:
            print(
                f"Turned by their EXIF tag: {len(turned)} of {len(result['predictions'])} images, such as {turned[0]}. "
                "Boxes are in the stored pixels, not as viewers and labelling tools show them; --exif turns them."
            )
    if args.out_dir:
        print(f"{len(result['predictions'])} pictures and predictions.json are in {args.out_dir}.")
        print(f"Look first at those on top of {args.out_dir}/review.csv.")
    for name in result["label_files"]:
        print(f"Labels: {args.out_dir}/{name}; paths of images are relative to {result['root']}.")
    return 0


def _is_turned(path: str) -> bool:
    """Tell whether viewers turn or mirror an image by its EXIF tag."""
    from mmwsol.datasets.image_sizes import read_oriented

    found = read_oriented(path, decode=False)
    return not isinstance(found, str) and found[1] > 1


def _draw_thresholds(inferencer: Any, args: argparse.Namespace) -> int:
    from mmwsol.apis.threshold_sheet import draw_thresholds

    file = f"{args.out_dir}/thresholds.jpg"
    options = {name: getattr(args, name) for name in ("batch_size", "classes", "max_boxes", "min_area")}
    number = draw_thresholds(inferencer, args.inputs, args.thresholds, file, **options)
    print(f"{number} images at {len(args.thresholds)} thresholds are in {file}: infer with the best, --threshold T.")
    return 0


def _boxes(objects: list[dict[str, Any]]) -> str:
    """Write boxes as text: 'box 51 74 460 314', 'boxes 51 74 460 314; 8 9 40 31' or 'no box'."""
    texts = [" ".join(f"{value:.0f}" for value in item["bbox"]) for item in objects]
    return ("boxes " if len(texts) > 1 else "box ") + "; ".join(texts) if texts else "no box"
