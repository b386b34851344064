"""Export a localizer's boxes, or the ground truth, as COCO json, YOLO, VOC or CSV: training data for a detector."""

from __future__ import annotations

import argparse

from mmwsol.utils.options import SettingsAction  # light; everything heavy is imported in main()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config of the localizer, or its name: ts-cam_deit-s_cub")
    parser.add_argument("checkpoint", nargs="?", help="its checkpoint; not needed with --ground-truth")
    out = "NAME.json (beside it NAME.classes.txt), NAME.csv, or a new folder for yolo and voc"
    parser.add_argument("--out", metavar="PATH", required=True, help=out)
    formats = ["coco", "yolo", "voc", "csv"]
    parser.add_argument("--format", choices=formats, help="default: by the ending of --out, .json or .csv")
    parser.add_argument("--split", choices=["train", "val", "test"], help="default: train")
    parser.add_argument(
        "--label", choices=["gt", "pred"], help="class of the box: of the image label (default) or predicted"
    )
    parser.add_argument(
        "--masks",
        nargs="?",
        const="rle",
        choices=["rle", "polygon"],
        help="add masks, with --ground-truth those of the data set; default encoding: rle",
    )
    parser.add_argument("--class-agnostic", action="store_true", help="give all boxes the one class 'object'")
    parser.add_argument(
        "--score-thr", type=float, default=0.0, metavar="P", help="leave out images whose class has less probability"
    )
    images = "files, folders or globs in place of a split; they need no labels, the class is the predicted one"
    parser.add_argument("--images", nargs="+", metavar="PATH", help=images)
    boxes = "most boxes an image, one a connected region of the map; default: 1, the box of the model's own rule"
    parser.add_argument("--max-boxes", type=int, default=1, metavar="N", help=boxes)
    parser.add_argument("--ground-truth", action="store_true", help="write the listed boxes, or masks, no model")
    parser.add_argument("--stage", metavar="NAME", help="stage of the config; default: the last one")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: the accelerator if there is one")
    parser.add_argument("--cfg-options", nargs="+", action=SettingsAction, metavar="KEY=VALUE")
    args = parser.parse_args()
    if args.ground_truth and (args.checkpoint or args.score_thr or args.images or args.max_boxes != 1):
        parser.error("--ground-truth takes no checkpoint, --score-thr, --images or --max-boxes")
    if not args.ground_truth and not args.checkpoint:
        parser.error("a checkpoint is needed, unless --ground-truth is given")
    if args.images and (args.split or args.label == "gt"):
        parser.error("--images are in place of a --split, and have no labels: leave out --split and --label gt")
    if args.format is None and not args.out.endswith((".json", ".csv")):
        parser.error(f"--out must end in .json or .csv, or --format be yolo or voc; got '{args.out}'")
    return args


def main() -> None:
    args = parse_args()

    from mmwsol.engine.stages import select_stage, stage_configs
    from mmwsol.integrations.pseudo_boxes import export_boxes, export_ground_truth, format_of
    from mmwsol.utils.config import load_config
    from mmwsol.utils.tool_errors import one_line_errors

    with one_line_errors(args.config):
        format = format_of(args.out, args.format)  # before an hour of inference
        if args.masks and format != "coco":
            raise ValueError(f"--masks goes with COCO json, not '{args.out}'.")
        cfg = load_config(args.config, args.cfg_options)
        cfg = select_stage(stage_configs(cfg, args.cfg_options), args.stage).cfg
        if args.ground_truth:
            export = export_ground_truth(cfg, args.split or "train", args.class_agnostic, format, args.masks)
        else:
            export = export_boxes(
                cfg,
                args.checkpoint,
                args.split or "train",
                args.label or ("pred" if args.images else "gt"),
                args.masks,
                args.class_agnostic,
                args.score_thr,
                args.device,
                format,
                args.max_boxes,
                args.images,
            )
        names = export.save(args.out, format)
    print(
        f"{args.out}: {len(export.images)} images, {len(export.annotations)} boxes, {len(export.classes)} classes "
        f"({names}); file names are relative to '{export.data_root or '.'}'."
    )
    for reason, count in export.skipped.items():
        print(f"Left out: {count} images, {reason}.")


if __name__ == "__main__":
    main()
