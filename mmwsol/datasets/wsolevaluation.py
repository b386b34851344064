"""The data sets that wsolevaluation collected or split (Choe et al., CVPR 2020): CUBv2, ImageNetV2, OpenImages30k."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mmpretrain.datasets.categories import CUB_CATEGORIES, IMAGENET_CATEGORIES

from mmwsol.datasets.base import fill_prefix
from mmwsol.datasets.loc_list import LocListDataset
from mmwsol.registry import DATASETS

# In the order of the labels, which is that of the folders ('01226z', '0138tl', ...).
# fmt: off
OPENIMAGES30K_CATEGORIES = (
    "Football", "Toy", "Apple", "Bird", "Ball", "Surfboard", "Boot", "Shorts", "Bus", "Boy", "Bicycle wheel", "Dress",
    "Person", "Swimwear", "Balloon", "Vehicle registration plate", "Limousine", "Carnivore", "Computer keyboard",
    "Shirt", "Cheese", "Cattle", "Suit", "Cat", "Bronze sculpture", "Cookie", "Coin", "Box", "Drink", "Human mouth",
    "Hat", "Human body", "Roller skates", "Tart", "Fox", "Flag", "Guitar", "Human ear", "Woman", "Door handle", "Goat",
    "Horse", "Motorcycle", "Bottle", "Lizard", "Man", "Mobile phone", "Mushroom", "Chest of drawers", "Piano", "Girl",
    "Penguin", "Pizza", "Pig", "Skateboard", "Raven", "High heels", "Rose", "Rabbit", "Sculpture", "Squirrel", "Snake",
    "Skyscraper", "Tank", "Tomato", "Train", "Trousers", "Truck", "Handbag", "Wine", "Wheel", "Monkey", "Lion", "Bread",
    "Chicken", "Crocodile", "Clothing", "Lemon", "Frog", "Dog", "Book", "Shark", "Flower", "Hamburger", "Fish",
    "Airplane", "Mule", "Camera", "Jeans", "Flowerpot", "Cake", "Parrot", "Sparrow", "Van", "Pastry", "Pen", "Car",
    "Aircraft", "Sandwich", "Canoe",
)
# fmt: on


class WSOLDataset(LocListDataset):
    """Base of the data sets whose lists are wsolevaluation's four files.

    Args:
        data_root: Folder of the images and, in ``metadata``, of the lists.
        split: One of ``splits``. Defaults to '': the only one.
        ann_file: Folder of the lists. Defaults to '': the first of ``lists`` that exists under ``data_root``.
        data_prefix: Folders of images and masks. Defaults to None: those of the data set.
        metainfo: ``classes`` defaults to the names of the data set.
        **kwargs: Arguments of :class:`LocListDataset`.

    Raises:
        FileNotFoundError: If there are no lists.
        ValueError: If there is no such split.
    """

    ann_file: str
    knows_split = True
    splits: tuple[str, ...] = ("",)
    #: Folders of the lists, ``{}`` is the split.
    lists: tuple[str, ...] = ()
    img_prefix = ""

    def __init__(
        self,
        data_root: str = "",
        split: str = "",
        ann_file: str = "",
        data_prefix: str | Mapping[str, str] | None = None,
        metainfo: Mapping | None = None,
        **kwargs,
    ) -> None:
        if split not in self.splits:
            name = type(self).__name__
            splits = f"the splits {self.splits}" if len(self.splits) > 1 else "one split: leave the argument out"
            raise ValueError(f"{name} has {splits}, got {split!r}")
        prefix = fill_prefix(data_prefix, img_path=self.img_prefix)
        super().__init__(data_root, ann_file, split, "wsol", prefix, metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Find and read the lists."""
        if not self.ann_file:
            names = [name.format(self.split) for name in self.lists]
            folders = [os.path.join(self.data_root, name) for name in names]
            existing = [folder for folder in folders if os.path.isdir(folder)]
            if not existing:
                raise FileNotFoundError(
                    f"'{self.data_root}' has no lists, none of {', '.join(names)}: copy the folder 'metadata' of "
                    "wsolevaluation there, or pass ann_file"
                )
            self.ann_file = existing[0]
        return super().load_data_list()


@DATASETS.register_module()
class CUBv2(WSOLDataset):
    """CUBv2: 1,000 further images of the 200 classes of CUB-200-2011, 3 to 6 a class, one box each.

    The held-out set on which wsolevaluation chooses models and thresholds; it calls it 'val', the paper
    'train-fullsup'. Boxes are those of its metadata::

        images/<class>/*.jpg
        metadata/CUB/val/{image_ids,class_labels,image_sizes,localization}.txt
    """

    METAINFO = dict(classes=CUB_CATEGORIES)
    lists = ("metadata/CUB/val", "metadata/CUB/train-fullsup")
    img_prefix = "images"


@DATASETS.register_module()
class ImageNetV2(WSOLDataset):
    """ImageNetV2, threshold-0.7 part (Recht et al., 2019): 10,000 images, 10 of each ILSVRC class, 18,532 boxes.

    The held-out set of ILSVRC, as :class:`CUBv2` is that of CUB. The class folder is the label, not a wnid::

        val2/<0..999>/*.jpeg
        metadata/ILSVRC/val/{image_ids,class_labels,image_sizes,localization}.txt

    wsolevaluation's lists name images ``0.jpeg`` ... ``9.jpeg``, newer ones by the hash that the archive has now: the
    files must be named as in the list (``tools/dataset_converters/imagenetv2.py`` sees to it).
    """

    METAINFO = dict(classes=IMAGENET_CATEGORIES)
    lists = ("metadata/ILSVRC/val", "metadata/ILSVRC/train-fullsup")


@DATASETS.register_module()
class OpenImages30k(WSOLDataset):
    """OpenImages30k: 29,819 training, 2,500 val and 5,000 test images of 100 classes, with masks for val and test.

    An image has one mask file an instance and one file of the pixels to ignore. No image has a box: evaluate with
    ``mmwsol.PxAP``::

        {train,val,test}/<class>/*.jpg
        {val,test}/<class>/*.png
        metadata/OpenImages/{train,val,test}/{image_ids,class_labels,localization}.txt

    Args:
        data_root: Folder of the images and, in ``metadata``, of the lists.
        split: 'train', 'val' or 'test'. Defaults to 'train'.
        **kwargs: Arguments of :class:`WSOLDataset`; ``data_prefix=dict(mask_path=...)`` if the masks lie elsewhere.
    """

    METAINFO = dict(classes=OPENIMAGES30K_CATEGORIES)
    splits = ("train", "val", "test")
    lists = ("metadata/OpenImages/{}",)

    def __init__(self, data_root: str = "", split: str = "train", **kwargs) -> None:
        super().__init__(data_root, split, **kwargs)
