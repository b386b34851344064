"""The loss of labeled pixels."""

import math

import pytest
import torch

from mmwsol.methods.dips import PartialCrossEntropyLoss


def test_mean_over_the_labeled_pixels_of_the_batch():
    labels = torch.full((2, 3, 3), -255)
    labels[0, 0, :2], labels[1, 2, 2] = 1, 0
    logits = torch.zeros(2, 2, 3, 3, requires_grad=True)
    loss = PartialCrossEntropyLoss(loss_weight=0.5)(logits, labels)
    assert loss.item() == pytest.approx(0.5 * math.log(2))
    loss.backward()
    assert (logits.grad.abs().sum(1) > 0).equal(labels != -255)


def test_nothing_labeled():
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = PartialCrossEntropyLoss()(logits, torch.full((1, 3, 3), -255))
    loss.backward()
    assert loss == 0 and not logits.grad.any()
