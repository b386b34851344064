"""Localization data sets and their transforms."""

from .base import BaseLocDataset
from .cub import CUB
from .ilsvrc import ILSVRC
from .loc_list import LocListDataset
from .shapes import Shapes
from .tiny_imagenet import TinyImageNet

__all__ = ["CUB", "ILSVRC", "BaseLocDataset", "LocListDataset", "Shapes", "TinyImageNet"]
