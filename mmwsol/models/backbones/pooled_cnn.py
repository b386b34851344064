"""Classifiers of timm and torchvision with pooled features, as backbones under CAM."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsol.models.features import Features
from mmwsol.models.wrapped_networks import channels_last, pixel_statistics
from mmwsol.registry import MODELS


class PooledCNN(BaseModule):
    """Base of networks that classify by one linear layer behind a global pool; the layer itself is the head's.

    Some have further layers between the two: a norm (ConvNeXt), a linear layer with its activation (MobileNetV3). They
    give the pooled feature of the image, which the classifier takes, and are also run on every cell of the map alone,
    as if the image were this cell: a class's row of the classifier then reads the cells.

    Attributes:
        pixel_mean: (3,) RGB mean in 0-255 of the images that the network was trained on.
        pixel_std: (3,) standard deviation, likewise.
    """

    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]

    def forward(self, x: Tensor) -> Features:
        """Compute ``patch_map`` (B, D, h, w) and ``pooled`` (B, D) of images (B, 3, H, W)."""
        maps = self.feature_map(x)
        batch, channels, height, width = maps.shape
        cells = self.after_pool(maps.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1))
        patch_map = cells.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2)
        return Features(patch_map, pooled=self.after_pool(maps))

    @abstractmethod
    def feature_map(self, x: Tensor) -> Tensor:
        """Compute the map (B, E, h, w) that the network pools."""

    @abstractmethod
    def after_pool(self, maps: Tensor) -> Tensor:
        """Pool maps (B, E, h, w) and run the layers up to the classifier: (B, D)."""


@MODELS.register_module()
class TimmCNN(PooledCNN):
    """A classifier of timm whose features are a map: ResNet, ConvNeXt, MobileNetV3, EfficientNet, RegNet, Swin, ...

    Weights are given by ``model.init_cfg`` or ``--weights``: 'timm://NAME', or a file.

    Args:
        model_name: Name in ``timm.list_models()``, with or without the tag of its weights: 'resnet50.a1_in1k'.
        **kwargs: Arguments of ``timm.create_model``, such as ``drop_path_rate`` or ``output_stride``.

    Raises:
        ValueError: If timm does not know the model, its features are no map, or ``pretrained`` is set.
    """

    def __init__(self, model_name: str, **kwargs) -> None:
        import timm

        super().__init__()
        for name in ("pretrained", "checkpoint_path"):
            if kwargs.pop(name, None):
                raise ValueError(
                    f"TimmCNN has no {name}: set model.init_cfg=dict(type='Pretrained', checkpoint='timm://"
                    f"{model_name}'), or a file, which also starts the classifier."
                )
        if ":" in model_name or not timm.is_model(model_name):
            raise ValueError(f"timm {timm.__version__} has no model {model_name!r}; timm.list_models() lists names.")
        self.timm_model: Any = timm.create_model(model_name, num_classes=0, **kwargs)
        self.pixel_mean, self.pixel_std = pixel_statistics(self.timm_model)
        self._last = getattr(self.timm_model, "output_fmt", None) == "NHWC"  # channels are the last axis

    def feature_map(self, x: Tensor) -> Tensor:
        """Compute the map (B, E, h, w) that the network pools.

        Raises:
            ValueError: If its features are tokens.
        """
        maps = self.timm_model.forward_features(channels_last(x))
        if maps.ndim != 4:
            raise ValueError(
                f"{type(self.timm_model).__name__} gives tokens {tuple(maps.shape)}, no map: take mmwsol.TimmViT."
            )
        return maps.permute(0, 3, 1, 2) if self._last else maps

    def after_pool(self, maps: Tensor) -> Tensor:
        """Pool maps (B, E, h, w) and run the layers up to the classifier: (B, D)."""
        maps = maps.permute(0, 2, 3, 1) if self._last else maps
        return self.timm_model.forward_head(maps, pre_logits=True)


@MODELS.register_module()
class TorchvisionCNN(PooledCNN):
    """A classifier of torchvision with a global pool: ResNet, ConvNeXt, MobileNet, EfficientNet, RegNet, DenseNet, ...

    Weights are given by ``model.init_cfg`` or ``--weights``: 'torchvision://NAME', or a file.

    Args:
        model_name: Name in ``torchvision.models.list_models()``.
        **kwargs: Arguments of the network, such as ``stochastic_depth_prob``.

    Raises:
        ValueError: If torchvision does not know the model, or its classifier is not a linear layer behind a pool.

    Attributes:
        classifier: Name of the classifier among the weights of torchvision, such as 'fc'.
    """

    def __init__(self, model_name: str, **kwargs) -> None:
        from torchvision import models

        super().__init__()
        if model_name not in models.list_models(models):
            raise ValueError(f"torchvision has no classifier {model_name!r}; torchvision.models.list_models() lists.")
        network: Any = models.get_model(model_name, weights=None, **kwargs)
        if hasattr(network, "transform_input"):
            raise ValueError(f"torchvision's {model_name} normalizes its images itself: take that of timm (TimmCNN).")
        self.torchvision_model = network
        self._feature_names, self._tail = _split(network)
        self._relu = isinstance(network, models.DenseNet)  # a function between its map and the pool
        preset = models.get_model_weights(model_name).DEFAULT.transforms()
        self.pixel_mean = tuple(255 * float(value) for value in preset.mean)
        self.pixel_std = tuple(255 * float(value) for value in preset.std)
        self.classifier = self._take_classifier(model_name)

    def _take_classifier(self, model_name: str) -> str:
        """Remove the classifier, having checked that it gives the network's logits here too, and return its name."""
        network: Any = self.torchvision_model
        tail = network.get_submodule(self._tail)
        name = ".".join([self._tail, *[name for name, _ in tail.named_children()][-1:]])
        linear = network.get_submodule(name)
        network.eval()
        images = torch.linspace(-9, 9, 3 * 224 * 224).sin().view(1, 3, 224, 224)
        try:
            with torch.no_grad():
                logits = network(images)
                setattr(network.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], nn.Identity())
                difference = linear(self.after_pool(self.feature_map(images))) - logits
            same = bool(difference.abs().max() <= 1e-3 * logits.abs().max())
        except (AssertionError, RuntimeError, TypeError, ValueError):  # tokens, or a convolution
            same = False
        if not same or not isinstance(linear, nn.Linear):
            raise ValueError(f"torchvision's {model_name} does not classify by a linear layer behind a global pool.")
        network.train()
        return name

    def feature_map(self, x: Tensor) -> Tensor:
        """Compute the map (B, E, h, w) that the network pools."""
        x = channels_last(x)
        for name in self._feature_names:
            x = getattr(self.torchvision_model, name)(x)
        return x.relu() if self._relu else x

    def after_pool(self, maps: Tensor) -> Tensor:
        """Pool maps (B, E, h, w) and run the layers up to the classifier: (B, D)."""
        pooled = maps.mean(dim=(2, 3), keepdim=True)
        tail = getattr(self.torchvision_model, self._tail)
        flattens = isinstance(tail, nn.Sequential) and any(isinstance(layer, nn.Flatten) for layer in tail)
        return tail(pooled if flattens else pooled.flatten(1))


def _split(network: nn.Module) -> tuple[list[str], str]:
    """Return the names of the children before the pool, and that of the last one, which classifies."""
    names = [name for name, _ in network.named_children()]
    return names[: names.index("avgpool") if "avgpool" in names else -1], names[-1]
