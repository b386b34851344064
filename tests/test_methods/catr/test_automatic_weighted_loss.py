"""AutomaticWeightedLoss: values and gradients computed by hand, the minimum, fixed weights."""

import pytest
import torch

from mmwsol.methods.catr import AutomaticWeightedLoss

LOSSES = torch.tensor([1.0, 2.0, 0.5, 0.1, 3.0], dtype=torch.float64)


def test_value_and_gradient_at_one():
    loss = AutomaticWeightedLoss(5).double()
    values = loss(list(LOSSES))
    assert values.shape == (5,)
    value = values.sum()
    assert value.item() == pytest.approx(6.765736, abs=1e-6)
    value.backward()
    torch.testing.assert_close(loss.lambdas.grad, 1 - LOSSES)


@pytest.mark.parametrize(("value", "best", "minimum"), [(0.1, 0.5, 0.423144), (1, 1, 1.193147), (2, 1.272020, None)])
def test_minimum_over_lambda(value, best, minimum):
    grid = torch.linspace(0.3, 2, 100001, dtype=torch.float64)
    curve = torch.stack([value / (2 * grid**2), grid.square().log1p()]).sum(0)
    assert grid[curve.argmin()].item() == pytest.approx(best, abs=1e-4)
    at = AutomaticWeightedLoss(1, init=best).double()([torch.tensor(float(value)).double()])
    assert at.item() == pytest.approx(curve.min().item(), abs=1e-6)
    assert minimum is None or at.item() == pytest.approx(minimum, abs=1e-6)


def test_fixed_weights_are_halves_by_default():
    loss = AutomaticWeightedLoss(5, learned=False).double()
    assert not loss.lambdas.requires_grad
    zero = loss([0 * value for value in LOSSES])
    torch.testing.assert_close(loss(list(LOSSES)) - zero, LOSSES / 2)
    with pytest.raises(ValueError, match="2 lambdas for 3 losses"):
        AutomaticWeightedLoss(3, init=(1, 2))
    with pytest.raises(ValueError, match="must not be zero"):
        AutomaticWeightedLoss(2, init=(1, 0))
    with pytest.raises(ValueError, match="built for 5 losses, got 4"):
        loss(list(LOSSES[:4]))
