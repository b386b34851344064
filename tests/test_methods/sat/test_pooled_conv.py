"""pooled_conv: equal to the mean of the convolution, with its gradients."""

import pytest
import torch
from torch import nn

from mmwsol.methods.sat.pooled_conv import pooled_conv


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (14, 14)])
@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_mean_of_the_convolution(kernel_size, size, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 7, kernel_size, padding=kernel_size // 2, bias=bias).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    ours, expected = pooled_conv(conv, x), conv(x).mean(dim=(2, 3))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    inputs = (x, *conv.parameters())
    gradients = (torch.autograd.grad(logits.square().sum(), inputs) for logits in (ours, expected))
    for gradient, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-10)


def test_another_dtype_under_autocast():
    torch.manual_seed(0)
    conv, x = nn.Conv2d(6, 7, 3, padding=1), torch.randn(2, 6, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = pooled_conv(conv, x)
    torch.testing.assert_close(logits.float(), conv(x).mean(dim=(2, 3)), rtol=0, atol=0.02)
