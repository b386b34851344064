"""The networks of golden cases, built from a case's ``meta`` and filled with its official weights."""

from __future__ import annotations

import numpy as np
import torch

from mmwsol.registry import MODELS
from mmwsol.utils import convert_official


def build(meta: dict, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """Build the localizer of a TS-CAM case: DeiT, Conformer or VGG16."""
    name = meta["model"]
    make = _conformer if name.startswith("Conformer") else _vgg16 if name.startswith("VGG") else _deit
    backbone, head = make(meta)
    localizer = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    return localizer.to(dtype).eval()


def load(model: torch.nn.Module, state: dict) -> dict[str, str]:
    """Load official weights; return official name -> ours."""
    weights = {name: torch.from_numpy(np.asarray(value)) for name, value in state.items()}
    missing, unexpected = model.load_state_dict(convert_official(weights, "tscam"), strict=False)
    assert not unexpected
    assert all(name.startswith("map_to_box.") for name in missing), missing
    names = {}
    for name, value in weights.items():
        (names[name],) = convert_official({name: value}, "tscam")
    return names


def _deit(meta: dict) -> tuple[dict, dict]:
    arch = meta["arch"]
    dims = dict(
        embed_dims=arch["embed_dim"],
        num_layers=arch["depth"],
        num_heads=arch["num_heads"],
        feedforward_channels=int(arch["embed_dim"] * arch["mlp_ratio"]),
    )
    backbone = dict(
        type="mmwsol.TapViT",
        arch=dims,
        img_size=arch["img_size"],
        patch_size=arch["patch"],
        norm_cfg=dict(type="LN", eps=arch["ln_eps"]),
        drop_path_rate=arch["drop_path"],
        tap_in_train=True,
        out_tokens=list(range(1, arch["depth"] + 1)),
    )
    classes = meta.get("num_classes") or dict(meta["tensors"])["head.weight"][0]
    return backbone, dict(type="mmwsol.ConvCAMHead", num_classes=classes, in_channels=arch["embed_dim"])


def _conformer(meta: dict) -> tuple[dict, dict]:
    arch, shapes = meta["arch"], dict(meta["tensors"])
    dims = dict(
        embed_dims=arch["embed_dim"],
        depths=arch["depth"],
        num_heads=arch["num_heads"],
        channel_ratio=arch["channel_ratio"],
    )
    backbone = dict(
        type="mmwsol.TapConformer",
        arch=dims,
        patch_size=arch["patch"],
        base_channels=arch["base_channel"],
        mlp_ratio=arch["mlp_ratio"],
        drop_path_rate=arch["drop_path"],
        tap_in_train=True,
        out_tokens=list(range(1, arch["depth"] + 1)),
    )
    classes, conv_channels = shapes["conv_cls_head.weight"]
    head = dict(
        type="mmwsol.ConformerCAMHead",
        num_classes=classes,
        in_channels=arch["embed_dim"],
        conv_channels=conv_channels,
    )
    return backbone, head


def _vgg16(meta: dict) -> tuple[dict, dict]:
    shapes = dict(meta["tensors"])
    classes, channels = shapes["fc.weight"]
    backbone = dict(type="mmwsol.VGG16CAM", base_channels=shapes["features.0.weight"][0])
    return backbone, dict(type="mmwsol.LinearCAMHead", num_classes=classes, in_channels=channels)
