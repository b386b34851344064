"""State dicts with the names of official releases, and localizers small enough to load them in a test."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).resolve().parent / "golden" / "tscam"
ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)
CONFORMER_ARCH = dict(embed_dims=48, depths=6, num_heads=3, channel_ratio=1)


def localizer(head: dict | None = None, backbone: dict | None = None, img_size: int = 32, **kwargs) -> Any:
    """Build a localizer on a tiny transformer; TS-CAM with five classes by default."""
    from mmwsol.registry import MODELS

    torch.manual_seed(0)
    head = {"type": "mmwsol.ConvCAMHead", "num_classes": 5, "in_channels": 24, **(head or {})}
    backbone = {"type": "mmwsol.TapViT", "arch": ARCH, "img_size": img_size, "patch_size": 8, **(backbone or {})}
    return MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, **kwargs))


def deit_release(num_classes: int = 1000, tokens: int = 17, depth: int = 3, patch: int = 8) -> dict[str, Tensor]:
    """Make weights with the names of facebookresearch/deit, for ``ARCH``; no classifier if ``num_classes`` is 0."""
    torch.manual_seed(1)
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, 24), "pos_embed": (1, tokens, 24)}
    shapes |= {"patch_embed.proj.weight": (24, 3, patch, patch), "patch_embed.proj.bias": (24,)}
    for i in range(depth):
        shapes |= {f"blocks.{i}.{name}": (24,) for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")}
        layers = {"attn.qkv": (72, 24), "attn.proj": (24, 24), "mlp.fc1": (48, 24), "mlp.fc2": (24, 48)}
        for name, shape in layers.items():
            shapes |= {f"blocks.{i}.{name}.weight": shape, f"blocks.{i}.{name}.bias": shape[:1]}
    shapes |= {"norm.weight": (24,), "norm.bias": (24,)}
    if num_classes:
        shapes |= {"head.weight": (num_classes, 24), "head.bias": (num_classes,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def tscam_release(num_classes: int = 5) -> dict[str, Any]:
    """Make a checkpoint of vasgaowei/TS-CAM's DeiT model."""
    weights = deit_release(num_classes)
    weights["head.weight"] = torch.randn(num_classes, 24, 3, 3)
    return {"epoch": 60, "state_dict": {f"module.{k}": v for k, v in weights.items()}, "best_map": 0.8}


def catr_release(num_classes: int = 5, suffix: str = "", num_losses: int = 4) -> dict[str, Any]:
    """Make a checkpoint of zhiweichen0012/CATR, with two blocks in OCM; CDTR's has the suffix '_1' and more losses."""

    def norm(channels: int) -> dict[str, Tensor]:
        affine = {name: torch.randn(channels) for name in ("weight", "bias", "running_mean")}
        return {**affine, "running_var": torch.rand(channels), "num_batches_tracked": torch.tensor(3)}

    def double_conv(prefix: str, inputs: int, outputs: int) -> dict[str, Tensor]:
        named = {f"{prefix}.0.weight": torch.randn(outputs, inputs, 3, 3)}
        named[f"{prefix}.3.weight"] = torch.randn(outputs, outputs, 3, 3)
        return named | {f"{prefix}.{i}.{name}": value for i in (1, 4) for name, value in norm(outputs).items()}

    weights = deit_release(0)
    weights |= {"head.weight": torch.randn(num_classes, 24, 3, 3), "head.bias": torch.randn(num_classes)}
    weights |= double_conv(f"att_layer.down{suffix}.1.UConv", 6, 8)
    weights |= double_conv(f"att_layer.up{suffix}.conv.UConv", 14, num_classes)
    weights["att_cls.weight"] = torch.randn(num_classes, num_classes, 1, 1)
    for k in range(2):
        weights[f"block{k}.0.weight"] = torch.randn(1, 2, 1, 1)
        weights |= {f"block{k}.1.{name}": value for name, value in norm(1).items()}
    weights["block_catconv.weight"] = torch.randn(1, 2, 3, 3)
    weights |= {f"block_catbn.{name}": value for name, value in norm(1).items()}
    weights["AutomaticWeightedLoss.params"] = torch.rand(num_losses)
    return {"epoch": 109, "model": weights, "model_ema": None}


@functools.cache
def official_tensors(case: str) -> dict[str, Tensor]:
    """Make random weights with the names and shapes of an official TS-CAM model, as golden data lists them."""
    torch.manual_seed(1)
    with np.load(GOLDEN / f"{case}.npz") as arrays:
        tensors = json.loads(str(arrays["meta"]))["tensors"]
    return {name: torch.randn(shape) if shape else torch.tensor(7) for name, shape in tensors}


def conformer_release() -> dict[str, Tensor]:
    """Make weights with the names of pengzhiliang/Conformer: both classifiers are linear."""
    heads = {"trans_cls_head.weight": (1000, 48), "trans_cls_head.bias": (1000,)}
    heads |= {"conv_cls_head.weight": (1000, 256), "conv_cls_head.bias": (1000,)}
    return official_tensors("conformer_narrow") | {name: torch.randn(shape) for name, shape in heads.items()}


def vgg16_release() -> dict[str, Tensor]:
    """Make weights with torchvision's names; the fully connected layers are cut short."""
    weights = {k: v for k, v in official_tensors("vgg16_cam_96").items() if k.startswith("features.")}
    return weights | {f"classifier.{i}.{kind}": torch.zeros(2) for i in (0, 3, 6) for kind in ("weight", "bias")}


def conformer(num_classes: int = 5, **kwargs) -> Any:
    """Build TS-CAM on the narrow Conformer."""
    from mmwsol.registry import MODELS

    backbone = dict(type="mmwsol.TapConformer", arch=CONFORMER_ARCH)
    head = dict(type="mmwsol.ConformerCAMHead", num_classes=num_classes, in_channels=48, conv_channels=256, **kwargs)
    return MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))


def cam(backbone: dict, in_channels: int, num_classes: int = 6) -> Any:
    """Build CAM on a convolutional network."""
    from mmwsol.registry import MODELS

    head = dict(type="mmwsol.LinearCAMHead", num_classes=num_classes, in_channels=in_channels)
    return MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))


def load_strictly(target: Any, converted: dict[str, Tensor]) -> None:
    """Load weights that must be all of the model's but the threshold of its box rule."""
    missing, unexpected = target.load_state_dict(converted, strict=False)
    assert not unexpected
    assert all(name.startswith("map_to_box.") for name in missing)


def loaded(target: Any, weights: dict[str, Any], tmp_path: Path) -> Any:
    """Start a localizer from a file with these contents."""
    from mmwsol.utils import load_pretrained

    path = tmp_path / "weights.pth"
    torch.save(weights, path)
    load_pretrained(target, str(path))
    return target
