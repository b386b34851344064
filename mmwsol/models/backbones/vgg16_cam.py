"""VGG16 without its classifier, for class activation maps."""

from __future__ import annotations

from torch import Tensor, nn

from mmwsol.models.backbones.tapping import PretrainedBackbone
from mmwsol.models.initialization import split_pretrained
from mmwsol.registry import MODELS

# Convolutions of the five stages, as multiples of base_channels; a pooling layer stands between stages.
_STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))


@MODELS.register_module()
class VGG16CAM(PretrainedBackbone):
    """VGG16 (without batch norm) up to its last convolution, and one further 3x3 convolution, as the CAM papers use it.

    The last pooling layer and the fully connected layers are gone: the map has stride 16. Parameters of ``features``
    have torchvision's names, so that its ImageNet weights load; ``conv6`` is new.

    Args:
        base_channels: Channels of the first stage; the last has 8 times, the output 16 times as many. Defaults to
            64: VGG16.
        init_cfg: mmengine's initialization config. Defaults to None: N(0, sqrt(2 / (k^2 out))) and
            zero bias, as in the official TS-CAM code; so is ``conv6`` beside weights of a file.
    """

    def __init__(self, base_channels: int = 64, init_cfg: dict | None = None) -> None:
        drawn, files = split_pretrained(init_cfg)
        super().__init__([*(drawn or [dict(type="Kaiming", layer="Conv2d")]), *files])
        layers: list[nn.Module] = []
        channels = 3
        for stage in _STAGES:
            if layers:
                layers.append(nn.MaxPool2d(2, 2))
            for factor in stage:
                layers += [nn.Conv2d(channels, factor * base_channels, 3, padding=1), nn.ReLU(inplace=True)]
                channels = factor * base_channels
        self.features = nn.Sequential(*layers)
        self.conv6 = nn.Conv2d(channels, 16 * base_channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Compute the map (B, 16 * base_channels, H / 16, W / 16) of images (B, 3, H, W), in a tuple of one."""
        return (self.relu(self.conv6(self.features(x))),)
