"""The mask files of the official LocLoc code: order, threshold, what is refused."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mmwsol.methods.locloc import LoadPseudoMask
from mmwsol.methods.locloc.official_masks import read_official_masks, unpack_official_masks
from mmwsol.structures import Frame

MASKS = np.zeros((3, 1, 256, 256), np.uint8)
MASKS[0, 0, :100] = 255
MASKS[1, 0, :, :50] = 12  # .047 of the maximum: background
MASKS[1, 0, 100:, 60:] = 255
MASKS[2] = 255


@pytest.fixture
def masks_file(tmp_path, monkeypatch):
    """A file of masks, with h5py or, where it is not installed, with a stand-in that has its interface."""

    def write(**arrays):
        path = tmp_path / "cub_grabcut_train.h5"
        try:
            import h5py

            with h5py.File(path, "w") as file:
                for name, values in arrays.items():
                    file[name] = values
        except ImportError:

            class File(dict):
                def __init__(self, name, mode):
                    assert (name, mode) == (str(path), "r")
                    super().__init__(arrays)

                def __enter__(self):
                    return self

                def __exit__(self, *_):
                    return None

            monkeypatch.setitem(sys.modules, "h5py", SimpleNamespace(File=File))
        return path

    return write


def images(number: int):
    items = [dict(img_id=f"{i}.bird/{i}.jpg") for i in range(number)]
    return type("Images", (list,), dict(get_data_info=lambda self, i: self[i]))(items)


def test_masks_get_the_names_of_the_images(masks_file, tmp_path):
    cache = tmp_path / "cache"
    assert unpack_official_masks(masks_file(dataset=MASKS), images(3), cache) == 3
    stored = [cv2.imread(str(cache / f"{i}.bird/{i}.png"), cv2.IMREAD_UNCHANGED) for i in range(3)]
    np.testing.assert_array_equal(stored[0] > 0, MASKS[0, 0] > 0)
    np.testing.assert_array_equal(stored[1] > 0, MASKS[1, 0] > 100)
    assert stored[2].all()  # a constant mask has no range
    frame = Frame.identity((9, 9)).resized((256, 256))
    results = dict(img_id="0.bird/0.jpg", img_shape=(256, 256), ori_shape=(9, 9), frame=frame)
    np.testing.assert_array_equal(LoadPseudoMask(str(cache))(results)["pseudo_mask"], MASKS[0, 0] > 0)


def test_masks_without_channel_and_of_another_size(masks_file):
    [mask] = read_official_masks(masks_file(dataset=MASKS[:1, 0, ::2, ::2]))
    assert mask.shape == (256, 256) and mask[:99].all() and not mask[101:].any()


def test_wrong_files(masks_file, tmp_path):
    path = masks_file(dataset=MASKS)
    with pytest.raises(ValueError, match="3 masks and the data set 2 images"):
        unpack_official_masks(path, images(2), tmp_path / "a")
    with pytest.raises(ValueError, match="3 masks and the data set 4 images"):
        unpack_official_masks(path, images(4), tmp_path / "b")
    with pytest.raises(ValueError, match="is not complete"):
        LoadPseudoMask(str(tmp_path / "b"))


def test_masks_that_cannot_be_kept_apart_or_written(masks_file, tmp_path, monkeypatch):
    path = masks_file(dataset=MASKS)
    same = images(3)
    same[1] = dict(img_id="0.bird/0.png")
    with pytest.raises(ValueError, match="'0.bird/0.jpg' and '0.bird/0.png' have the same place"):
        unpack_official_masks(path, same, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    (tmp_path / "b").write_text("a file")
    with pytest.raises(OSError):
        unpack_official_masks(path, images(3), tmp_path / "b")


def test_other_arrays(masks_file):
    with pytest.raises(ValueError, match="has no array 'dataset'"):
        list(read_official_masks(masks_file(data=MASKS)))


def test_attention_is_no_mask(masks_file):
    with pytest.raises(ValueError, match="is it attention"):
        list(read_official_masks(masks_file(dataset=np.zeros((1, 6, 16, 16)))))


def test_missing_h5py(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"mmwsol\[h5\]"):
        list(read_official_masks("x.h5"))
