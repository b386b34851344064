"""LocDataSample: typed fields, plain dicts for metrics, pickling by value."""

import pickle
from io import BytesIO
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmwsol.structures import Frame, LocDataSample

FRAME = Frame((20, 30), (10, 10), (1 / 3, 0.5))


def sample():
    meta = dict(img_path="a.png", ori_shape=(20, 30), img_shape=(10, 10), frame=FRAME)
    out = LocDataSample(metainfo=meta).set_gt_label(2)
    out.gt_instances = InstanceData(bboxes=torch.tensor([[1.0, 2, 3, 4]]))
    out.pred_maps = InstanceData(maps=torch.rand(2, 4, 4), labels=torch.tensor([2, 0]))
    out.pred_instances = InstanceData(bboxes=torch.rand(2, 4), labels=torch.tensor([2, 0]))
    return out


def test_to_dict_is_what_metrics_read():
    out = sample().to_dict()
    assert set(out["pred_maps"]) == {"maps", "labels"}
    assert out["gt_instances"]["bboxes"].tolist() == [[1, 2, 3, 4]]
    assert out["pred_instances"]["labels"].tolist() == [2, 0]
    assert out["ori_shape"] == (20, 30)


def test_fields_are_typed():
    with pytest.raises(AssertionError):
        sample().pred_maps = torch.rand(2, 4, 4)


@pytest.mark.parametrize("pickler", [pickle.Pickler, ForkingPickler])
def test_pickling(pickler):
    buffer = BytesIO()
    pickler(buffer, 5).dump(sample())
    copy = pickle.loads(buffer.getvalue())
    assert isinstance(copy, LocDataSample)
    assert copy.gt_instances.bboxes.tolist() == [[1, 2, 3, 4]]
    assert copy.pred_maps.maps.shape == (2, 4, 4)
    assert copy.frame == FRAME


def test_frame_is_a_meta_field():
    """It goes through mmengine's copies as it is, and brings boxes back, clipped to the image."""
    made = sample()
    assert made.frame == made.metainfo["frame"] == made.clone().frame == made.to_dict()["frame"] == FRAME
    np.testing.assert_allclose(made.frame.inverse().boxes([[1, 2, 20, 9]]), [[3, 4, 30, 18]])
