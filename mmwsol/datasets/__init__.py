"""Localization data sets and their transforms."""

from .base import BaseLocDataset
from .brain_tumor import BrainTumor
from .cub import CUB
from .fine_grained import FGVCAircraft, StanfordCars, StanfordDogs
from .ilsvrc import ILSVRC
from .imagenette import Imagenette
from .loc_list import LocListDataset
from .neu_det import NEUDET
from .shapes import Shapes
from .tiny_imagenet import TinyImageNet
from .wsolevaluation import CUBv2, ImageNetV2, OpenImages30k

__all__ = [
    "CUB",
    "ILSVRC",
    "NEUDET",
    "BaseLocDataset",
    "BrainTumor",
    "CUBv2",
    "FGVCAircraft",
    "ImageNetV2",
    "Imagenette",
    "LocListDataset",
    "OpenImages30k",
    "Shapes",
    "StanfordCars",
    "StanfordDogs",
    "TinyImageNet",
]
