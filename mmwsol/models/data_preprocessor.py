"""From a batch of uint8 images to the network's input."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.structures import DataSample
from torch import Tensor

from mmwsol.registry import MODELS


@MODELS.register_module()
class LocDataPreprocessor(ClsDataPreprocessor):
    """mmpretrain's preprocessor that also prepares the views of ten-crop classification.

    mmpretrain pads the images of a batch to one size, at the right and the bottom. The localizer cuts this padding off
    again before it predicts, image by image, by the ``img_shape`` of the data samples: what a network sees, and every
    metric, does not depend on the batch. Where that cannot be done the batch is refused.

    Args:
        mean (Sequence[float], optional): RGB mean in 0-255. Defaults to ImageNet's.
        std (Sequence[float], optional): RGB standard deviation in 0-255. Defaults to ImageNet's.
        to_rgb (bool): Whether to turn BGR input into RGB. Defaults to True.
        **kwargs: Further arguments of ``ClsDataPreprocessor``.

    Raises:
        ValueError: In :meth:`forward`, if images of one batch have different sizes while training or without data
            samples that state their ``img_shape``, if one states another size than its image has, or if
            ``pad_size_divisor`` would pad an image.
    """

    def __init__(
        self,
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
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
        stated = [sample.metainfo.get("img_shape") for sample in samples or () if isinstance(sample, DataSample)]
        for size, shape in zip(sizes, stated, strict=False):
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
        if len(stated) != len(sizes) or None in stated:
            raise ValueError(f"{what}, but no data samples with img_shape, which tell the padding: use PackLocInputs.")
