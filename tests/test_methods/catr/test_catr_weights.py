"""The official release of CATR."""

import pytest
import torch
from releases import catr_release, load_strictly, loaded, localizer

from mmwsol.models.weights import guess_source
from mmwsol.utils import convert_official


def catr_model():
    return localizer(dict(type="mmwsol.CATRHead", attn_shape=(3, 2), c_base=4, ocm_blocks=2))


def test_catr_leaves_no_missing_and_no_unexpected_key(tmp_path):
    official = catr_release()
    target, weights = catr_model(), official["model"]
    converted = convert_official(official, "catr")
    load_strictly(target, converted)
    assert torch.equal(target.head.csm.encoder[0].weight, weights["att_layer.down.1.UConv.0.weight"])
    assert torch.equal(target.head.csm.decoder[3].weight, weights["att_layer.up.conv.UConv.3.weight"])
    assert torch.equal(target.head.ocm.blocks[1][1].running_var, weights["block1.1.running_var"])
    assert torch.equal(target.head.weighting.lambdas, weights["AutomaticWeightedLoss.params"])
    again = loaded(catr_model(), official, tmp_path).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in converted.items())


def test_catr_is_neither_cdtr_nor_tscam():
    official = catr_release()
    assert guess_source(official["model"]) == "catr"
    for other in ("cdtr", "tscam"):
        with pytest.raises(ValueError, match="unexpected.*att_layer.*give that as --source"):
            convert_official(official, other)
