"""What a preprocessor normalizes with, whatever package it is of, and which sample belongs to which image."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from mmpretrain.models.utils import ClsDataPreprocessor

from mmwsol.models import LocDataPreprocessor
from mmwsol.models.data_preprocessor import normalization
from mmwsol.structures import LocDataSample

NUMBERS = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])


@pytest.mark.parametrize(
    ("preprocessor", "to_rgb"),
    [
        (LocDataPreprocessor(**NUMBERS), True),
        (LocDataPreprocessor(**NUMBERS, to_rgb=False), False),
        (ClsDataPreprocessor(**NUMBERS), False),
        (ImgDataPreprocessor(**NUMBERS, bgr_to_rgb=True), True),
        (ImgDataPreprocessor(**NUMBERS), False),
    ],
)
def test_normalization(preprocessor, to_rgb):
    found = normalization(preprocessor)
    assert found.mean.tolist() == NUMBERS["mean"] and found.std.tolist() == NUMBERS["std"]
    assert found.to_rgb is to_rgb and found.has_mean
    pixel = torch.rand(3, 8, 8)
    expected = pixel.flip(0) if to_rgb else pixel
    expected = (expected - found.mean[:, None, None]) / found.std[:, None, None]
    torch.testing.assert_close(preprocessor(dict(inputs=[pixel]))["inputs"][0], expected)


@pytest.mark.parametrize(
    ("preprocessor", "to_rgb"),
    [
        (LocDataPreprocessor(mean=None, std=None), True),
        (ClsDataPreprocessor(), False),
        (ImgDataPreprocessor(), False),
        (BaseDataPreprocessor(), False),
    ],
)
def test_no_normalization(preprocessor, to_rgb):
    found = normalization(preprocessor)
    assert found.mean.tolist() == [0, 0, 0] and found.std.tolist() == [1, 1, 1]
    assert found.to_rgb is to_rgb and not found.has_mean


def test_a_sample_is_compared_with_its_own_image():
    """The first sample is of another kind: the second one's size is not that of the first image."""
    samples = [SimpleNamespace(), LocDataSample(metainfo=dict(img_shape=(48, 48)))]
    images = [torch.zeros(3, side, side) for side in (32, 48)]
    with pytest.raises(ValueError, match="32x32 and 48x48 .* no data samples with img_shape"):
        LocDataPreprocessor()(dict(inputs=images, data_samples=samples))
