"""The dense CRF loss: gradient, scales, precision."""

import pytest
import torch

from mmwsol.methods.dips import DenseCRFLoss


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randn(2, 2, 8, 8, dtype=torch.float64), torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)


@pytest.mark.parametrize("mode", ["lattice", "exact"])
def test_value_and_gradient(batch, mode):
    logits, images = batch
    loss_crf = DenseCRFLoss(mode, loss_weight=0.5)
    probs = logits.softmax(1)
    filtered = loss_crf.filter(probs, images.double())
    logits.requires_grad_()
    loss = loss_crf(logits, images)
    assert loss.item() == pytest.approx(-0.5 * (probs * filtered).sum().item() / 2)
    (3 * loss).backward()
    wanted = -3 * 0.5 * 2 * filtered / 2  # with respect to S, then through the softmax
    wanted = probs * (wanted - (wanted * probs).sum(1, keepdim=True))
    torch.testing.assert_close(logits.grad, wanted)


def test_exact_gradient_is_the_derivative(batch):
    logits, images = batch
    loss_crf = DenseCRFLoss("exact", sigma_xy=3, loss_weight=1.0)
    torch.autograd.gradcheck(lambda x: loss_crf(x, images[:1, :, :3, :3]), logits[:1, :, :3, :3].requires_grad_())


def test_lattice_is_about_half_of_the_exact_sum(batch):
    logits, images = batch
    ratio = DenseCRFLoss()(logits, images) / DenseCRFLoss("exact")(logits, images)
    assert 0.3 < ratio < 0.8


def test_mean_over_images(batch):
    logits, images = batch
    one, two = (DenseCRFLoss()(logits[i : i + 1], images[i : i + 1]) for i in range(2))
    assert DenseCRFLoss()(logits, images) == pytest.approx(((one + two) / 2).item())


def test_smooth_labels_cost_less():
    images = torch.zeros(1, 3, 8, 8)
    images[..., 4:] = 255
    logits = torch.zeros(1, 2, 8, 8)
    logits[:, 1, :, 4:] = 9  # foreground is the bright half
    noise = logits.flatten(2)[..., torch.randperm(64)].view_as(logits)
    assert DenseCRFLoss()(logits, images) < DenseCRFLoss()(noise, images)


@pytest.mark.parametrize("mode", ["lattice", "exact"])
def test_scale(batch, mode):
    logits, images = batch
    logits.requires_grad_()
    half = DenseCRFLoss(mode, scale=0.5, loss_weight=1.0)(logits, images)
    assert half < 0
    half.backward()
    assert logits.grad.abs().sum() > 0
    small = torch.nn.functional.interpolate(images.double(), scale_factor=0.5, mode="nearest")
    probs = torch.nn.functional.interpolate(logits.softmax(1), scale_factor=0.5, mode="bilinear")
    same = DenseCRFLoss(mode, sigma_xy=50, loss_weight=1.0)(probs.log(), small)
    assert half.item() == pytest.approx(same.item())


def test_half_precision_is_left(batch):
    logits, images = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = DenseCRFLoss()(logits.bfloat16(), images)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(DenseCRFLoss()(logits.bfloat16().float(), images).item())


def test_errors(batch):
    logits, images = batch
    with pytest.raises(ValueError, match="mode must be one of"):
        DenseCRFLoss("meanfield")
    with pytest.raises(ValueError, match="sigma_rgb must be positive, got 0"):
        DenseCRFLoss(sigma_rgb=0)
    with pytest.raises(ValueError, match="do not fit together"):
        DenseCRFLoss()(logits, images[:, :, :4])
