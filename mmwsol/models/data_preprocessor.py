"""From a batch of uint8 images to the network's input."""

from __future__ import annotations

from mmpretrain.models.utils import ClsDataPreprocessor

from mmwsol.registry import MODELS


@MODELS.register_module()
class LocDataPreprocessor(ClsDataPreprocessor):
    """mmpretrain's preprocessor that also prepares the views of ten-crop classification.

    Args:
        mean (Sequence[float], optional): RGB mean in 0-255. Defaults to ImageNet's.
        std (Sequence[float], optional): RGB standard deviation in 0-255. Defaults to ImageNet's.
        to_rgb (bool): Whether to turn BGR input into RGB. Defaults to True.
        **kwargs: Further arguments of ``ClsDataPreprocessor``.
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
        batch = super().forward(data, training)
        if "crops" in data:
            views = data["crops"]
            flat = [view for crops in views for view in crops]
            prepared = super().forward(dict(inputs=flat), training)["inputs"]
            batch["crops"] = prepared.unflatten(0, (len(views), -1))
        return batch
