"""Box rules: the exact cases of the specification, presets, buffer and errors."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mmwsol import methods  # noqa: F401  (their presets)
from mmwsol.evaluation.functional import box_iou
from mmwsol.models.box_rules import PRESETS, ComponentBox, ContourBox, register_preset
from mmwsol.registry import TASK_UTILS

STEPS = np.arange(0, 1, 0.2).tolist()
MAP3 = np.array([[0, 0, 0, 0, 0], [0, 0.4, 0.4, 0.4, 0.6], [0, 0.4, 1, 0.8, 0.6], [0, 0.4, 0.4, 0.4, 0.6]])
MAP4 = np.array([[0.4, 0, 0.2, 0.2, 0.2], [0.4, 0.4, 0, 0.4, 0], [0, 0, 0, 0.4, 0], [1, 0.6, 0.8, 0.2, 0.2]])


def test_wsol_single_contour():
    rule = ContourBox(preset="wsol")
    boxes = [rule.boxes(MAP3, t)[0].tolist() for t in STEPS]
    assert boxes == [[1, 1, 4, 3], [1, 1, 4, 3], [2, 1, 4, 3], [2, 2, 4, 3], [2, 2, 3, 3]]
    boxes = [rule.boxes(MAP4, t)[0].tolist() for t in STEPS]
    assert boxes == [[0, 0, 4, 3], [0, 0, 2, 2], [0, 3, 3, 3], [2, 3, 3, 3], [0, 3, 1, 3]]


def test_wsol_all_contours():
    rule = ContourBox(preset="wsol_v2")
    assert sorted(rule.boxes(MAP4, 0.2).tolist()) == [[0, 0, 2, 2], [0, 1, 4, 3]]
    assert sorted(rule.boxes(MAP4, STEPS[3]).tolist()) == [[0, 3, 1, 3], [2, 3, 3, 3]]
    best = [box_iou(rule.boxes(MAP4, t), [0, 0, 2, 2]).max() for t in STEPS]
    np.testing.assert_allclose(best, [0.45, 1, 0, 0, 0], atol=1e-12)


def test_holes_are_candidates():
    ring = np.ones((12, 12))
    ring[4:8, 4:8] = 0
    gt = [3, 3, 9, 9]
    every, single = (ContourBox(preset=p).boxes(ring, 0) for p in ("wsol_v2", "wsol"))
    assert sorted(every.tolist()) == [[0, 0, 11, 11], [3, 3, 9, 9]]
    assert box_iou(every, gt).max() == 1 and box_iou(single, gt).max() == 49 / 144


def test_truncation():
    rule = ContourBox(preset="tscam")
    row = np.array([[0, 0.5, 1], [0.25, 0.502, 1]])
    assert rule.boxes(row, 0.5).tolist() == [[1, 0, 3, 2]]
    assert ContourBox(preset="wsol").boxes(row, 0.5).tolist() == [[1, 0, 2, 1]]
    assert ContourBox(box_end="inclusive").boxes(row, 0.5).tolist() == [[1, 0, 2, 1]]
    # u = 127 is not above int(.5 * 255) = 127.
    assert rule.boxes(np.array([[0, 0.5, 1]]), 0.5).tolist() == [[2, 0, 3, 1]]


def test_threshold_is_relative_to_the_maximum_for_contours_only():
    dim = np.zeros((6, 6), np.float32)
    dim[1:3, 1:3], dim[4, 4] = 0.5, 0.1
    assert ContourBox().boxes(dim, 0.3).tolist() == [[1, 1, 3, 3]]
    assert ComponentBox().boxes(dim, 0.3).tolist() == [[1, 1, 3, 3]]
    assert ContourBox().boxes(dim, 0.6).tolist() == [[1, 1, 3, 3]]
    assert ComponentBox().boxes(dim, 0.6).tolist() == [[0, 0, 6, 6]]


def test_component_threshold_is_strict_in_the_precision_of_the_map():
    scoremap = np.zeros((4, 4), np.float32)
    scoremap[1, 2] = 0.3
    assert ComponentBox(threshold=0.3).boxes(scoremap).tolist() == [[0, 0, 4, 4]]
    assert ComponentBox(threshold=0.299).boxes(scoremap).tolist() == [[2, 1, 3, 2]]


def test_boxes_of_sat():
    """Worked boxes of the official code: the map is normalized at 14x14, then resized to 224x224."""
    block = np.zeros((1, 14, 14))
    block[0, 4:10, 3:9] = 1
    boxes = {0.3: [45, 61, 147, 163], 0.4: [46, 62, 146, 162], 0.45: [47, 63, 145, 161], 0.5: [48, 64, 144, 160]}
    for threshold, box in boxes.items():
        assert ComponentBox(threshold=threshold)(block, (224, 224)).tolist() == [box]
    peak = np.zeros((1, 14, 14))
    peak[0, 7, 7] = 1
    assert ComponentBox(threshold=0.4)(peak, (224, 224)).tolist() == [[111, 111, 129, 129]]
    assert ComponentBox(threshold=0.4)(np.full((1, 14, 14), 0.3), (224, 224)).tolist() == [[0, 0, 224, 224]]


def test_component_that_counts():
    scoremap = np.zeros((8, 8), np.float32)
    scoremap[[1, 2, 3], [6, 5, 4]] = 1  # touch at corners: one component
    scoremap[6, 0:2] = 1
    assert ComponentBox(threshold=0.4).boxes(scoremap).tolist() == [[4, 1, 7, 4]]
    scoremap[7, 0] = 1  # as large: the first in raster order counts
    assert ComponentBox(threshold=0.4).boxes(scoremap).tolist() == [[4, 1, 7, 4]]
    iou = box_iou(np.array([[46, 62, 146, 162], [0, 0, 10, 10]]), np.array([[46, 62, 145, 161], [5, 5, 15, 15]]), True)
    np.testing.assert_allclose(np.diag(iou), [0.98029605, 0.17475728], atol=1e-8)


def test_constant_maps():
    size = (7, 9)
    for value in (0.0, 0.3):
        maps = np.full((1, 3, 3), value)
        for preset, expected in [("wsol", [0, 0, 0, 0]), ("tscam", [0, 0, 1, 1]), ("cdtr", [0, 0, 1, 1])]:
            assert ContourBox(preset=preset, threshold=0.1)(maps, size).tolist() == [expected]
        assert ComponentBox(threshold=0.1)(maps, size).tolist() == [[0, 0, 9, 7]]
    # Already evaluated, a constant map is foreground everywhere.
    assert ContourBox(preset="wsol").boxes(np.full((5, 5), 0.3), 0.999).tolist() == [[0, 0, 4, 4]]


def test_nan_maps():
    maps = np.full((1, 3, 3), np.nan)
    with pytest.warns(UserWarning, match="NaN"):
        assert ContourBox(preset="wsol", threshold=0.1)(maps, (3, 3)).tolist() == [[0, 0, 0, 0]]
    for rule in (ContourBox(threshold=0.1), ComponentBox(threshold=0.1)):
        with pytest.raises(ValueError, match="NaN or infinite"):
            rule(maps, (3, 3))


def test_shapes_and_types_of_maps():
    maps = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    rule = ContourBox(threshold=0.4)
    boxes = rule(maps, (8, 10))
    assert boxes.shape == (3, 4)
    assert rule(maps[:0], (8, 10)).shape == (0, 4)
    np.testing.assert_array_equal(rule(maps.numpy(), (8, 10)), boxes)
    np.testing.assert_array_equal(rule(maps.requires_grad_(), (8, 10)), boxes)
    assert rule(maps.bfloat16(), torch.Size((8, 10))).shape == (3, 4)
    scoremaps = rule.scoremap(maps, (8, 10))
    assert scoremaps.shape == (3, 8, 10) and scoremaps.dtype == np.float32
    assert scoremaps.min() == 0 and scoremaps.max() == 1
    assert ContourBox(preset="wsol").scoremap(maps, (8, 10)).dtype == np.float64
    np.testing.assert_array_equal(rule.boxes(scoremaps[1]), boxes[1:2])
    with pytest.raises(ValueError, match=r"\(K, h, w\), got \(4, 5\)"):
        rule(maps[0], (8, 10))


def test_single_box_of_a_rule_with_all_contours():
    maps = np.zeros((1, 12, 12))
    maps[0, 1:4, 1:4], maps[0, 6:11, 6:11] = 1, 1
    rule = ContourBox(preset="trt_v2", threshold=0.5)
    assert len(rule.boxes(rule.scoremap(maps, (12, 12))[0])) == 2
    assert rule(maps, (12, 12)).tolist() == [[6, 6, 11, 11]]


def test_second_blob_at_the_cut():
    maps = np.zeros((2, 224, 224), np.float32)
    maps[:, 50:100, 60:120] = 1
    maps[0, 150:220, 10:200], maps[1, 150:220, 10:200] = 25.4 / 255, 26.4 / 255
    boxes = ContourBox(preset="tscam", threshold=0.1)(maps, (224, 224))
    assert boxes.tolist() == [[60, 50, 120, 100], [10, 150, 200, 220]]


def test_rules_of_trt():
    """The largest contour of a filled ring, a hole that counts, a line that has no area, and maps of one value."""
    single, multiple = ContourBox(preset="trt", threshold=0.1), ContourBox(preset="trt_v2", threshold=0.1)
    ring = np.zeros((224, 224), np.float32)
    ring[20:200, 20:200] = 1
    ring[60:160, 60:160] = 0
    assert single.boxes(ring).tolist() == [[20, 20, 200, 200]]
    assert sorted(multiple.boxes(ring).tolist()) == [[20, 20, 200, 200], [59, 59, 161, 161]]
    empty, full = np.zeros((224, 224), np.float32), np.ones((224, 224), np.float32)
    assert single.boxes(empty).tolist() == [[0, 0, 1, 1]] and multiple.boxes(empty).tolist() == [[0, 0, 0, 0]]
    assert single.boxes(full).tolist() == [[0, 0, 224, 224]] and multiple.boxes(full).tolist() == [[0, 0, 223, 223]]
    line = empty.copy()
    line[10, 5:200] = 1
    line[50:54, 70:74] = 1
    assert single.boxes(line).tolist() == [[70, 50, 74, 54]]


@pytest.mark.parametrize("name, preset", [(c, p) for c, group in PRESETS.items() for p in group])
def test_presets_build_from_configs(name, preset):
    rule = TASK_UTILS.build(dict(type=f"mmwsol.{name}", preset=preset, threshold=0.3))
    assert rule.rule == PRESETS[name][preset]
    blob = np.zeros((1, 14, 14))
    blob[0, 3:8, 4:10] = 1
    box = rule(blob, (224, 224))[0]
    assert np.abs(box - [64, 48, 160, 128]).max() <= 8


def test_a_preset_is_there_before_its_method_is_imported():
    code = (
        "import sys; from mmwsol.models.box_rules import ContourBox; assert 'mmwsol.methods' not in sys.modules; "
        "print(ContourBox(preset='trt_v2').rule['contour'])"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split()[-1] == "all"


def test_presets_have_names_of_their_own():
    with pytest.raises(ValueError, match="two presets called 'tscam' of ContourBox"):
        register_preset("ContourBox", "tscam", {})


def test_options_override_the_preset():
    rule = ContourBox(preset="tscam", default_box="frame", threshold=0.1)
    assert rule(np.zeros((1, 3, 3)), (5, 6)).tolist() == [[0, 0, 6, 5]]
    assert PRESETS["ContourBox"]["tscam"]["default_box"] == "unit"
    ivr = ContourBox(norm="ivr", percentile=50, threshold=0.1)
    scoremap = ivr.scoremap(np.arange(9.0).reshape(1, 3, 3), (3, 3))[0]
    np.testing.assert_allclose(scoremap.ravel(), [0] * 5 + [0.25, 0.5, 0.75, 1])


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="preset must be one of .* got 'cam'"):
        ContourBox(preset="cam")
    with pytest.raises(ValueError, match="preset must be one of .*'sat'.* got 'tscam'"):
        ComponentBox(preset="tscam")
    with pytest.raises(ValueError, match="box_end must be one of .* got 'open'"):
        ContourBox(box_end="open")
    with pytest.raises(TypeError, match="no option 'boxend'"):
        ContourBox(boxend="exclusive")
    for bad in (-0.1, 1.0, 10):
        with pytest.raises(ValueError, match=f"threshold must satisfy .* got {bad}"):
            ContourBox(threshold=bad)
    with pytest.raises(ValueError, match="percentile"):
        ContourBox(norm="ivr")
    with pytest.raises(ValueError, match="percentile= goes with norm='ivr'"):
        ContourBox(percentile=10)


def test_calibrated_threshold_travels_in_the_state_dict():
    assert not ContourBox(threshold=0.57).state_dict()  # a given one is the config's business
    rule, other = ContourBox(), ContourBox()
    with pytest.raises(ValueError, match="has no threshold"):
        other(np.zeros((1, 3, 3)), (3, 3))
    rule.threshold.fill_(0.57)
    other.load_state_dict(rule.state_dict())
    assert other.get_threshold() == 0.57  # to the last bit: int(t * 200) depends on it
    for convert in (nn.Module.float, nn.Module.half, nn.Module.bfloat16, nn.Module.double):
        assert convert(copy.deepcopy(rule)).get_threshold() == 0.57
    rule.threshold.fill_(0.8)
    assert rule.get_threshold() == 0.8
    assert "threshold=0.8" in repr(rule)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_threshold_of_a_model_in_another_precision_is_exact(dtype):
    """Rounded to half, 0.4 would be 0.3999, and the level of a map with maximum 255 be 101."""
    model = nn.Sequential(nn.Linear(2, 2), ContourBox(threshold=0.4)).to(dtype)
    assert model[0].weight.dtype == dtype and model[1].get_threshold() == 0.4
    scoremap = np.full((4, 4), 102 / 255, np.float32)
    scoremap[0, 0] = 1
    assert model[1].boxes(scoremap).tolist() == [[0, 0, 1, 1]]  # 102 is not above the level 102


@pytest.mark.parametrize("rule", [ContourBox(), ComponentBox()], ids=["contour", "component"])
def test_level_maps_give_the_masks_of_the_thresholds(rule):
    scoremap = rule.scoremap(np.random.RandomState(3).rand(1, 5, 5), (20, 20))[0]
    thresholds = np.arange(0, 1, 0.0021)  # more than 255
    masks = [u > level for u, levels in rule.level_maps(scoremap, thresholds) for level in levels]
    assert len(masks) == len(thresholds)
    for mask, threshold in zip(masks, thresholds.tolist(), strict=True):
        np.testing.assert_array_equal(mask, rule._mask(scoremap, threshold))
