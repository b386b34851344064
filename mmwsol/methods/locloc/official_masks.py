"""The pseudo masks that the official LocLoc code reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmwsol.datasets.offline_cache import MANIFEST, cache_file

SIDE = 256  # of the official masks
THRESHOLD = 0.05  # above which the official loaders take a mask as foreground, after JPEG and resize


def read_official_masks(path: str | Path) -> Iterator[np.ndarray]:
    """Read an HDF5 file of masks, such as ``cub_grabcut_train.h5``, one by one.

    The file has one array ``dataset``, (N, H, W) or (N, 1, H, W), in the order of the split's list: of ``images.txt``
    for CUB, of ``train.txt`` for ILSVRC. As the official loaders do, masks are resized to 256, brought to [0, 1] and
    cut at 0.05.

    Yields:
        (256, 256) bool.

    Raises:
        ImportError: If h5py is not installed.
        ValueError: If the file has no such array.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("the official masks are HDF5 files: pip install 'mmwsol[h5]' (h5py).") from error
    with h5py.File(str(path), "r") as file:
        if "dataset" not in file:
            raise ValueError(f"'{path}' has no array 'dataset': it is no mask file of LocLoc.")
        for values in file["dataset"]:
            mask = np.squeeze(np.asarray(values))
            if mask.ndim != 2:
                raise ValueError(f"'{path}' holds arrays {np.shape(values)}, not masks (H, W): is it attention?")
            mask = cv2.resize(mask.astype(np.float32), (SIDE, SIDE))
            low, high = mask.min(), mask.max()
            yield (mask - low) / (high - low) >= THRESHOLD if high > low else mask > 0


def unpack_official_masks(path: str | Path, dataset: Any, cache_dir: str | Path) -> int:
    """Write the masks of an official file under the names of the images, as ``mmwsol.LoadPseudoMask`` reads them.

    Args:
        path: HDF5 file.
        dataset: The split that the file belongs to, in the official order.
        cache_dir: Folder to write.

    Returns:
        Number of masks.

    Raises:
        ValueError: If the file does not have one mask for every image.
    """
    count = 0
    for mask in read_official_masks(path):
        if count < len(dataset):
            target = cache_file(cache_dir, dataset.get_data_info(count)["img_id"], ".png")
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), mask.astype(np.uint8) * 255)
        count += 1
    if count != len(dataset):
        raise ValueError(
            f"'{path}' has {count} masks and the data set {len(dataset)} images: their order alone matches them, so "
            "take the whole split that the file was made for."
        )
    manifest = dict(version=1, writer="official", source=Path(path).name, suffix=".png", complete=True, failed={})
    Path(cache_dir, MANIFEST).write_text(json.dumps(dict(manifest, num_images=count), indent=1, sort_keys=True))
    return count
