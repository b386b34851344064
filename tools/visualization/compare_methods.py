"""Draw what several models find in the same images: a row an image, a column a model.

    compare_methods.py CONFIG CHECKPOINT [CONFIG CHECKPOINT ...] IMAGES [IMAGES ...] --out sheet.png

IMAGES are files, folders or globs. Images of the first config's test set get their ground-truth boxes (green) and the
IoU; predicted boxes are red.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

ENDINGS = (".pth", ".pt", ".ckpt", ".safetensors")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pdf")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="CONFIG CHECKPOINT ... IMAGES", help="see above")
    parser.add_argument("--out", default="sheet.png", metavar="FILE", help="default: sheet.png")
    parser.add_argument("--names", nargs="+", help="titles of the columns; default: the names of the configs")
    parser.add_argument("--number", type=int, default=8, help="number of images, spread evenly; -1: all; default: 8")
    parser.add_argument(
        "--target",
        choices=["gt", "pred"],
        default="gt",
        help="class whose map and box are drawn: the ground truth where it is known, or the prediction; default: gt",
    )
    parser.add_argument("--width", type=int, default=200, help="of a column, in pixels; default: 200")
    parser.add_argument(
        "--maps-only", action="store_true", help="draw maps and boxes on white, for photographs that may not be shown"
    )
    parser.add_argument("--device", help="cpu, cuda, ...; default: the accelerator, if there is one")
    args = parser.parse_args()
    if not args.out.lower().endswith(PICTURES):
        parser.error(f"--out must end in {', '.join(PICTURES)}, got '{args.out}'")
    return args


def split_words(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Split the command line into pairs of config and checkpoint, told by its ending or address, and images."""
    pairs = []
    while len(words) >= 2 and (words[1].endswith(ENDINGS) or "://" in words[1]):
        pairs.append((words[0], words[1]))
        words = words[2:]
    if not pairs:
        raise ValueError(f"give CONFIG CHECKPOINT first; a checkpoint ends in {', '.join(ENDINGS)}.")
    if not words:
        raise ValueError("give IMAGES after the models: files, folders or globs.")
    return pairs, words


def known_items(cfg: Any) -> dict[str, dict]:
    """Return the items of the test set, else of the validation set, by the paths of their images.

    There are none if its files are not there; nothing is rendered or written.
    """
    from mmengine.registry import init_default_scope

    from mmwsol.datasets import Shapes
    from mmwsol.datasets.wrappers import inner_config
    from mmwsol.registry import DATASETS

    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    settings = inner_config((cfg.get("test_dataloader") or cfg.val_dataloader).dataset)
    try:
        dataset = DATASETS.build(dict(settings, lazy_init=True))
        if isinstance(dataset, Shapes) and not dataset.folder.is_dir():  # full_init would render the pictures
            raise FileNotFoundError(f"'{dataset.folder}' does not exist")
        dataset.full_init()
    except (FileNotFoundError, ValueError) as error:
        print(f"no ground truth: {str(error).splitlines()[0]}")
        return {}
    items = (dataset.get_data_info(index) for index in range(len(dataset)))
    return {os.path.realpath(item["img_path"]): item for item in items}


def read_picture(sample: Any, width: int) -> tuple[Any, float]:
    """Read the image of a sample as the data pipeline did, and resize it; also give the scale."""
    import cv2

    from mmwsol.datasets.transforms.loading import read_original

    image = read_original(sample.img_path, sample.ori_shape)
    scale = width / image.shape[1]
    size = (width, max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), scale


def draw_cell(picture: Any, scale: float, sample: Any, target: str) -> tuple[Any, str]:
    """Draw map and boxes over a resized image; also give the text of the IoU."""
    import cv2
    import numpy as np

    from mmwsol.evaluation.functional import box_iou
    from mmwsol.visualization import draw_boxes, overlay_map, score_map, shown_map
    from mmwsol.visualization.draw import GT_COLOR, PRED_COLOR

    index, _ = shown_map(sample, target)
    box = sample.pred_instances.bboxes[index].cpu().numpy()
    truth = np.asarray(sample.get("gt_bboxes_ori", ()), float).reshape(-1, 4)
    localization = cv2.resize(score_map(sample, index)[0], picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    cell = draw_boxes(overlay_map(picture, localization, alpha=0.45), truth * scale, GT_COLOR, thickness=2)
    cell = draw_boxes(cell, box * scale, PRED_COLOR, thickness=2)
    iou = box_iou(box, truth, plus_one=False)
    return cell, f"IoU {iou.max():.2f}" if iou.size else ""


def main() -> None:
    args = parse_args()
    from mmwsol.utils.tool_errors import one_line_errors

    with one_line_errors():
        pairs, images = split_words(args.words)
        if args.names and len(args.names) != len(pairs):
            raise ValueError(f"--names has {len(args.names)} titles for {len(pairs)} models.")
        draw_comparison(args, pairs, images)


def draw_comparison(args: argparse.Namespace, pairs: list[tuple[str, str]], images: list[str]) -> None:
    import numpy as np

    from mmwsol.apis import WSOLInferencer
    from mmwsol.apis.inputs import list_inputs
    from mmwsol.utils.tool_errors import one_line_errors
    from mmwsol.visualization import draw_boxes, draw_sheet, write_picture
    from mmwsol.visualization.draw import GT_COLOR

    columns: list[list[Any]] = []
    items: list[Any] = []
    total = 0
    for config, checkpoint in pairs:
        with one_line_errors(config):
            inferencer = WSOLInferencer(config, checkpoint, args.device, show_progress=False)
        if not items:
            paths = list_inputs(images)
            total = len(paths)
            if 0 <= args.number < len(paths):
                steps = np.linspace(0, len(paths) - 1, args.number)
                paths = [paths[i] for i in steps.round().astype(int)]
            known = known_items(inferencer.cfg)
            items = [known.get(os.path.realpath(path), path) for path in paths]
        result = inferencer(items, return_datasamples=True)
        if result["failed"]:
            raise ValueError(result["failed"][0]["error"])
        columns.append(result["predictions"])

    rows, texts = [], []
    for samples in zip(*columns, strict=True):
        picture, scale = read_picture(samples[0], args.width)
        if args.maps_only:
            picture = np.full_like(picture, 255)
        cells = [draw_cell(picture, scale, sample, args.target) for sample in samples]
        truth = np.asarray(samples[0].get("gt_bboxes_ori", ()), float).reshape(-1, 4)
        rows.append([draw_boxes(picture, truth * scale, GT_COLOR, thickness=2)] + [cell for cell, _ in cells])
        texts.append([""] + [text for _, text in cells])
    names = args.names or [Path(config).stem for config, _ in pairs]
    sheet = draw_sheet(rows, ["image", *names], texts, args.width)
    write_picture(args.out, sheet[:, :, ::-1])
    print(f"{len(rows)} images, {len(pairs)} models: {args.out}")
    without = sum(not len(sample.get("gt_bboxes_ori", ())) for sample in columns[0])
    if without:
        print(
            f"{without} of {len(rows)} images have no ground-truth boxes in the test set of {pairs[0][0]}: "
            "none are drawn there, and no IoU."
        )
    if len(rows) < total:
        print(f"These are {len(rows)} of {total} images, spread evenly; --number -1 draws all.")


if __name__ == "__main__":
    main()
