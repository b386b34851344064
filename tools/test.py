"""Test a checkpoint: metrics, and on request a results file and pictures."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

# Threads that wait give their core back. Spinning, the default, slows training on a CPU severalfold as soon as another
# process runs beside it. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from mmwsol.utils.options import SettingsAction  # noqa: E402  (light; everything heavy is imported in main())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, or its name: ts-cam_deit-s_cub")
    parser.add_argument("checkpoint", help="checkpoint file or URL")
    parser.add_argument("--work-dir", help="folder of the logs; default: work_dirs/NAME")
    parser.add_argument("--out", metavar="FILE", help="write metrics, protocols and predictions to .json or .pkl")
    parser.add_argument(
        "--protocol", nargs="+", metavar="NAME", help="evaluate under these protocols, not by the config's metrics"
    )
    parser.add_argument(
        "--threshold",
        metavar="T",
        help="for protocols with one threshold: a number, CUB or ILSVRC (the published one), or 'best' on this set",
    )
    parser.add_argument("--dump-maps", metavar="DIR", help="write maps, scores and lists that eval_maps.py reads")
    parser.add_argument("--show-dir", metavar="DIR", help="write overlay pictures to this folder")
    parser.add_argument("--show-number", type=int, default=50, help="number of pictures, -1: all; default: 50")
    parser.add_argument(
        "--show-target",
        choices=["pred", "gt"],
        default="pred",
        help="draw the map of the predicted or of the ground-truth class; default: pred",
    )
    parser.add_argument("--tta", action="store_true", help="test-time augmentation: use the config's tta_pipeline")
    parser.add_argument("--stage", metavar="NAME", help="stage to test; default: the last one")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=SettingsAction,
        metavar="KEY=VALUE",
        help="change settings: model.map_to_box.threshold=0.2",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    # torch.distributed.launch passes the second spelling
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


def load_test_config(args: argparse.Namespace) -> Any:
    """Return the config of the stage to test, with the command line in it."""
    from mmwsol import compat
    from mmwsol.engine.stages import select_stage, stage_configs
    from mmwsol.utils.config import load_config

    whole = load_config(args.config, args.cfg_options)
    cfg = select_stage(stage_configs(whole, args.cfg_options), args.stage).cfg
    if "://" not in args.checkpoint and not Path(args.checkpoint).expanduser().is_file():
        raise FileNotFoundError(f"checkpoint '{args.checkpoint}' does not exist.")
    for key in ("test_dataloader", "test_cfg", "test_evaluator"):
        if cfg.get(key) is None:
            raise ValueError(f"'{args.config}' has no {key}: there is nothing to test.")
    cfg.launcher = args.launcher
    cfg.load_from = args.checkpoint
    cfg.resume = False
    cfg.work_dir = args.work_dir or cfg.get("work_dir") or f"work_dirs/{Path(whole.filename).stem}"
    if args.tta:
        use_tta(cfg)
    if args.protocol:
        use_protocols(cfg, args.protocol, args.threshold)
    elif args.threshold:
        raise ValueError("--threshold goes with --protocol; the threshold of the model is model.map_to_box.threshold.")
    compat.init_cpu_distributed(cfg)
    return cfg


def command_line_hooks(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return configs of the hooks that the command line asks for; they stay out of the config, which is dumped."""
    hooks: list[dict[str, Any]] = []
    if args.out:
        if Path(args.out).suffix not in (".json", ".pkl"):
            raise ValueError(f"--out must end in .json or .pkl, got '{args.out}'.")
        hooks.append(dict(type="mmwsol.PredictionDumpHook", out_file=args.out))
    if args.dump_maps:
        hooks.append(dict(type="mmwsol.MapDumpHook", folder=args.dump_maps))
    if args.show_dir:
        hooks.append(
            dict(
                type="mmwsol.LocVisualizationHook",
                out_dir=args.show_dir,
                number=args.show_number,
                target=args.show_target,
            )
        )
    return hooks


def use_protocols(cfg: Any, names: list[str], threshold: str | None) -> None:
    """Put the metrics of protocols in the place of the config's localization metrics; the baselines stay."""
    from mmwsol.evaluation.map_evaluation import evaluator_configs
    from mmwsol.evaluation.metrics import BaseLocMetric, LocBaselines
    from mmwsol.evaluation.protocols import parse_threshold
    from mmwsol.registry import METRICS

    configs = evaluator_configs(names, None if threshold is None else parse_threshold(threshold))
    given = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    ours = [metric for metric in given if str(metric["type"]).startswith("mmwsol.")]
    replaced = [
        metric
        for metric in ours
        if issubclass(METRICS.get(metric["type"]), BaseLocMetric) and METRICS.get(metric["type"]) is not LocBaselines
    ]
    others = [metric for metric in given if metric not in replaced]
    cfg.test_evaluator = [*others, *configs.values()]


def use_tta(cfg: Any) -> None:
    """Test with ``tta_pipeline`` and, where the config has one, the model wrapper ``tta_model``."""
    from mmwsol.datasets.wrappers import inner_config

    pipeline = cfg.get("tta_pipeline")
    if pipeline is None:
        raise ValueError("--tta: the config has no tta_pipeline; add one or leave --tta out.")
    inner_config(cfg.test_dataloader.dataset).pipeline = pipeline
    if cfg.get("tta_model") is not None:
        cfg.model = dict(**cfg.tta_model, module=cfg.model)


def check_weights(model: Any, checkpoint: str) -> None:
    """Refuse a checkpoint that lacks weights of the model: mmengine's Runner would leave them random."""
    from mmwsol.apis.init_model import load_weights, load_weights_file
    from mmwsol.models.wrappers import unwrapped

    load_weights(unwrapped(model), load_weights_file(checkpoint), checkpoint)


def needs_calibration(runner: Any) -> bool:
    """Tell whether the model has no threshold yet, and the config says how it is chosen on val."""
    from mmwsol.engine import ThresholdCalibrationHook
    from mmwsol.models import ImageLocalizer
    from mmwsol.models.wrappers import unwrapped

    model = unwrapped(runner.model)
    calibrates = any(isinstance(hook, ThresholdCalibrationHook) for hook in runner.hooks)
    return calibrates and isinstance(model, ImageLocalizer) and bool(model.map_to_box.threshold.isnan())


def main() -> None:
    args = parse_args()

    from mmwsol.utils.tool_errors import one_line_errors

    with one_line_errors(args.config):
        test(args)


def test(args: argparse.Namespace) -> None:
    """Test the checkpoint."""
    from mmwsol import compat
    from mmwsol.engine.runners import build_runner

    hooks = command_line_hooks(args)
    cfg = load_test_config(args)
    # Without a file name the Runner dumps the config under the time of the test, not over that of the training.
    object.__setattr__(cfg, "_filename", None)
    runner = build_runner(cfg)
    runner.register_custom_hooks(hooks)
    check_weights(runner.model, args.checkpoint)
    if needs_calibration(runner):
        runner.logger.info(f"{args.checkpoint} holds no threshold of the box rule: it is chosen on val first.")
        runner.val()
    runner.test()
    compat.finish_distributed()


if __name__ == "__main__":
    main()
