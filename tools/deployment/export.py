"""Export a model to torch.export or ONNX, from RGB pixels to class scores and localization maps.

The batch size stays free, the image size is fixed. The result is compared with PyTorch. FILE.json beside it has class
names, image size and box rule.
"""

from __future__ import annotations

import argparse
import sys

from mmwsol.utils.options import SettingsAction  # light; everything heavy is imported in main()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, or its name: ts-cam_deit-s_cub")
    parser.add_argument("checkpoint", help="checkpoint file or URL")
    parser.add_argument("--format", choices=["torch", "onnx"], default="onnx", help="default: onnx")
    parser.add_argument("--out", metavar="FILE", required=True, help="model.onnx, or model.pt2 for torch")
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="default: that of the test pipeline")
    parser.add_argument("--stage", metavar="NAME", help="stage of the config; default: the last one")
    parser.add_argument("--cfg-options", nargs="+", action=SettingsAction, metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    ending = {"torch": ".pt2", "onnx": ".onnx"}[args.format]
    if not args.out.endswith(ending):
        sys.exit(f"ValueError: --out must end in {ending} for --format {args.format}, got '{args.out}'.")
    from mmwsol.apis import export_model, init_model
    from mmwsol.utils.tool_errors import one_line_errors

    with one_line_errors(args.config):
        model = init_model(args.config, args.checkpoint, "cpu", args.stage, args.cfg_options)
        done = export_model(model, args.out, args.format, args.size)
    height, width = done["size"]
    print(
        f"{done['file']}: images (batch, 3, {height}, {width}) to scores, maps and labels; "
        f"largest difference from PyTorch: {done['difference']:.1e} of the largest value."
    )


if __name__ == "__main__":
    main()
