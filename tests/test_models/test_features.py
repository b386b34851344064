"""Features: what a head needs and does not find is one clear error; what any backbone returns becomes Features."""

import pytest
import torch

from mmwsol import methods  # noqa: F401  (their backbones say how to get their fields)
from mmwsol.models import Features
from mmwsol.models.features import as_features


def test_a_field_that_is_there():
    patch_map, tokens = torch.randn(2, 3, 4, 5), (torch.randn(2, 21, 3),)
    feats = Features(patch_map, tokens=tokens)
    assert feats.need("patch_map") is patch_map
    assert feats.need("tokens") is tokens


def test_the_last_place_is_what_classifies():
    """For mmpretrain's heads; names and the other places are not touched."""
    token, pooled = torch.ones(2, 3), torch.zeros(2, 3)
    assert Features(pooled=pooled, cls_token=token)[-1] is token
    feats = Features(token, pooled=pooled)
    assert feats[-1] is pooled and feats.cls_token is None and feats[0] is token
    assert tuple(feats)[-1] is None and Features(*feats) == feats


@pytest.mark.parametrize("name", Features._fields)
def test_every_missing_field_has_its_fix(name):
    with pytest.raises(
        ValueError, match=f"needs '{name}' of the features, which the backbone did not return: (set|take) "
    ):
        Features().need(name)


def test_an_empty_field_is_there():
    """A tensor without elements, of an empty batch, is not missing."""
    assert Features(patch_map=torch.zeros(0, 3, 4, 4)).need("patch_map").shape == (0, 3, 4, 4)


def test_maps_of_other_backbones():
    low, high = torch.randn(2, 3, 8, 8), torch.randn(2, 6, 4, 4)
    for output in (high, (high,), (low, high), [low, high]):  # of several stages the last
        feats = as_features(output)
        assert feats.patch_map is high
        assert all(value is None or value == () for name, value in feats._asdict().items() if name != "patch_map")
    feats = Features(cls_token=torch.zeros(2, 3))
    assert as_features(feats) is feats


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(2, 12), r"backbone gives \(2, 12\): take a backbone that keeps its feature map, without pooling"),
        ((torch.zeros(2, 6, 4, 4), torch.zeros(2, 12)), r"backbone gives \(2, 12\)"),
        ((torch.zeros(2, 6, 4, 4), [torch.zeros(2, 12)]), "backbone gives list"),
    ],
)
def test_no_map(output, message):
    with pytest.raises(ValueError, match=message):
        as_features(output)
