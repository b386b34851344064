"""The two losses of OCM: noise suppression and object awakening, on maps whose values are known."""

import pytest
import torch

from mmwsol.methods.catr import NoiseSuppressionLoss, ObjectAwakeningLoss

RAMP = (torch.arange(196, dtype=torch.float64) / 196).reshape(1, 14, 14)


@pytest.mark.parametrize(("ratio", "cells", "value"), [(0.25, 50, 0.0318878), (0.1, 20, 0.0049459)])
def test_noise_of_a_ramp(ratio, cells, value):
    maps = RAMP.clone().requires_grad_()
    loss = NoiseSuppressionLoss(ratio)(maps)
    loss.backward()
    assert loss.item() == pytest.approx(value, abs=1e-7)
    assert (maps.grad != 0).sum() == cells
    torch.testing.assert_close(maps.grad[RAMP.lt(cells / 196)], torch.full((cells,), 1 / 196).double())


@pytest.mark.parametrize(("ratio", "index"), [(0.05, 9), (0.15, 29), (0.2, 39), (0.3, 58), (0.35, 68), (0.4, 78)])
def test_bar_is_the_value_at_the_truncated_index(ratio, index):
    assert NoiseSuppressionLoss(ratio).threshold(RAMP).item() == pytest.approx(index / 196)


def test_batch_sum_grows_with_the_batch_and_mean_does_not():
    twice = RAMP.expand(2, -1, -1)
    one = NoiseSuppressionLoss()(RAMP)
    torch.testing.assert_close(NoiseSuppressionLoss()(twice), 2 * one)
    torch.testing.assert_close(NoiseSuppressionLoss(reduce="mean")(twice), one)
    # The scale of the official code at a batch of 128, from any batch.
    torch.testing.assert_close(NoiseSuppressionLoss(reduce="mean", loss_weight=128)(twice), 128 * one)


def test_every_image_has_its_own_bar():
    both = torch.cat([RAMP, 5 * RAMP])
    torch.testing.assert_close(NoiseSuppressionLoss(reduce="mean")(both), 3 * NoiseSuppressionLoss()(RAMP))


def test_pairs_of_two_images_of_one_pixel():
    pseudo = torch.tensor([0.0, 1.0]).reshape(2, 1, 1)
    assert ObjectAwakeningLoss("all")(pseudo, pseudo).item() == 0.5
    assert ObjectAwakeningLoss("same")(pseudo, pseudo).item() == 0.0


def test_all_pairs_shrink_towards_the_mean():
    torch.manual_seed(0)
    pseudo, attention = torch.rand(2, 5, 3, 4, dtype=torch.float64).requires_grad_()
    mean = attention.mean(0)
    expected = (pseudo - mean).square().mean() + (attention - mean).square().mean()
    torch.testing.assert_close(ObjectAwakeningLoss("all")(pseudo, attention), expected)


@pytest.mark.parametrize(("detach", "reached"), [("none", (1, 1)), ("pseudo", (0, 1)), ("attention", (1, 0))])
def test_gradient_reaches_the_sides_that_are_not_detached(detach, reached):
    pseudo, attention = torch.rand(2, 3, 3, requires_grad=True), torch.rand(2, 3, 3, requires_grad=True)
    ObjectAwakeningLoss(detach=detach)(pseudo, attention).backward()
    assert tuple(int(side.grad is not None) for side in (pseudo, attention)) == reached


def test_options_are_checked():
    with pytest.raises(ValueError, match="ratio must satisfy 0 <= ratio < 1, got 25"):
        NoiseSuppressionLoss(25)
    with pytest.raises(ValueError, match="reduce must be one of"):
        NoiseSuppressionLoss(reduce="sum")
    with pytest.raises(ValueError, match="pairs must be one of"):
        ObjectAwakeningLoss("each")
    with pytest.raises(ValueError, match="detach must be one of"):
        ObjectAwakeningLoss(detach="both")
