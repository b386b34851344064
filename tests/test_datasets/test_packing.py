"""PackLocInputs and whole pipelines."""

from __future__ import annotations

import layouts
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmwsol.datasets import CUB
from mmwsol.datasets.transforms import PackLocInputs
from mmwsol.structures import Frame, LocDataSample

LOAD, PACK = dict(type="mmwsol.LoadImage"), dict(type="mmwsol.PackLocInputs")


def dataset(tmp_path, *steps, **kwargs):
    return CUB(layouts.cub(tmp_path, masks=True), pipeline=[LOAD, *steps, PACK], **kwargs)


def test_pack(tmp_path):
    steps = [dict(type="mmwsol.Resize", scale=(20, 15)), dict(type="mmwsol.LoadMasks")]
    packed = dataset(tmp_path, *steps)[1]
    assert set(packed) == {"inputs", "data_samples"}
    assert packed["inputs"].shape == (3, 15, 20) and packed["inputs"].dtype == torch.uint8
    sample = packed["data_samples"]
    assert isinstance(sample, LocDataSample)
    assert sample.gt_label.tolist() == [1] and sample.img_id == "002.Bird_2/Bird_2_1.jpg"
    assert sample.ori_shape == (30, 40) and sample.img_shape == (15, 20) and sample.sample_idx == 1
    assert sample.frame == Frame((30, 40), (15, 20), (0.5, 0.5))
    assert sample.gt_bboxes_ori.tolist() == [[3, 2, 13, 8]]
    assert sample.gt_instances.bboxes.tolist() == [[1.5, 1, 6.5, 4]]
    assert sample.gt_instances.bboxes.dtype == torch.float32
    assert sample.mask_paths[0].endswith("Bird_2_1.png")
    assert sample.gt_masks.shape == (15, 20) and sample.gt_masks.dtype == torch.bool
    assert sample.gt_masks.any() and not sample.ignore_mask.any()
    # metrics see meta fields as keys of a dict
    assert {"gt_bboxes_ori", "ori_shape", "img_shape", "img_id", "frame"} <= set(sample.to_dict())
    np.testing.assert_allclose(sample.frame.inverse().boxes(sample.gt_instances.bboxes), [[3, 2, 13, 8]])


def test_inputs_keep_the_channel_order(tmp_path):
    data = dataset(tmp_path)
    img = data.pipeline.transforms[0](data.get_data_info(0))["img"]
    np.testing.assert_array_equal(data[0]["inputs"].numpy(), img.transpose(2, 0, 1))


def test_ten_crop_and_loader(tmp_path):
    steps = [dict(type="mmwsol.Resize", scale=32), dict(type="mmwsol.TenCrop", crop_size=24)]
    loader = DataLoader(dataset(tmp_path, *steps), batch_size=2, num_workers=1, collate_fn=pseudo_collate)
    (batch,) = loader
    crops = batch["crops"]
    assert [c.shape for c in crops] == [(10, 3, 24, 24)] * 2 and crops[0].dtype == torch.uint8
    torch.testing.assert_close(crops[0][4], batch["inputs"][0])
    assert batch["data_samples"][1].frame == Frame((30, 40), (24, 24), (32 / 40, 32 / 30), (-4.0, -4.0))


@pytest.mark.parametrize(
    "foreign",
    [
        dict(type="mmpretrain.ResizeEdge", scale=64),  # updates nothing
        dict(type="Resize", scale=(64, 64)),  # updates the boxes, not the frame
        dict(type="RandomFlip", prob=1.0),
        dict(type="mmpretrain.RandomCrop", crop_size=20),
    ],
)
def test_foreign_geometry_is_an_error_not_a_wrong_box(tmp_path, foreign):
    with pytest.raises(ValueError, match="use mmwsol's transforms"):
        dataset(tmp_path, foreign)[0]


@pytest.mark.parametrize("load", [LOAD, dict(type="LoadImageFromFile")])
def test_foreign_geometry_is_noticed_before_the_next_step_hides_it(tmp_path, load):
    """After a crop without frame, a resize gives an image of the right size."""
    steps = [load, dict(type="mmpretrain.RandomCrop", crop_size=20), dict(type="mmwsol.Resize", scale=32), PACK]
    with pytest.raises(ValueError, match="the image became 20x20 .* by a transform that does not update 'frame'"):
        CUB(layouts.cub(tmp_path), pipeline=steps)[0]


def test_foreign_color_is_fine(tmp_path):
    packed = dataset(tmp_path, dict(type="mmpretrain.RandomErasing", erase_prob=1.0))[0]
    assert packed["inputs"].shape == (3, 30, 40)


def test_without_ground_truth_or_loader():
    packed = PackLocInputs()(dict(img=np.zeros((8, 6, 3), np.uint8)))
    sample = packed["data_samples"]
    assert packed["inputs"].shape == (3, 8, 6) and "gt_label" not in sample and "gt_instances" not in sample
    assert sample.frame == Frame.identity((8, 6)) and sample.ori_shape == sample.img_shape == (8, 6)
    with pytest.raises(ValueError, match="does not update 'frame'"):
        PackLocInputs()(dict(img=np.zeros((8, 6, 3), np.uint8), ori_shape=(4, 4)))
    with pytest.raises(ValueError, match=r"'frame' begins at \(H, W\) = \(8, 6\), but 'ori_shape' is \(16, 12\)"):
        PackLocInputs()(dict(img=np.zeros((8, 6, 3), np.uint8), ori_shape=(16, 12), frame=Frame.identity((8, 6))))


def test_further_keys():
    pack = PackLocInputs(algorithm_keys=("seed_map",), meta_keys=("img_id", "note"))
    sample = pack(dict(img=np.zeros((8, 6, 3), np.uint8), seed_map=torch.ones(2), note="x", img_id="i"))["data_samples"]
    assert sample.seed_map.tolist() == [1, 1] and sample.note == "x" and sample.img_id == "i"
