"""The pseudo masks that the official LocLoc code reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmwsol.datasets.offline_cache import cache_files, converted_cache, write_cached

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
        OSError: If a mask cannot be written.
        ValueError: If the file does not have one mask for every image, or two images would have one file.
    """
    count = 0
    names = [dataset.get_data_info(index)["img_id"] for index in range(len(dataset))]
    targets = cache_files(cache_dir, names, ".png")
    manifest = dict(version=1, writer="official", source=Path(path).name, suffix=".png", failed={})
    with converted_cache(cache_dir, dict(manifest, num_images=len(targets))):
        for mask in read_official_masks(path):
            if count < len(targets):
                content = cv2.imencode(".png", mask.astype(np.uint8) * 255)[1]
                write_cached(cache_dir, targets[count], content.tobytes())
            count += 1
        if count != len(targets):
            raise ValueError(
                f"'{path}' has {count} masks and the data set {len(targets)} images: their order alone matches them, "
                "so take the whole split that the file was made for."
            )
    return count
