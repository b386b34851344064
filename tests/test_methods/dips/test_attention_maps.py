"""Attention of heads as maps, Otsu's threshold, boxes of components."""

import numpy as np
import pytest
import torch

from mmwsol.methods.dips.attention_maps import (
    attention_stack,
    component_boxes,
    otsu_mask,
    otsu_threshold,
    upsample_maps,
)


def heads(number=6):
    """One bright cell a head, brighter with the number of the head."""
    attention = torch.full((1, number, 3, 3), 0.01)
    for head in range(number):
        attention[0, head].view(-1)[head] = 0.1 * (head + 1)
    return attention


def test_default_stack_is_mean_of_all_and_four_heads():
    attention = heads()
    stack = attention_stack(attention)
    assert stack.shape == (1, 5, 3, 3)
    torch.testing.assert_close(stack[:, 0], attention.mean(1))
    torch.testing.assert_close(stack[:, 1:], attention[:, :4])
    large = upsample_maps(stack, (9, 12))
    assert large.shape == (1, 5, 9, 12)
    torch.testing.assert_close(large.amax((2, 3)), torch.ones(1, 5))
    assert (large > 0).all()  # the minimum is not subtracted


@pytest.mark.parametrize(
    ("name", "single", "mean"),
    [
        ("all_heads_and_mean", 6, 6),
        ("1_5_heads_and_mean", 5, 6),
        ("1_5_heads_and_mean_1_5", 5, 5),
        ("1_4_heads_and_mean_1_4", 4, 4),
        ("all_heads_and_mean_1_4", 6, 4),
    ],
)
def test_other_stacks(name, single, mean):
    attention = heads()
    stack = attention_stack(attention, name)
    torch.testing.assert_close(stack[:, 0], attention[:, :mean].mean(1))
    torch.testing.assert_close(stack[:, 1:], attention[:, :single])


def test_no_numbers_become_zero():
    attention = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.5]).view(1, 1, 2, 2).expand(1, 4, 2, 2)
    assert attention_stack(attention)[0, 1].flatten().tolist() == [0, 1, 0, 0.5]
    assert torch.isfinite(upsample_maps(torch.zeros(1, 1, 2, 2), (4, 4))).all()


def test_stack_errors():
    with pytest.raises(ValueError, match="map_set must be one of"):
        attention_stack(heads(), "six")


def test_fewer_heads_give_fewer_maps():
    attention = heads(3)
    for name in ("1_4_heads_and_mean", "1_5_heads_and_mean_1_5"):
        stack = attention_stack(attention, name)
        torch.testing.assert_close(stack, torch.cat([attention.mean(1, keepdim=True), attention], dim=1))


@pytest.mark.parametrize(
    ("values", "threshold", "foreground"),
    [
        ([0] * 3 + [255] * 2, 0, [255]),  # 0 becomes 1
        ([10] * 4 + [20] * 3 + [200] * 5, 20, [200]),
        ([50] * 10 + [60] * 10 + [250] * 2, 60, [250]),
        ([3] * 50 + [8] * 30 + [40] * 20, 8, [40]),
        (list(range(256)), 127, list(range(128, 256))),
        ([254] + [255] * 2, 254, [255]),
        ([0] * 6 + [1] * 2, 0, []),
        ([7] * 4, 7, []),
    ],
)
def test_otsu(values, threshold, foreground):
    values = np.array(values)
    assert otsu_threshold(values) == threshold
    mask = otsu_mask((values[None] + 0.5) / 255)  # cut back to the values
    assert sorted(set(values[mask[0]].tolist())) == foreground


def test_boxes_of_components():
    mask = np.zeros((12, 12), bool)
    mask[1:8, 1:8] = True
    mask[3:6, 3:6] = False
    mask[4, 4] = True  # inside the hole
    mask[9, 9] = mask[10, 10] = True  # joined by a corner
    assert sorted(component_boxes(mask).tolist()) == [[1, 1, 8, 8], [9, 9, 11, 11]]
    nested = sorted(component_boxes(mask, nested=True).tolist())
    assert [4, 4, 5, 5] in nested and len(nested) == 4
    assert component_boxes(np.zeros((4, 4), bool)).shape == (0, 4)
