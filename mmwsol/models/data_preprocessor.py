"""From a batch of uint8 images to the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.model import ImgDataPreprocessor
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmwsol.registry import MODELS


class Normalization(NamedTuple):
    """What a data preprocessor does to the pixels of an image.

    Attributes:
        mean: (3,) that is subtracted, in 0-255, in the order of the network's channels; 0 if none is.
        std: (3,) that is divided by; 1 if there is none.
        to_rgb: Whether the network's channels are RGB; else BGR, as images are loaded.
        has_mean: Whether the preprocessor was given a mean at all.
    """

    mean: Tensor
    std: Tensor
    to_rgb: bool
    has_mean: bool


def normalization(preprocessor: nn.Module) -> Normalization:
    """Return what a preprocessor normalizes with: one of this package, of mmpretrain, of mmdet or of mmengine."""
    buffers = dict(preprocessor.named_buffers(recurse=False))  # mean and std, where they were given
    mean, std = buffers.get("mean", torch.zeros(3)), buffers.get("std", torch.ones(3))
    if isinstance(preprocessor, ImgDataPreprocessor):
        to_rgb = preprocessor._channel_conversion
    else:
        to_rgb = isinstance(preprocessor, ClsDataPreprocessor) and preprocessor.to_rgb
    mean, std = (value.detach().flatten().expand(3) for value in (mean, std))
    return Normalization(mean, std, bool(to_rgb), "mean" in buffers)


@MODELS.register_module()
class LocDataPreprocessor(ClsDataPreprocessor):
    """mmpretrain's preprocessor that also prepares the views of ten-crop classification.

    mmpretrain pads the images of a batch to one size, at the right and the bottom. The localizer cuts this padding off
    again before it predicts, image by image, by the ``img_shape`` of the data samples: what a network sees, and every
    metric, does not depend on the batch. Where that cannot be done the batch is refused.

    Args:
        mean: RGB mean in 0-255, BGR with ``to_rgb=False``; None: pixels stay as they are.
            Defaults to ImageNet's.
        std: Standard deviation, likewise. Defaults to ImageNet's.
        to_rgb: Whether to turn BGR input into RGB. Defaults to True.
        **kwargs: Further arguments of ``ClsDataPreprocessor``.

    Raises:
        ValueError: In :meth:`forward`, if images of one batch have different sizes while training or without data
            samples that state their ``img_shape``, if one states another size than its image has, or if
            ``pad_size_divisor`` would pad an image.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = (123.675, 116.28, 103.53),
        std: Sequence[float] | None = (58.395, 57.12, 57.375),
        to_rgb: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(mean=mean, std=std, to_rgb=to_rgb, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare ``inputs`` (B, 3, H, W) and, if the pipeline made them, ``crops`` (B, V, 3, h, w)."""
        self._check_sizes(data["inputs"], data.get("data_samples"), training)
        batch = super().forward(data, training)
        if "crops" in data:
            views = data["crops"]
            flat = [view for crops in views for view in crops]
            prepared = super().forward(dict(inputs=flat), training)["inputs"]
            batch["crops"] = prepared.unflatten(0, (len(views), -1))
        return batch

    def _check_sizes(self, inputs: Tensor | Sequence[Tensor], samples: Sequence | None, training: bool) -> None:
        """Refuse images whose maps would not be those of the image alone."""
        sizes = [(image.shape[-2], image.shape[-1]) for image in inputs]
        padded = [size for size in sizes if any(side % self.pad_size_divisor for side in size)]
        if padded:
            raise ValueError(
                f"pad_size_divisor={self.pad_size_divisor} pads an image of {padded[0][1]}x{padded[0][0]} (W x H): its "
                "maps would cover the padding, too. Resize or crop to a multiple in the pipeline, or leave it out."
            )
        samples = samples or [None] * len(sizes)
        stated = [sample.metainfo.get("img_shape") if isinstance(sample, DataSample) else None for sample in samples]
        for size, shape in zip(sizes, stated, strict=True):
            if shape is not None and tuple(shape[:2]) != size:
                raise ValueError(
                    f"an image of {size[1]}x{size[0]} has a data sample with img_shape (H, W) = {tuple(shape[:2])}: "
                    "use transforms that carry it (mmwsol.Resize, ...) and mmwsol.PackLocInputs."
                )
        if len(set(sizes)) == 1:
            return
        what = f"one batch has images of {' and '.join(f'{w}x{h}' for h, w in sorted(set(sizes))[:2])} (W x H)"
        if training:
            raise ValueError(
                f"{what}: training needs one size. Resize the whole image (mmwsol.Resize), crop it (mmwsol.RandomCrop, "
                "mmwsol.RandomResizedCrop), or take train_dataloader.batch_size=1."
            )
        if None in stated:
            raise ValueError(f"{what}, but no data samples with img_shape, which tell the padding: use PackLocInputs.")
