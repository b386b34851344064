"""The official releases of LocLoc, both without a backbone, which is a plain DeiT.

* ``locloc-generator``: Cliffia123/LocLoc and, with its other decoder, ustcjinggg/ProxyProbingDecoder; becomes
  ``head.generator``.
* ``locloc-classifier``: Cliffia123/LocLoc; becomes ``head.classifier``.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmwsol.models.official_networks import first_match, rename_vit
from mmwsol.models.weights import Release, register_release

# U-Net, or the decoder of ProxyProbingDecoder.
_GENERATOR_NAMES = (
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
# A layer at the beginning and one at the end, of each.
_GENERATOR_ENDS = (("up1", "att_conv2"), ("conv0", "final_layer"))
_CLASSIFIER_NAMES = (
    (r"^conv\.", "conv1."),
    (r"^classifier\.([01])\.", r"conv2.\1."),
    (r"^norm_mini\.", "norm."),
)


def _rename_generator(name: str) -> str | None:
    new = first_match(name, _GENERATOR_NAMES)
    return new and f"head.generator.{new}"


def _rename_classifier(name: str) -> str | None:
    if name.startswith("blocks_mini."):
        new = rename_vit(name.replace("blocks_mini.", "blocks.", 1))
        return new and new.replace("backbone.layers.", "head.classifier.blocks.")
    new = first_match(name, _CLASSIFIER_NAMES)
    return new and f"head.classifier.{new}"


def _recognize_generator(weights: Mapping[str, Tensor]) -> bool:
    return any({f"{first}.weight", f"{last}.weight"} <= weights.keys() for first, last in _GENERATOR_ENDS)


def _recognize_classifier(weights: Mapping[str, Tensor]) -> bool:
    return {"norm_mini.weight", "blocks_mini.0.attn.qkv.weight"} <= weights.keys()


register_release(Release("locloc-generator", _rename_generator, _recognize_generator))
register_release(Release("locloc-classifier", _rename_classifier, _recognize_classifier))
