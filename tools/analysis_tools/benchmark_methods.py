"""Compare the cost of a config's model with that of its vision transformer as a plain classifier.

The plain classifier is the same transformer with a linear layer on the class token (mmwsol.ClsTokenHead) and no
attention tapped, as one would train it without localization. Images are random, and so are the masks and proposals of
offline stages and text embeddings, where their file is missing: no time depends on them. The two models take turns, so
that other work on the machine slows both. Times are medians: of the processor time of all threads on a CPU, which other
programs disturb less than the clock, of the clock on a GPU. A training step is forward, backward and optimizer;
inference gives class probabilities and, for the method, maps (boxes are found on the CPU: benchmark_evaluation.py).

On a CPU with glibc the process keeps the memory that it frees: taken anew from the system, it would cost page faults,
whose number depends on how the heap happens to lie (up to a fifth of a step of a small model), not on the model.

Memory is the peak beyond the built model during one kind of step, each in a process of its own: of the resident set on
a CPU (Linux only), of the allocator on a GPU.
"""

from __future__ import annotations

import argparse
import copy
import inspect
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from mmwsol.files import write_json
from mmwsol.utils.options import SettingsAction  # light; everything heavy is imported in the children

# Settings of glibc's allocator, read when a child process starts. Times: freed memory is kept (mapped alone only above
# 32 MiB, the most there is). Memory: freed memory goes back at once, so that the resident set shows what is in use.
KEEP = dict(MALLOC_MMAP_THRESHOLD_=str(2**25), MALLOC_TRIM_THRESHOLD_=str(2**31 - 1), MALLOC_TOP_PAD_=str(2**28))
RETURN = dict(MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="65536")
MODELS = ("plain", "method")
KINDS = {"train": "training step", "predict": "inference"}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="config file, or its name: sat_deit-s_cub")
    parser.add_argument("--stage", metavar="NAME", help="stage of the config; default: the last one")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="images a step; default 8")
    parser.add_argument("--repeats", type=int, default=15, metavar="N", help="timed steps of each model; default 15")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of a CPU; default 1")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; default cpu")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=SettingsAction,
        metavar="KEY=VALUE",
        help="change settings: model.head.map_losses.loss_sba=None",
    )
    parser.add_argument("--no-memory", action="store_true", help="measure the times only")
    parser.add_argument("--out", metavar="FILE.json", help="write numbers of parameters, and ratios of times")
    parser.add_argument("--child", nargs="+", metavar="WHAT", help=argparse.SUPPRESS)  # see measure()
    args = parser.parse_args()
    if args.out and not args.out.endswith(".json"):
        parser.error(f"--out must end in .json, got '{args.out}'")
    if args.batch_size < 1 or args.repeats < 1 or args.threads < 1:
        parser.error("--batch-size, --repeats and --threads must be 1 or more")
    return args


def plain_model(model: Any, embed_dims: int, num_classes: int) -> dict:
    """Return the config of the same vision transformer as a plain classifier; a stem that is frozen stays so."""
    from mmpretrain.models.backbones import VisionTransformer

    from mmwsol.models import TapViT

    known = {*inspect.signature(TapViT).parameters, *inspect.signature(VisionTransformer).parameters}
    known -= {"tap", "tap_layers", "tap_in_train", "out_tokens", "out_type", "kwargs"}
    backbone = {name: value for name, value in model["backbone"].items() if name in known}
    return dict(
        type="mmwsol.ImageLocalizer",
        frozen=[pattern for pattern in model.get("frozen") or () if pattern.startswith("backbone.patch_embed")],
        backbone=dict(type="mmwsol.TapViT", tap="none", **backbone),
        head=dict(type="mmwsol.ClsTokenHead", num_classes=num_classes, in_channels=embed_dims),
    )


def build(args: argparse.Namespace, which: str) -> tuple[Any, Any]:
    """Build a model and its optimizer, both by the config, without pretrained weights."""
    import torch
    from mmengine.logging import MMLogger
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import init_default_scope

    from mmwsol.engine.stages import select_stage, stage_configs
    from mmwsol.models import TapViT
    from mmwsol.registry import MODELS as REGISTRY
    from mmwsol.utils.config import load_config

    MMLogger.get_instance("benchmark", log_level="ERROR")
    stages = stage_configs(load_config(args.config, args.cfg_options), args.cfg_options)
    cfg = select_stage(stages, args.stage).cfg
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    leave_out_files(cfg.model)
    model = REGISTRY.build(copy.deepcopy(cfg.model))
    if not isinstance(model.backbone, TapViT):
        raise ValueError(f"the backbone is a {type(model.backbone).__name__}, not a vision transformer on TapViT")
    if which == "plain":
        model = REGISTRY.build(plain_model(cfg.model, model.backbone.embed_dims, model.head.num_classes))
    model.init_weights()
    model.to(args.device)
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def leave_out_files(model: Any) -> None:
    """Take pretrained weights out of the config of a model, and random text embeddings where their file is missing."""
    import torch

    from mmwsol.methods.cdtr.clip_encoders import OPENAI_VIT_B_32
    from mmwsol.registry import MODELS as REGISTRY

    model.init_cfg = None
    if "fc_weights" in model.head:
        model.head.fc_weights = None
    for loss in (model.head.get("map_losses") or {}).values():
        if loss and isinstance(loss.get("text_embeddings"), str) and not os.path.isfile(loss.text_embeddings):
            clip = REGISTRY.build(loss.get("clip") or dict(type="mmwsol.TimmCLIP", checkpoint=OPENAI_VIT_B_32))
            loss.text_embeddings = torch.randn(model.head.num_classes, clip.embed_dim)


def measure_size(args: argparse.Namespace) -> dict[str, Any]:
    """Return the number of parameters and of trained ones, and the type of a backbone that has no plain counterpart."""
    from mmengine.registry import init_default_scope

    from mmwsol.engine.stages import select_stage, stage_configs
    from mmwsol.models import TapViT
    from mmwsol.registry import MODELS as REGISTRY
    from mmwsol.utils.config import load_config

    cfg = select_stage(stage_configs(load_config(args.config, args.cfg_options), args.cfg_options), args.stage).cfg
    init_default_scope(cfg.default_scope)
    leave_out_files(cfg.model)
    model = REGISTRY.build(cfg.model)
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    other = None if isinstance(model.backbone, TapViT) else type(model.backbone).__name__
    return dict(parameters=sum(n for n, _ in sizes), trained=sum(n for n, trained in sizes if trained), other=other)


def make_sample(label: int, height: int, width: int) -> Any:
    """Return a sample with all that the transforms of offline stages add; the mask covers the middle of the image."""
    import torch

    from mmwsol.structures import LocDataSample

    sample = LocDataSample().set_gt_label(label)
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = True
    for name in ("pseudo_mask", "proposal_mask", "all_proposals_mask"):
        sample.set_field(mask, name)
    sample.set_field(0, "proposal_map")
    sample.set_field(torch.randint(0, 256, (3, height, width), dtype=torch.uint8), "raw_img")
    return sample


def make_steps(args: argparse.Namespace, which: str) -> dict[str, Callable[[], Any]]:
    """Return a training step and an inference step of a model."""
    import torch

    model, optim = build(args, which)
    images = torch.randn(args.batch_size, 3, *model.backbone.img_size).to(args.device)
    samples = [make_sample(i % model.head.num_classes, *model.backbone.img_size) for i in range(args.batch_size)]

    def train() -> None:
        model.train()
        losses, _ = model.parse_losses(model(images, samples, mode="loss"))
        optim.update_params(losses)

    @torch.inference_mode()
    def predict() -> Any:
        model.eval()
        if which == "plain":
            return model(images).softmax(dim=1)
        return model.head.predict(model.extract_feat(images))

    return {"train": train, "predict": predict}


def clock(device: str) -> float:
    """Return seconds: processor time on a CPU, the clock after all work is done on a GPU."""
    if device == "cpu":
        return time.process_time()
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


def measure_times(args: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Return the milliseconds of every step, by kind and model; the models take turns."""
    steps = {which: make_steps(args, which) for which in MODELS}
    times: dict[str, dict[str, list[float]]] = {kind: {which: [] for which in MODELS} for kind in KINDS}
    for kind, spent in times.items():
        for repeat in range(-2, args.repeats):  # two rounds to warm up
            for which in MODELS if repeat % 2 else MODELS[::-1]:
                start = clock(args.device)
                steps[which][kind]()
                if repeat >= 0:
                    spent[which].append(1000 * (clock(args.device) - start))
    return times


def resident(name: str) -> float:
    """Return a line of this process's memory in MiB: 'VmRSS', what is resident now, 'VmHWM', its peak."""
    with open("/proc/self/status") as file:
        return int(re.findall(rf"{name}:\s+(\d+) kB", file.read())[0]) / 1024


def measure_memory(args: argparse.Namespace, which: str, kind: str) -> float:
    """Return the MiB that two steps need at most beyond the built model."""
    import torch

    step = make_steps(args, which)[kind]
    if args.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(), step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak of imports and construction
    before = resident("VmRSS")
    step(), step()
    return max(resident("VmHWM") - before, 0.0)  # pages may have been given back


def in_child(env: dict[str, str], *what: str) -> Any:
    """Measure in a fresh process with other settings of the allocator."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", *what]
    result = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"measuring the {what[0]} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def main() -> None:
    args = parse_args()
    from mmwsol.utils.tool_errors import one_line_errors

    with one_line_errors(args.config):
        measure(args)


def measure(args: argparse.Namespace) -> None:
    """Measure what a child process is asked for, or else everything, in children."""
    if args.child:
        import torch

        torch.set_num_threads(args.threads)
        what, *which = args.child
        function = dict(size=measure_size, times=measure_times, memory=measure_memory)[what]
        print(json.dumps(function(args, *which)))
        return
    numbers = in_child(KEEP, "size")
    other = numbers.pop("other")
    print(f"parameters: {numbers['parameters']:,}, trained {numbers['trained']:,}")
    if other is None:
        numbers |= compare(args)
    else:
        print(f"The backbone is a {other}, not a vision transformer on TapViT: there is no plain one to compare with.")
    if args.out:
        write_json(args.out, numbers)


def compare(args: argparse.Namespace) -> dict[str, float]:
    """Print times and memory beside those of the plain network, and return the ratios of the times by kind."""
    times = in_child(KEEP, "times")
    ratios = {}
    print(f"{args.config}: batch {args.batch_size}, {args.device}, {args.threads} threads, {args.repeats} repeats")
    print(f"{'':<15} {'plain':>12} {'method':>12} {'ratio':>7} {'middle half of the ratios':>27}")
    for kind, title in KINDS.items():
        plain, method = (times[kind][which] for which in MODELS)
        pairs = sorted(b / a for a, b in zip(plain, method, strict=True))
        ratios[kind] = statistics.median(pairs)
        low, high = pairs[len(pairs) // 4], pairs[-1 - len(pairs) // 4]
        medians = statistics.median(plain), statistics.median(method)
        print(
            f"{title:<15} {medians[0]:>9.1f} ms {medians[1]:>9.1f} ms {ratios[kind]:>7.3f} "
            f"{f'{low:.3f} to {high:.3f}':>27}",
            flush=True,
        )
        if not args.no_memory:
            plain_peak, method_peak = (in_child(RETURN, "memory", which, kind) for which in MODELS)
            print(
                f"{'  peak memory':<15} {plain_peak:>8.1f} MiB {method_peak:>8.1f} MiB {method_peak / plain_peak:>7.3f}"
            )
    return ratios


if __name__ == "__main__":
    main()
