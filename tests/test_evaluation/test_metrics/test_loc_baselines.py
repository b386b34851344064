"""LocBaselines: the whole frame and the center box, at the protocol's IoU threshold."""

import pytest
from loc_samples import make_sample, run

from mmwsol.evaluation.metrics import LocBaselines


@pytest.mark.parametrize(("iou_thr", "expected"), [(0.5, 100.0), (0.7, 0.0)])
def test_iou_threshold_of_the_protocol_counts(iou_thr, expected):
    sample = make_sample("0", [[0, 0, 224, 134]])  # 60 % of the frame
    values = run(LocBaselines(iou_thr=iou_thr), [sample])
    assert values["baseline/whole_frame_gt_known"] == expected
