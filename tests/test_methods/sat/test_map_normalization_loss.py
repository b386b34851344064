"""MapNormalizationLoss: the official kernel, its worked values, paddings and precision."""

import pytest
import torch

from mmwsol.methods.sat import MapNormalizationLoss
from mmwsol.methods.sat.losses import gaussian_kernel, nsig_kernel

CORNER, EDGE, CENTER = 0.002628462, 0.046011603, 0.805439739


def test_nsig_kernel():
    kernel = nsig_kernel(3, 6)
    rows = [[CORNER, EDGE, CORNER], [EDGE, CENTER, EDGE], [CORNER, EDGE, CORNER]]
    torch.testing.assert_close(kernel, torch.tensor(rows, dtype=torch.float64), rtol=0, atol=1e-8)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-12)
    assert nsig_kernel(3, 3)[1, 1].item() == pytest.approx(0.37716779, abs=1e-8)


def test_gaussian_of_the_paper_is_another_kernel():
    kernel = gaussian_kernel(3, 6)
    assert kernel.sum().item() == pytest.approx(1)
    torch.testing.assert_close(kernel[1], torch.tensor([0.1116, 0.1132, 0.1116]).double(), rtol=0, atol=1e-4)
    assert kernel[0, 0].item() == pytest.approx(0.1101, abs=1e-4)


def one_hot():
    maps = torch.zeros(1, 14, 14)
    maps[0, 7, 5] = 1
    return maps


@pytest.mark.parametrize(
    ("maps", "expected"),
    [
        (torch.full((2, 14, 14), 0.5), 0.24978815),
        (torch.ones(2, 14, 14), 0.01374712),
        (torch.zeros(2, 14, 14), 0.0),
        (one_hot(), 0.00174883),
    ],
    ids=["half", "ones", "zeros", "one-hot"],
)
def test_values(maps, expected):
    assert MapNormalizationLoss()(maps).item() == pytest.approx(expected, abs=1e-7)
    assert MapNormalizationLoss(loss_weight=0.5)(maps).item() == pytest.approx(expected / 2, abs=1e-7)


def test_zero_padding_pulls_the_borders_down():
    smooth = MapNormalizationLoss().smooth(torch.full((1, 14, 14), 0.5))
    assert smooth[0, 7, 7].item() == pytest.approx(0.5)
    assert smooth[0, 0, 7].item() == pytest.approx(0.47436572)
    assert smooth[0, 0, 0].item() == pytest.approx(0.45004569)
    ones = torch.ones(1, 5, 6)
    for padding in ("reflect", "replicate"):
        assert MapNormalizationLoss(padding_mode=padding)(ones).item() == pytest.approx(0, abs=1e-6)


def test_without_smoothing():
    maps = torch.rand(2, 5, 7)
    torch.testing.assert_close(MapNormalizationLoss(kernel=None)(maps), (maps * (1 - maps)).mean())


def test_kernel_is_not_in_checkpoints_and_moves_with_the_maps():
    loss = MapNormalizationLoss()
    assert not loss.state_dict() and not list(loss.parameters())
    maps = torch.rand(1, 6, 6, dtype=torch.float64)
    assert loss(maps).dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss(maps.float()).item() == pytest.approx(loss(maps).item(), abs=1e-6)
        assert loss(maps.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(kernel="box"), r"kernel must be one of .* got 'box'"),
        (dict(kernel_size=4), "kernel_size must be odd, got 4"),
        (dict(padding_mode="circular"), "padding_mode must be one of"),
        (dict(sigma=0), "sigma must be positive, got 0"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MapNormalizationLoss(**kwargs)
