"""The official release ``trt``: su-hui-zz/ReAttentionTransformer, after the first or the second stage."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmwsol.models.official_networks import has_vit_blocks, rename_vit, rename_vit_block
from mmwsol.models.weights import Release, register_release

_BLOCKS = {"score_layer.": "backbone.tpsm.block.", "camfuse_block.cam_tr.": "backbone.cam.block."}
_LAYERS = {
    "head.": "head.fc.",
    "score_norm.": "backbone.tpsm.norm.",
    "score_head.": "backbone.tpsm.fc.",
    "camfuse_block.cam_norm.": "backbone.cam.norm.",
    "camfuse_block.cam_head.": "head.cam_conv.",
}


def _rename(name: str) -> str | None:
    for official, ours in _BLOCKS.items():
        if name.startswith(official):
            return rename_vit_block(name.removeprefix(official), ours)
    for official, ours in _LAYERS.items():
        if name.startswith(official):
            return name.replace(official, ours, 1)
    return rename_vit(name)


def _recognize(weights: Mapping[str, Tensor]) -> bool:
    return has_vit_blocks(weights) and any(name.startswith("score_layer.") for name in weights)


register_release(Release("trt", _rename, _recognize))
