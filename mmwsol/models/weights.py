"""Weights of official releases: conversion of names and loading."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger
from torch import Tensor

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


def convert_official(state_dict: Mapping, source: str) -> dict[str, Tensor]:
    """Rename the weights of an official release to those of :class:`mmwsol.models.ImageLocalizer`.

    Containers (``state_dict``, ``model``, ``teacher``, ``fusioscore_net``) are unwrapped and a leading ``module.`` is
    removed first.

    Args:
        state_dict (Mapping): What ``torch.load`` gave for the release's file.
        source (str): 'deit' (facebookresearch/deit), 'dino' (facebookresearch/dino, backbone alone or whole
            checkpoint), 'conformer' (pengzhiliang/Conformer), 'vgg16' and 'resnet50' (torchvision), 'tscam'
            (vasgaowei/TS-CAM: DeiT, Conformer and VGG16 models), 'trt' (su-hui-zz/ReAttentionTransformer, both
            stages), 'sat' (wpy1999/SAT, whose smoothing kernel is a constant here: its value is checked), 'cdtr'
            (zhiweichen0012/CDTR), 'catr' (zhiweichen0012/CATR), 'locloc-generator' (Cliffia123/LocLoc and, with its
            other decoder, ustcjinggg/ProxyProbingDecoder), 'locloc-classifier' (Cliffia123/LocLoc), 'dips-decoder'
            (shakeebmurtaza/dips, the extended model's decoder) or 'dips-linear' (the linear classifier of
            facebookresearch/dino, which DiPS takes).

    Returns:
        dict[str, Tensor]: ``backbone.*``, and for tscam the whole head: ``head.conv.*`` of DeiT, ``head.conv.*`` and
        ``head.fc.*`` of Conformer, ``head.fc.*`` of VGG16; for sat ``head.conv.*``; for trt ``head.fc.*`` and, after
        the second stage, ``head.cam_conv.*``; for cdtr and catr all of ``head.*``; for LocLoc ``head.generator.*`` or
        ``head.classifier.*`` and no backbone, which is a plain DeiT; for dips-decoder ``head.decoder.*``, without the
        convolution that is never called; for dips-linear ``head.fc.*``. The linear classifiers of DeiT and ResNet are
        called ``head.fc.*``, Conformer's two ``head.conv.*`` (tokens) and ``head.fc.*`` (CNN);
        :func:`load_pretrained` says what becomes of them. VGG16's fully connected layers are dropped.

    Raises:
        ValueError: If the source is unknown, a weight has a name that the release does not use, or SAT's smoothing
            kernel is another one.
    """
    if source not in _CONVERTERS:
        raise ValueError(f"Unknown source {source!r}; known: {', '.join(sorted(_CONVERTERS))}.")
    converted, unknown = {}, []
    weights = unwrap(state_dict)
    if source == "sat":
        _check_sat_kernel(weights.get("weight"))
    for name, value in weights.items():
        new = _CONVERTERS[source](name)
        if new is None:
            unknown.append(name)
        elif new:
            converted[new] = value
    if unknown or not converted:
        raise ValueError(
            f"The weights do not have the names of a {source!r} release: {len(converted)} recognised, "
            f"unexpected {unknown[:5]}{' ...' if len(unknown) > 5 else ''}. Check --source."
        )
    return converted


def unwrap(checkpoint: Mapping) -> dict[str, Tensor]:
    """Take the weights out of a checkpoint's container and drop the prefix ``module.``."""
    for key in ("state_dict", "model", "teacher", "fusioscore_net"):
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
            break
    return {name.removeprefix("module."): value for name, value in checkpoint.items()}


def _vit(name: str) -> str | None:
    return _rename(name, _VIT_NAMES)


def _rename(name: str, patterns: Sequence[tuple[str, str]], part: str = "backbone") -> str | None:
    """Rename a weight of the backbone, or another part, by the first pattern that fits; None if none does."""
    for pattern, replacement in patterns:
        new, hits = re.subn(pattern, replacement, name)
        if hits:
            return f"{part}.{new}"
    return None


# A converter gives a weight's new name, '' to drop it, None if the release has no such name.
def _deit(name: str) -> str | None:
    if name.startswith("head."):
        return name.replace("head.", "head.fc.")
    return "" if name.startswith(("head_dist.", "dist_token")) else _vit(name)


def _dino(name: str) -> str | None:
    if name.startswith("head."):  # projection head of a whole checkpoint
        return ""
    return _vit(name.removeprefix("backbone."))


def _conformer(name: str) -> str | None:
    for official, ours in (("trans_cls_head.", "head.conv."), ("conv_cls_head.", "head.fc.")):
        if name.startswith(official):
            return name.replace(official, ours)
    return _rename(name, _CONFORMER_NAMES)


def _vgg16(name: str) -> str | None:
    if name.startswith("classifier."):
        return ""
    return f"backbone.{name}" if name.startswith("features.") else None


def _resnet50(name: str) -> str | None:
    if name.startswith("fc."):
        return f"head.{name}"
    return f"backbone.{name}" if re.match(r"(conv1|bn1|layer[1-4])\.", name) else None


def _tscam(name: str) -> str | None:
    if name.startswith("head."):  # DeiT
        return name.replace("head.", "head.conv.")
    if name.startswith("fc."):  # VGG16
        return f"head.{name}"
    if name.startswith(("features.", "conv6.")):
        return f"backbone.{name}"
    return _vit(name) or _conformer(name)


_TRT_NAMES = {
    "head.": "head.fc.",
    "score_layer.": "backbone.tpsm.block.",
    "score_norm.": "backbone.tpsm.norm.",
    "score_head.": "backbone.tpsm.fc.",
    "camfuse_block.cam_tr.": "backbone.cam.block.",
    "camfuse_block.cam_norm.": "backbone.cam.norm.",
    "camfuse_block.cam_head.": "head.cam_conv.",
}


def _trt(name: str) -> str | None:
    for official, ours in _TRT_NAMES.items():
        if name.startswith(official):
            rest = name.removeprefix(official)
            if not ours.endswith("block."):
                return ours + rest
            block = _vit(f"blocks.0.{rest}")
            return block and block.replace("backbone.layers.0.", ours)
    return _vit(name)


def _sat(name: str) -> str | None:
    if name in ("loc_token", "loc_embed"):
        return f"backbone.{name}"
    return "" if name == "weight" else _tscam(name)


def _check_sat_kernel(kernel: Tensor | None) -> None:
    """Refuse weights that were trained with another smoothing kernel than that of ``mmwsol.MapNormalizationLoss``."""
    from mmwsol.methods.sat.losses import nsig_kernel

    if kernel is None:
        return
    expected = nsig_kernel(3, 6.0).to(kernel)
    if kernel.shape != (1, 1, 3, 3) or (kernel[0, 0] - expected).abs().max() > 1e-6:
        raise ValueError(
            f"The smoothing kernel 'weight' of these SAT weights is {kernel.flatten().tolist()}, not that of the "
            f"official code, {expected.flatten().tolist()}. Remove it and set loss_norm of the head to the same kernel."
        )


# Names of the CDTR and CATR releases -> ours; what differs is the suffix "_1", which only CDTR has.
_CDTR_NAMES = (
    (r"^att_layer\.down{}\.1\.UConv\.", "head.csm.encoder."),
    (r"^att_layer\.up{}\.conv\.UConv\.", "head.csm.decoder."),
    (r"^att_cls\.", "head.csm.classifier."),
    (r"^block(\d+)\.", r"head.ocm.blocks.\1."),
    (r"^block_catconv\.", "head.ocm.fuse.0."),
    (r"^block_catbn\.", "head.ocm.fuse.1."),
    (r"^AutomaticWeightedLoss\.params$", "head.weighting.lambdas"),
)


def _cdtr(name: str) -> str | None:
    if name.startswith("dnc_att_layer."):
        return name.replace("dnc_att_layer.", "head.ski.").replace("deform_conv.", "")
    return _catr(name, "_1")


def _catr(name: str, suffix: str = "") -> str | None:
    for pattern, replacement in _CDTR_NAMES:
        new, hits = re.subn(pattern.replace("{}", suffix), replacement, name)
        if hits:
            return new
    return _tscam(name)


# Names of the LocLoc releases -> ours, in ``head.generator`` (U-Net or the decoder of PPD) and ``head.classifier``.
_LOCLOC_GENERATOR_NAMES = (
    (r"^att_layer4\.down_([123])\.1\.UConv\.", r"down\1."),
    (r"^att_layer4\.up_([123])\.conv\.UConv\.", r"up\1."),
    (r"^(up1|deconv_layers\.0)\.", "deconv.0."),
    (r"^(bn1|deconv_layers\.1)\.", "deconv.1."),
    (r"^(up2|deconv_layers\.3)\.", "deconv.3."),
    (r"^(bn2|deconv_layers\.4)\.", "deconv.4."),
    (r"^(up3|deconv_layers\.6)\.", "deconv.6."),
    (r"^(bn3|deconv_layers\.7)\.", "deconv.7."),
    (r"^att_conv2\.", "out.0."),
    (r"^bn_att2\.", "out.1."),
    (r"^conv0\.", "stem.0."),
    (r"^bn0\.", "stem.1."),
    (r"^final_layer\.", "out."),
)
_LOCLOC_CLASSIFIER_NAMES = (
    (r"^conv\.", "conv1."),
    (r"^classifier\.([01])\.", r"conv2.\1."),
    (r"^norm_mini\.", "norm."),
)


def _locloc_generator(name: str) -> str | None:
    return _rename(name, _LOCLOC_GENERATOR_NAMES, "head.generator")


def _locloc_classifier(name: str) -> str | None:
    if name.startswith("blocks_mini."):
        block = _vit(name.replace("blocks_mini.", "blocks.", 1))
        return block and block.replace("backbone.layers.", "head.classifier.blocks.")
    return _rename(name, _LOCLOC_CLASSIFIER_NAMES, "head.classifier")


def _dips_decoder(name: str) -> str | None:
    if name in ("head.weight", "head.bias"):  # never called
        return ""
    match = re.match(r"decoder([1-4])\.(conv[12]\.[01]\..+)", name)
    return f"head.decoder.{int(match[1]) - 1}.{match[2]}" if match else None


def _dips_linear(name: str) -> str | None:
    return f"head.fc.{name.removeprefix('linear.')}" if name in ("linear.weight", "linear.bias") else None


_CONVERTERS: dict[str, Callable[[str], str | None]] = {
    "catr": _catr,
    "cdtr": _cdtr,
    "conformer": _conformer,
    "deit": _deit,
    "dino": _dino,
    "dips-decoder": _dips_decoder,
    "dips-linear": _dips_linear,
    "locloc-classifier": _locloc_classifier,
    "locloc-generator": _locloc_generator,
    "resnet50": _resnet50,
    "sat": _sat,
    "trt": _trt,
    "tscam": _tscam,
    "vgg16": _vgg16,
}


def guess_source(weights: Mapping) -> str | None:
    """Tell the official release of unwrapped weights by their names; None for OpenMMLab's names."""
    if "trans_patch_conv.weight" in weights:
        head = weights.get("trans_cls_head.weight")
        return "tscam" if head is not None and head.ndim == 4 else "conformer"
    if "features.0.weight" in weights:
        return "tscam" if "conv6.weight" in weights else "vgg16"
    if "layer1.0.conv1.weight" in weights:
        return "resnet50"
    if "norm_mini.weight" in weights:
        return "locloc-classifier"
    if "att_conv2.weight" in weights or "conv0.weight" in weights:
        return "locloc-generator"
    if not any(name.removeprefix("backbone.").startswith("blocks.") for name in weights):
        return None
    if any(name.startswith("backbone.") for name in weights):
        return "dino"
    if any(name.startswith("score_layer.") for name in weights):
        return "trt"
    if "loc_token" in weights:
        return "sat"
    if "att_cls.weight" in weights:
        return "cdtr" if any(name.startswith("att_layer.down_1.") for name in weights) else "catr"
    head = weights.get("head.weight")
    return "tscam" if head is not None and head.ndim == 4 else "deit"


def find_checkpoint(checkpoint: str) -> str:
    """Give the file to load for a URL or path.

    A file of the same name in the folder ``$MMWSOL_CHECKPOINT_ROOT`` is taken in place of a URL, so that machines
    without network need no change of configs, and in place of a path that does not exist.
    """
    root = os.environ.get("MMWSOL_CHECKPOINT_ROOT")
    if root and not os.path.exists(checkpoint):
        local = Path(root) / checkpoint.rsplit("/", 1)[-1]
        if local.is_file():
            return str(local)
    return checkpoint


def load_pretrained(model: Any, checkpoint: str) -> None:
    """Start a localizer from pretrained weights.

    Accepts OpenMMLab checkpoints and official releases, told apart by their names. Position embeddings are resized
    where the image size differs, with a log line. Head weights whose shape differs are left at their initialisation.
    A backbone or head with ``adapt_weights`` (TRT's, LocLoc's) may rename weights and copy them into blocks of its own.
    The official TS-CAM code copies the bias of the linear classifier of DeiT, and of Conformer's tokens, into its
    convolution where the class counts agree (ILSVRC); so does a head whose ``inherit_bias`` is true.

    Args:
        model (nn.Module): An :class:`mmwsol.models.ImageLocalizer`.
        checkpoint (str): Path or URL; see :func:`find_checkpoint`.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be downloaded.
        ValueError: If the weights do not fit the backbone.
    """
    from mmengine.runner import CheckpointLoader

    path = find_checkpoint(checkpoint)
    try:
        loaded = CheckpointLoader.load_checkpoint(path, map_location="cpu")
    except OSError as error:
        raise FileNotFoundError(
            f"Cannot load the pretrained weights {checkpoint} ({error}). Download the file and set "
            "model.init_cfg.checkpoint to its path, or put it into the folder $MMWSOL_CHECKPOINT_ROOT."
        ) from error
    weights = unwrap(loaded)
    source = guess_source(weights)
    if source is not None:
        weights = convert_official(weights, source)
    elif not any(name.startswith("backbone.") for name in weights):
        weights = {f"backbone.{name}": value for name, value in weights.items()}
    model.head.adapt_weights(weights, "")
    own = model.state_dict()
    for name in [name for name in weights if name.startswith("head.") and name.endswith(".weight")]:
        if name in own and weights[name].shape != own[name].shape:  # another classifier: its bias goes with it
            del weights[name]
            weights.pop(f"{name.removesuffix('weight')}bias", None)
    for name in [name for name in weights if name.startswith("head.") and name in own]:
        if weights[name].shape != own[name].shape:
            del weights[name]
    try:
        missing, unused = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ValueError(
            f"The weights in {path} do not fit the backbone: {error}. Choose the arch that they belong to."
        ) from error
    backbone = [name for name in own if name.startswith("backbone.")]
    absent = [name for name in missing if name.startswith("backbone.")]
    if len(absent) > len(backbone) // 2:
        raise ValueError(
            f"{path} has only {len(backbone) - len(absent)} of the backbone's {len(backbone)} tensors; its names "
            f"start like {sorted(weights)[:3]}. It is not a checkpoint of this architecture."
        )
    logger = MMLogger.get_current_instance()
    logger.info(f"Loaded {len(own) - len(missing)} tensors from {path}.")
    if missing:
        logger.info(f"Left at their initialisation: {', '.join(sorted(missing))}.")
    if unused:
        logger.info(f"Not used from the checkpoint: {', '.join(sorted(unused))}.")
