"""The official release ``sat``: wpy1999/SAT. Its smoothing kernel is a constant here: the value is checked."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmwsol.methods.sat.losses import nsig_kernel
from mmwsol.models.official_networks import has_vit_blocks, rename_vit
from mmwsol.models.weights import METHOD_ON_METHOD, Release, register_release


def _rename(name: str) -> str | None:
    if name in ("loc_token", "loc_embed"):
        return f"backbone.{name}"
    if name.startswith("head."):
        return name.replace("head.", "head.conv.")
    return "" if name == "weight" else rename_vit(name)


def _recognize(weights: Mapping[str, Tensor]) -> bool:
    return has_vit_blocks(weights) and "loc_token" in weights


def _check_kernel(weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that were trained with another smoothing kernel than that of ``mmwsol.MapNormalizationLoss``."""
    kernel = weights.get("weight")
    if kernel is None:
        return
    expected = nsig_kernel(3, 6.0).to(kernel)
    if kernel.shape != (1, 1, 3, 3) or (kernel[0, 0] - expected).abs().max() > 1e-6:
        raise ValueError(
            f"The smoothing kernel 'weight' of these SAT weights is {kernel.flatten().tolist()}, not that of the "
            f"official code, {expected.flatten().tolist()}. Remove it, and give map_losses.loss_norm of the head the "
            "same kernel."
        )


# Not METHOD: SAT's code was made from that of TS-CAM, and has the same convolution as classifier.
register_release(Release("sat", _rename, _recognize, METHOD_ON_METHOD, _check_kernel))
