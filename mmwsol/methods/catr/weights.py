"""The official release ``catr``: zhiweichen0012/CATR."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmwsol.methods.ts_cam.weights import rename_ts_cam
from mmwsol.models.official_networks import first_match, has_vit_blocks
from mmwsol.models.weights import METHOD_ON_METHOD, Release, register_release


def rename_catr(name: str, suffix: str = "") -> str | None:
    """Rename a weight; ``suffix`` is that of the U-Net's blocks, '_1' in the release of CDTR."""
    patterns = (
        (rf"^att_layer\.down{suffix}\.1\.UConv\.", "head.csm.encoder."),
        (rf"^att_layer\.up{suffix}\.conv\.UConv\.", "head.csm.decoder."),
        (r"^att_cls\.", "head.csm.classifier."),
        (r"^block(\d+)\.", r"head.ocm.blocks.\1."),
        (r"^block_catconv\.", "head.ocm.fuse.0."),
        (r"^block_catbn\.", "head.ocm.fuse.1."),
        (r"^AutomaticWeightedLoss\.params$", "head.weighting.lambdas"),
    )
    return first_match(name, patterns) or rename_ts_cam(name)


def _recognize(weights: Mapping[str, Tensor]) -> bool:
    of_cdtr = any(name.startswith("att_layer.down_1.") for name in weights)
    return has_vit_blocks(weights) and "att_cls.weight" in weights and not of_cdtr


register_release(Release("catr", rename_catr, _recognize, METHOD_ON_METHOD))
