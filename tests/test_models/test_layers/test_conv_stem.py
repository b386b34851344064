"""ConvStem: tokens look at the centers of their patches."""

import torch

from mmwsol.models.layers import ConvStem


def test_tokens_are_centered_on_their_patches():
    stem = ConvStem(4, channels=(2, 2, 2), img_size=64).double().eval()
    for parameter in stem.parameters():
        torch.nn.init.ones_(parameter)
    image = torch.ones(1, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    tokens, grid = stem(image)
    assert grid == stem.init_out_size == (8, 8)
    tokens.unflatten(1, grid)[0, 3, 5].sum().backward()
    weight = image.grad[0].sum(0)
    places = torch.arange(64, dtype=torch.float64)
    y, x = (weight.sum(1) @ places) / weight.sum(), (weight.sum(0) @ places) / weight.sum()
    torch.testing.assert_close(torch.stack([y, x]), torch.tensor([3 * 8 + 3.5, 5 * 8 + 3.5]).double())


def test_not_square():
    assert ConvStem(4, (2, 3), (16, 24))(torch.rand(1, 3, 16, 24))[1] == (4, 6)
