"""MaxBoxAcc, MaxBoxAccV2 and PxAP equal wsolevaluation on every golden case."""

import numpy as np
import pytest
import torch
from golden_case import Case, case_paths

from mmwsol.evaluation.functional import gt_to_frame, pixel_curves, pixel_histograms, to_uint8
from mmwsol.evaluation.metrics import MaxBoxAcc
from mmwsol.models.box_rules import ContourBox

PATHS = case_paths("evaluation")
SIZE = (224, 224)
BARS = (30, 50, 70)


def test_there_are_cases():
    assert PATHS, "no golden case of evaluation"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_case(path):
    case = Case(path)
    maps = [m[:side, :side] for m, side in zip(case["maps"], case["map_side"], strict=True)]
    rule = ContourBox(preset="wsol")
    scoremaps = np.stack([rule.scoremap(m[None], SIZE)[0] for m in maps])
    np.testing.assert_array_equal(np.stack([to_uint8(m) for m in scoremaps]), case["u8_at_224"])
    check_boxes(case, rule, scoremaps)
    check_max_box_acc(case, maps)
    check_pxap(case, scoremaps)
    case.all_used()


def check_boxes(case: Case, rule: ContourBox, scoremaps: np.ndarray) -> None:
    ours = [[rule.boxes(m, t)[0] for t in case["box_thresholds"].tolist()] for m in scoremaps]
    np.testing.assert_array_equal(ours, case["boxes_single"])


def check_max_box_acc(case: Case, maps: list[np.ndarray]) -> None:
    samples = []
    for i, scoremap in enumerate(maps):
        width, height = case["sizes_wh"][i]
        own = case["gt_image"] == i
        boxes = case["gt_boxes"][own]
        moved = gt_to_frame(boxes, (height, width), SIZE, "wsol")
        np.testing.assert_array_equal(moved, case["gt_boxes_224"][own])
        samples.append(
            dict(
                img_id=str(i),
                gt_label=torch.tensor([3]),
                gt_bboxes_ori=boxes.astype(np.float32),
                ori_shape=(height, width),
                img_shape=SIZE,
                pred_maps=dict(maps=torch.from_numpy(scoremap[None]), labels=torch.tensor([3])),
            )
        )
    metric = MaxBoxAcc()
    metric.process(None, samples)
    values = metric.evaluate(len(samples))
    for name, key, curve in (("single", "max_box_acc", "single"), ("multi", "max_box_acc_v2", "multi")):
        counts = metric.curve[curve] * len(samples) / 100
        np.testing.assert_allclose(counts, case[f"num_correct_{name}"], atol=1e-9)
        ours = [values[f"loc/{key}@{bar}"] for bar in BARS]
        np.testing.assert_allclose(ours, case[f"max_box_acc_{name}"], rtol=0, atol=1e-9)
    assert values["loc/max_box_acc"] == values["loc/max_box_acc@50"]
    assert values["loc/max_box_acc_v2"] == np.mean([values[f"loc/max_box_acc_v2@{b}"] for b in BARS])


def check_pxap(case: Case, scoremaps: np.ndarray) -> None:
    fg, ignore = (
        np.unpackbits(case[name])[: scoremaps.size].reshape(scoremaps.shape).astype(bool)
        for name in ("mask_bits", "ignore_bits")
    )
    histograms = sum(pixel_histograms(*images) for images in zip(scoremaps, fg, ignore, strict=True))
    np.testing.assert_array_equal(histograms[0], case["gt_true_hist"])
    np.testing.assert_array_equal(histograms[1], case["gt_false_hist"])
    assert pixel_curves(histograms)[1]["pxap"] == pytest.approx(float(case["pxap"]), abs=1e-9)
