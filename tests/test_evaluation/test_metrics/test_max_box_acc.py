"""MaxBoxAcc and LocBaselines as metrics, and the real maps of TRT."""

import csv

import cv2
import numpy as np
import pytest
from data_dir import DATA_DIR, requires_data
from loc_samples import make_sample, random_samples, run

from mmwsol.evaluation.functional import box_iou, contours, gt_to_frame, normalize_map
from mmwsol.evaluation.metrics import LocAccuracy, LocBaselines, MaxBoxAcc
from mmwsol.models.box_rules import ComponentBox, ContourBox
from mmwsol.structures import Frame

SIZE = (32, 32)
IOU_THRS = (0.3, 0.5, 0.7)


def brute_force(samples, rule, thresholds, frame_rule="wsol"):
    """Return the best IoU (N, T) at every threshold, one threshold after the other."""
    rows = []
    for sample in samples:
        k = sample["pred_maps"]["labels"].tolist().index(int(sample["gt_label"]))
        scoremap = rule.scoremap(sample["pred_maps"]["maps"][k : k + 1], SIZE)[0]
        gt = gt_to_frame(sample["gt_bboxes_ori"], sample["ori_shape"], SIZE, frame_rule)
        rows.append([box_iou(rule.boxes(scoremap, t), gt).max() for t in thresholds])
    return np.array(rows)


def test_equals_the_loop_over_thresholds():
    samples = random_samples(7)
    metric = MaxBoxAcc()
    values = run(metric, samples)
    for key, contour in (("max_box_acc", "largest"), ("max_box_acc_v2", "all")):
        rule = ContourBox(preset="wsol", contour=contour)
        iou = brute_force(samples, rule, np.arange(0, 1, 0.001).tolist())
        curves = np.stack([100 * (iou >= iou_thr).mean(axis=0) for iou_thr in IOU_THRS])
        for iou_thr, curve in zip(IOU_THRS, curves, strict=True):
            assert values[f"loc/{key}@{100 * iou_thr:g}"] == pytest.approx(curve.max(), abs=1e-9)
        np.testing.assert_allclose(metric.curve["single" if contour == "largest" else "multi"], curves)
        if contour == "all":
            assert values["loc/max_box_acc_v2"] == pytest.approx(curves.max(axis=1).mean())
            assert values["loc/max_box_acc_v2_threshold@70"] == pytest.approx(curves[2].argmax() / 1000)
        else:
            assert values["loc/max_box_acc"] == values["loc/max_box_acc@50"]
            assert values["loc/max_box_acc_threshold"] == pytest.approx(curves[1].argmax() / 1000)
    assert 0 < values["loc/max_box_acc@70"] < 100


@pytest.mark.skipif(contours.compiled_sweep() is None, reason="numba is not installed")
@pytest.mark.parametrize(
    "options",
    [
        dict(protocol="wsol_v2"),
        dict(protocol="tscam"),
        dict(protocol="dips"),
        dict(map_to_box=dict(type="mmwsol.ComponentBox", preset="sat")),
    ],
    ids=str,
)
def test_values_without_numba_are_the_same_to_the_last_bit(monkeypatch, options):
    options = dict(options, threshold=dict(grid=0.003))
    compiled, curves = run(metric := MaxBoxAcc(**options), random_samples(9)), metric.curve
    monkeypatch.setattr(contours, "compiled_sweep", lambda: None)
    calls, visit = [], contours._visit_levels
    monkeypatch.setattr(contours, "_visit_levels", lambda *args: calls.append(1) or visit(*args))
    assert run(metric := MaxBoxAcc(**options), random_samples(9)) == compiled
    assert calls and all(np.array_equal(metric.curve[name], curve) for name, curve in curves.items())


def test_component_rule_and_single_only():
    samples = random_samples(5)
    rule = dict(type="mmwsol.ComponentBox", preset="sat")
    metric = MaxBoxAcc(map_to_box=rule, threshold=dict(grid=0.003), multi_contour=False)
    values = run(metric, samples)
    iou = brute_force(samples, ComponentBox(preset="sat"), np.arange(0, 1, 0.003).tolist())
    curves = np.stack([100 * (iou >= iou_thr).mean(axis=0) for iou_thr in IOU_THRS])
    np.testing.assert_allclose(metric.curve["single"], curves)
    assert not any("v2" in key for key in values)


def test_options():
    samples = random_samples(6)
    # One threshold: no maximum.
    values = run(MaxBoxAcc(threshold=0.5), samples)
    expected = brute_force(samples, ContourBox(preset="wsol"), [0.5])
    assert values["loc/max_box_acc"] == pytest.approx(100 * (expected >= 0.5).mean())
    assert values["loc/max_box_acc_threshold"] == 0.5
    # Other bars; .5 is always there for max_box_acc.
    values = run(MaxBoxAcc(iou_thrs=(0.6,)), samples)
    assert values["loc/max_box_acc_v2"] == values["loc/max_box_acc_v2@60"]
    assert values["loc/max_box_acc"] >= values["loc/max_box_acc@60"]
    assert "loc/max_box_acc_v2@50" not in values
    first = run(MaxBoxAcc(gt_mode="first"), samples)
    assert first["loc/max_box_acc_v2@70"] <= run(MaxBoxAcc(), samples)["loc/max_box_acc_v2@70"]


def test_records_are_small():
    metric = MaxBoxAcc()
    metric.process(None, random_samples(3))
    assert len(metric.results) == 3
    metric.pool.settle(metric.results)
    for _, single, multi, track in metric.results:
        assert track is None and len(single) == len(multi) == 375  # 3 bars x 1000 thresholds in bits


def test_images_without_boxes_do_not_count():
    samples = random_samples(4)
    values = run(MaxBoxAcc(), samples)
    empty = make_sample("none", [], maps=np.zeros((1, 4, 4), np.float32), img_shape=SIZE)
    assert run(MaxBoxAcc(), [*samples, empty]) == values
    with pytest.raises(ValueError, match="none of 1 images has a ground-truth box"):
        run(MaxBoxAcc(), [empty])
    with pytest.raises(ValueError, match="none of 1 images has a ground-truth box"):
        run(LocBaselines(), [empty])


def test_bad_input_is_named():
    for metric in (MaxBoxAcc(), LocBaselines()):
        with pytest.raises(ValueError, match="evaluated more than once"):
            run(metric, random_samples(2) * 2)
    sample = random_samples(1)[0]
    sample["gt_label"][0] = 0
    with pytest.raises(ValueError, match="no map of the ground-truth class 0"):
        run(MaxBoxAcc(), [sample])
    sample["frame"] = Frame((30, 40), SIZE)
    with pytest.raises(ValueError, match="frame_rule 'wsol' does not fit"):
        run(MaxBoxAcc(), [sample])
    for kwargs, message in [
        (dict(threshold=dict(grid=[0.5, 0.1])), "must rise"),
        (dict(threshold=dict(grid=[0.5, 1.0])), r"must lie in \[0, 1\)"),
        (dict(threshold=dict(grid=[])), r"must lie in \[0, 1\)"),
        (dict(threshold=dict(grid=0.1, select_by="gt_known", select_on="val")), "select_on='test', got 'val'"),
        (dict(threshold=3), "got .3"),
        (dict(threshold=float("nan")), "got .nan"),
        (dict(thresholds=0.1), "a field of a protocol must be one of .* got 'thresholds'"),
        (dict(iou_thrs=()), "iou_thrs"),
        (dict(iou_thrs=(50,)), r"got \(50,\)"),
        (dict(map_class="all"), "got 'all'"),
    ]:
        with pytest.raises(ValueError, match=message):
            MaxBoxAcc(**kwargs)


def test_lists_that_reach_one_pixel_further_score_the_same():
    maps = np.zeros((1, 4, 4), np.float32)
    maps[0, 2:, 2:] = 1
    base = make_sample("a", [[20, 15, 39, 29]], maps=maps, ori_shape=(30, 40), img_shape=SIZE)
    xywh = make_sample("a", [[20, 15, 40, 30]], maps=maps, ori_shape=(30, 40), img_shape=SIZE)
    np.testing.assert_array_equal(MaxBoxAcc().gt_boxes(base), MaxBoxAcc().gt_boxes(xywh))


def test_protocol():
    protocol = MaxBoxAcc().description
    assert protocol["frame_rule"] == "wsol" and protocol["threshold"] == "1000 values from 0 to 0.999"
    assert protocol["threshold_source"] == "best on the evaluated set, for every IoU threshold"
    assert protocol["box_rule"]["interpolation"] == "bicubic"


def test_baselines():
    samples = [
        make_sample("a", [[0, 0, 223, 223]]),
        make_sample("b", [[56, 56, 168, 168]]),
        make_sample("c", [[0, 0, 20, 20], [0, 0, 223, 150]]),
        make_sample("d", []),
    ]
    values = run(LocBaselines(), samples)
    assert values == {
        "baseline/whole_frame_gt_known": pytest.approx(200 / 3),
        "baseline/whole_frame_box_acc_v2": pytest.approx(100 * (2 / 3 + 2 / 3 + 1 / 3) / 3),
        "baseline/center_box_gt_known": pytest.approx(100 / 3),
        "baseline/center_box_box_acc_v2": pytest.approx(100 / 3),
    }
    # In the frame of CDTR the crop cuts the first box; only the first box of 'c' counts.
    frame = Frame.identity((224, 224)).resized((256, 256)).cropped(16, 16, (224, 224))
    for sample in samples:
        sample["frame"] = frame
    values = run(LocBaselines("cdtr"), samples)
    assert values["baseline/whole_frame_gt_known"] == pytest.approx(100 / 3)
    with pytest.raises(ValueError, match="protocol must be one of .* got 'cub'"):
        LocBaselines("cub")


# (d) 20: TRT's own maps of real photographs, with the official numbers.
EXPECTED = {
    "Bewick_Wren_0121_184765": ((13, 59, 124, 147), 0.8720),
    "Black_And_White_Warbler_0085_160110": ((0, 25, 187, 224), 0.7358),
    "Black_And_White_Warbler_0128_160803": ((25, 48, 210, 211), 0.8149),
    "Black_Footed_Albatross_0002_55": ((14, 59, 192, 212), 0.7082),
    "Mourning_Warbler_0025_166608": ((67, 58, 168, 162), 0.7731),
    "Pied_Kingfisher_0054_72296": ((25, 25, 152, 168), 0.7739),
    "00001728": ((111, 27, 180, 205), 0.7025),
    "00002052": ((26, 23, 173, 162), 0.7195),
    "00002060": ((11, 109, 195, 180), 0.7973),
    "00002480": ((32, 48, 176, 181), 0.8373),
    "00002928": ((54, 70, 194, 164), 0.7246),
    "00012418": ((13, 75, 194, 193), 0.9140),
    "00012557": ((30, 44, 148, 162), 0.9288),
    "00013901": ((76, 33, 162, 196), 0.6625),
    "00015186": ((15, 14, 185, 191), 0.7706),
    "00017942": ((0, 14, 197, 224), 0.8763),
    "00018280": ((69, 55, 160, 178), 0.8162),
    "00022757": ((35, 44, 194, 174), 0.9205),
    "00023995": ((61, 11, 179, 196), 0.8936),
    "00026248": ((0, 27, 196, 224), 0.9798),
    "00026511": ((50, 35, 190, 189), 0.7196),
    "00030583": ((12, 20, 210, 207), 0.9291),
    "00049803": ((26, 48, 147, 180), 0.7442),
}


def trt_samples(dataset: str) -> list[dict]:
    folder = DATA_DIR / "wsol-photos"
    samples = []
    with open(folder / "boxes.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["dataset"] != dataset:
                continue
            stem = row["image"].rsplit(".", 1)[0]
            png = cv2.imread(str(folder / "trt_maps" / f"{stem}.png"), cv2.IMREAD_GRAYSCALE)
            gt = [[int(row[name]) for name in ("x0", "y0", "x1", "y1")]]
            samples.append(make_sample(stem, gt, maps=png[None].astype(np.float64)))
    return samples


@requires_data("wsol-photos")
@pytest.mark.parametrize(
    "dataset, threshold, accuracies, indices",
    [("CUB", 0.1, (100, 100, 100), (40, 48, 99)), ("ILSVRC", 0.12, (100, 100, 94.1176), (20, 67, 71))],
)
def test_real_maps(dataset, threshold, accuracies, indices):
    samples = trt_samples(dataset)
    rule = ContourBox(preset="tscam", threshold=threshold)
    for sample in samples:
        box, iou = EXPECTED[sample["img_id"].replace("ILSVRC2012_val_", "")]
        ours = rule(normalize_map(sample["pred_maps"]["maps"].numpy()), (224, 224))
        np.testing.assert_array_equal(ours[0], box, err_msg=sample["img_id"])
        assert box_iou(ours, sample["gt_bboxes_ori"])[0, 0] == pytest.approx(iou, abs=6e-5)
    assert len(samples) == {"CUB": 6, "ILSVRC": 17}[dataset]
    metric = MaxBoxAcc()
    values = run(metric, samples)
    for key in ("max_box_acc", "max_box_acc_v2"):
        ours = [values[f"loc/{key}@{iou_thr}"] for iou_thr in (30, 50, 70)]
        np.testing.assert_allclose(ours, accuracies, atol=6e-5)
    for name in ("single", "multi"):
        assert metric.curve[name].argmax(axis=1).tolist() == list(indices)
    fixed = LocAccuracy(map_to_box=dict(type="mmwsol.ContourBox", preset="tscam", threshold=threshold))
    assert run(fixed, samples)["loc/gt_known"] == 100
