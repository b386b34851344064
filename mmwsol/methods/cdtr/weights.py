"""The official release ``cdtr``: zhiweichen0012/CDTR."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmwsol.methods.catr.weights import rename_catr
from mmwsol.models.official_networks import has_vit_blocks
from mmwsol.models.weights import METHOD_ON_METHOD, Release, register_release


def _rename(name: str) -> str | None:
    if name.startswith("dnc_att_layer."):
        return name.replace("dnc_att_layer.", "head.ski.").replace("deform_conv.", "")
    return rename_catr(name, suffix="_1")


def _recognize(weights: Mapping[str, Tensor]) -> bool:
    of_cdtr = any(name.startswith("att_layer.down_1.") for name in weights)
    return has_vit_blocks(weights) and "att_cls.weight" in weights and of_cdtr


register_release(Release("cdtr", _rename, _recognize, METHOD_ON_METHOD))
