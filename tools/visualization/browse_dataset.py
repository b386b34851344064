"""Draw images of a data set with their boxes and masks, before or after the transforms."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mmwsol.utils.options import SettingsAction  # light; everything heavy is imported in main()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, or its name: ts-cam_deit-s_cub")
    parser.add_argument("--split", choices=["train", "val", "test"], default="train")
    parser.add_argument("--output-dir", default="browse", help="folder of the pictures")
    parser.add_argument("--number", type=int, default=20, help="number of pictures, spread evenly")
    parser.add_argument(
        "--mode",
        choices=["original", "transformed"],
        default="transformed",
        help="original: as on disk; transformed: what the network gets",
    )
    parser.add_argument("--stage", metavar="NAME", help="stage of the config; default: the last one")
    parser.add_argument("--cfg-options", nargs="+", action=SettingsAction, metavar="KEY=VALUE")
    return parser.parse_args()


def build_dataset(args: argparse.Namespace) -> Any:
    from mmengine.registry import init_default_scope

    from mmwsol.engine.stages import select_stage, stage_configs
    from mmwsol.registry import DATASETS
    from mmwsol.utils.config import load_config

    cfg = load_config(args.config, args.cfg_options)
    cfg = select_stage(stage_configs(cfg, args.cfg_options), args.stage).cfg
    loader = cfg.get(f"{args.split}_dataloader")
    if loader is None:
        raise ValueError(f"'{args.config}' has no {args.split}_dataloader.")
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    dataset = DATASETS.build(loader.dataset)
    dataset.full_init()
    return dataset


def draw_original(dataset: Any, index: int) -> Any:
    """Draw a sample as it lies on disk: picture, label, image id, whether there are boxes or a mask."""
    from mmengine.dataset import ConcatDataset

    from mmwsol.datasets.transforms import LoadMasks
    from mmwsol.datasets.wrappers import inner_dataset
    from mmwsol.visualization import draw_boxes, draw_masks

    inner = inner_dataset(dataset)
    if isinstance(inner, ConcatDataset):
        inner = inner_dataset(inner.datasets[0])
    results = inner.pipeline.transforms[0](dataset.get_data_info(index))
    results = LoadMasks()(results)
    image = draw_masks(results["img"], results.get("gt_masks"), results.get("ignore_mask"))
    boxes = results["gt_bboxes"]
    known = bool(len(boxes)) or "gt_masks" in results
    return draw_boxes(image, boxes), results["gt_label"], results["img_id"], known


def draw_transformed(dataset: Any, index: int) -> Any:
    """Draw a sample as the network gets it; returns as :func:`draw_original` does."""
    import numpy as np

    from mmwsol.visualization import draw_boxes, draw_masks

    item = dataset[index]
    sample = item["data_samples"]
    image = np.ascontiguousarray(item["inputs"].permute(1, 2, 0).clip(0, 255).byte().numpy())
    image = draw_masks(image, sample.get("gt_masks"), sample.get("ignore_mask"))
    boxes = sample.gt_instances.bboxes if "gt_instances" in sample else np.zeros((0, 4))
    known = bool(len(sample.get("gt_bboxes_ori", ()))) or "gt_masks" in sample
    return draw_boxes(image, boxes), int(sample.gt_label), sample.img_id, known


def main() -> None:
    args = parse_args()

    from mmwsol.utils.tool_errors import one_line_errors

    with one_line_errors(args.config):
        browse(args)


def browse(args: argparse.Namespace) -> None:
    """Draw the images."""
    dataset = build_dataset(args)

    import numpy as np

    from mmwsol.visualization import picture_name, stack_panels, write_picture

    draw = draw_original if args.mode == "original" else draw_transformed
    folder = Path(args.output_dir)
    classes = dataset.metainfo.get("classes")
    steps = np.linspace(0, len(dataset) - 1, min(args.number, len(dataset)))
    without = 0
    for index in steps.round().astype(int).tolist():
        image, label, img_id, known = draw(dataset, index)
        without += not known
        name = classes[label] if classes is not None else str(label)
        picture = stack_panels([image], f"{img_id}: {name}")
        write_picture(folder / f"{index:06d}_{picture_name(img_id)}.jpg", picture[:, :, ::-1])
    print(f"{len(steps)} of {len(dataset)} images are drawn in {folder}.")
    if without:
        print(f"{without} of them have neither boxes nor masks in the data set.")


if __name__ == "__main__":
    main()
