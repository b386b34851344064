"""The permutohedral lattice: values of the official code, batches, limits."""

import numpy as np
import pytest
import torch

from mmwsol.methods.dips import DenseCRFLoss, PermutohedralLattice
from mmwsol.methods.dips import permutohedral as module
from mmwsol.methods.dips.permutohedral import lattice_filter


def smooth(images, probs=None):
    """Filter with the standard deviations of DiPS: 15 of colors, 100 pixels."""
    images = torch.as_tensor(images, dtype=torch.float64)
    probs = torch.ones(len(images), 1, *images.shape[2:], dtype=torch.float64) if probs is None else probs
    return DenseCRFLoss().filter(probs, images)


def gray(values):
    """One row of gray pixels."""
    return torch.tensor(values, dtype=torch.float64).expand(1, 3, 1, len(values))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0], [0.984848]),
        ([10], [0.581017]),
        ([15], [0.622239]),
        ([0, 0], [1.964099, 1.952974]),
        ([0, 15], [1.074390, 0.704314]),
        ([0, 200], [0.984848, 0.432037]),
    ],
)
def test_few_pixels(values, expected):
    np.testing.assert_allclose(smooth(gray(values)).flatten(), expected, atol=2e-6)


def test_picture_of_16_pixels():
    i = np.arange(16)
    image = np.stack([(17 * (c + 1) * i) % 256 for c in range(3)]).reshape(1, 3, 4, 4)
    fg = torch.from_numpy((i % 5) / 4).reshape(1, 1, 4, 4)
    probs = torch.cat([fg, 1 - fg], dim=1)
    filtered = smooth(image, probs)
    np.testing.assert_allclose(filtered[0, 0, 0], [0, 0.134267, 0.234372, 0.517789], atol=2e-6)
    np.testing.assert_allclose(filtered[0, 0, 3], [0.289817, 0.473732, 0.592279, 0], atol=2e-6)
    assert -(probs * filtered).sum() == pytest.approx(-7.202612, abs=2e-5)
    exact = DenseCRFLoss("exact")
    assert -(probs * exact.filter(probs, torch.as_tensor(image).double())).sum() == pytest.approx(-12.251369, abs=1e-5)
    constant = np.full((1, 3, 4, 4), 128.0)
    assert -(probs * smooth(constant, probs)).sum() == pytest.approx(-81.766731, abs=2e-4)
    assert -(probs * exact.filter(probs, torch.as_tensor(constant))).sum() == pytest.approx(-128.468507, abs=1e-5)


def test_images_of_a_batch_do_not_mix(monkeypatch):
    torch.manual_seed(0)
    images, probs = 255 * torch.rand(3, 3, 6, 7), torch.rand(3, 2, 6, 7)
    each = torch.cat([smooth(image[None], prob[None].double()) for image, prob in zip(images, probs, strict=True)])
    torch.testing.assert_close(smooth(images, probs.double()), each, rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(module, "_POINTS_AT_ONCE", 84)  # two images, then one
    torch.testing.assert_close(smooth(images, probs.double()), each, rtol=1e-12, atol=1e-12)
    assert PermutohedralLattice(torch.rand(3, 5, 42)).filter(torch.rand(3, 2, 42)).shape == (3, 2, 42)


def test_linear_and_shift_of_the_order_of_points():
    torch.manual_seed(0)
    features, values = 3 * torch.rand(1, 5, 24).double(), torch.rand(1, 2, 24).double()
    out = lattice_filter(features, values)
    torch.testing.assert_close(lattice_filter(features, 3 * values), 3 * out)
    order = torch.randperm(24)
    torch.testing.assert_close(lattice_filter(features[..., order], values[..., order]), out[..., order])


def test_few_vertices_serve_many_pixels():
    image = torch.full((1, 3, 32, 32), 100.0)
    assert PermutohedralLattice(DenseCRFLoss().features(image)).num_vertices < 30


def test_limits():
    with pytest.raises(ValueError, match=r"shape \(B, d, N\)"):
        PermutohedralLattice(torch.zeros(5, 10))
    with pytest.raises(ValueError, match="larger standard deviations"):
        PermutohedralLattice(1e6 * torch.rand(1, 5, 8))
