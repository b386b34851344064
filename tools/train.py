"""Train a model: every stage of the config, or the whole of one that has no stages."""

from __future__ import annotations

import argparse
import os
from typing import Any

# Threads that wait give their core back. Spinning, the default, slows training on a CPU severalfold as soon as another
# process runs beside it. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from mmwsol.utils.options import SettingsAction  # noqa: E402  (light; everything heavy is imported in main())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, or its name: ts-cam_deit-s_cub")
    parser.add_argument("--work-dir", help="folder of logs and checkpoints; default: work_dirs/NAME")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|PATH",
        help="go on from the newest checkpoint in the work dir, or from PATH",
    )
    parser.add_argument("--stage", metavar="NAME", help="run one stage of the config alone")
    parser.add_argument(
        "--force",
        action="store_true",
        help="train although another run is at work in the work dir, or left checkpoints: moved to before_<time>",
    )
    parser.add_argument("--amp", action="store_true", help="automatic mixed precision (GPU only)")
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate by total_batch_size / auto_scale_lr.base_batch_size",
    )
    parser.add_argument("--no-validate", action="store_true", help="do not evaluate on val")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="build everything, run one training and one validation iteration of each stage, write nothing",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=SettingsAction,
        metavar="KEY=VALUE",
        help="change settings, in the stages that have them: total_batch_size=64 custom_hooks.0.priority=LOW",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    # torch.distributed.launch passes the second spelling
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


def apply_flags(cfg: Any, args: argparse.Namespace) -> None:
    """Write the command line into the config of a stage."""
    import torch

    cfg.launcher = args.launcher
    if args.amp and cfg.get("optim_wrapper") is not None:
        if not torch.cuda.is_available():
            raise ValueError("--amp needs a GPU: mixed precision is not implemented on the CPU.")
        wrapper = cfg.optim_wrapper.get("type", "OptimWrapper")
        if wrapper not in ("OptimWrapper", "AmpOptimWrapper"):
            raise ValueError(f"--amp needs optim_wrapper.type='OptimWrapper', got '{wrapper}'.")
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
        if torch.cuda.is_bf16_supported():
            cfg.optim_wrapper.setdefault("dtype", "bfloat16")
    if args.auto_scale_lr:
        if "base_batch_size" not in (cfg.get("auto_scale_lr") or {}):
            raise ValueError(
                "--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config: "
                "the batch size that its learning rate is meant for."
            )
        cfg.auto_scale_lr.enable = True
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        checkpoint = (cfg.get("default_hooks") or {}).get("checkpoint")
        if checkpoint is not None:
            checkpoint.save_best = None


def check_no_validate(stages: list[Any], only: str | None) -> None:
    """Refuse to train a stage without validation if the next one starts from its best checkpoint."""
    for index, (before, stage) in enumerate(zip(stages, stages[1:], strict=False), 1):
        if stage.init_from == "best" and only in (None, before.name):
            raise ValueError(
                f"--no-validate: stage '{stage.name}' starts from the best checkpoint of stage '{before.name}', which "
                "only validation finds. Leave --no-validate out, or start from the last one: --cfg-options "
                f"stages.{index}.init_from=last"
            )


def load_stages(args: argparse.Namespace) -> list[Any]:
    """Return the stages of the config with the command line in them."""
    from mmengine.dist import get_world_size

    from mmwsol import compat
    from mmwsol.engine.batch_size import rank_config
    from mmwsol.engine.stages import select_stage, stage_configs
    from mmwsol.utils.config import load_config

    cfg = load_config(args.config, args.cfg_options)
    stages = stage_configs(cfg, args.cfg_options)
    if args.stage is not None:
        select_stage(stages, args.stage)
    if args.no_validate:
        check_no_validate(stages, args.stage)
    for stage in stages:
        apply_flags(stage.cfg, args)
        compat.init_distributed(stage.cfg)
        rank_config(stage.cfg, get_world_size())
    return stages


def main() -> None:
    args = parse_args()

    from mmwsol.utils.tool_errors import one_line_errors

    with one_line_errors(args.config, "the same command with --resume goes on from the last checkpoint"):
        train(args)


def train(args: argparse.Namespace) -> None:
    """Run the stages, or try them."""
    from mmengine.dist import is_main_process

    from mmwsol import compat
    from mmwsol.engine.dry_run import dry_run
    from mmwsol.engine.stages import run_stages

    stages = load_stages(args)
    if args.dry_run:
        for stage in stages:
            if args.stage in (None, stage.name):
                lines = [f"  {line}" for line in dry_run(stage)]
                title = f"stage '{stage.name}'" if stage.name else "the config"
                if is_main_process():
                    print("\n".join([f"Dry run of {title} passed:", *lines]), flush=True)
    else:
        run_stages(stages, args.work_dir, args.resume, args.stage, args.force)
    compat.finish_distributed()


if __name__ == "__main__":
    main()
