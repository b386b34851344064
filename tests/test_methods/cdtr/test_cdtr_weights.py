"""The official release of CDTR."""

import pytest
import torch
from releases import catr_release, deit_release, load_strictly, loaded, localizer

from mmwsol.models.weights import guess_source
from mmwsol.utils import convert_official


def cdtr_release(num_classes=5):
    """CATR's with another suffix, the layer of SKI and one loss more."""
    checkpoint = catr_release(num_classes, suffix="_1", num_losses=5)
    checkpoint["model"] |= {
        "dnc_att_layer.conv_offset.weight": torch.randn(18, num_classes, 3, 3),
        "dnc_att_layer.conv_offset.bias": torch.randn(18),
        "dnc_att_layer.deform_conv.weight": torch.randn(num_classes, num_classes, 3, 3),
    }
    return checkpoint


def cdtr_model(num_classes=5):
    return localizer(dict(type="mmwsol.CDTRHead", num_classes=num_classes, attn_shape=(3, 2), c_base=4, ocm_blocks=2))


def test_cdtr_leaves_no_missing_and_no_unexpected_key(tmp_path):
    official = cdtr_release()
    target, weights = cdtr_model(), official["model"]
    converted = convert_official(official, "cdtr")
    load_strictly(target, converted)
    assert torch.equal(target.head.csm.decoder[3].weight, weights["att_layer.up_1.conv.UConv.3.weight"])
    assert torch.equal(target.head.ocm.blocks[1][1].running_var, weights["block1.1.running_var"])
    assert torch.equal(target.head.ski.weight, weights["dnc_att_layer.deform_conv.weight"])
    assert torch.equal(target.head.ski.conv_offset.bias, weights["dnc_att_layer.conv_offset.bias"])
    assert torch.equal(target.head.weighting.lambdas, weights["AutomaticWeightedLoss.params"])
    again = loaded(cdtr_model(), official, tmp_path).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in converted.items())


def test_cdtr_is_not_catr():
    official = cdtr_release()
    assert guess_source(official["model"]) == "cdtr"
    with pytest.raises(ValueError, match="unexpected.*att_layer.*give that as --source"):
        convert_official(official, "catr")


@pytest.mark.parametrize("num_classes", [5, 4])
def test_cdtr_inherits_the_bias_where_class_counts_agree(num_classes, tmp_path):
    official = deit_release(num_classes=5)
    target = loaded(cdtr_model(num_classes), official, tmp_path)
    assert torch.equal(target.head.conv.bias, official["head.bias"][:num_classes]) == (num_classes == 5)
