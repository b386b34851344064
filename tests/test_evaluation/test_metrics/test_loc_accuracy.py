"""LocAccuracy: protocol switches, errors, search of the threshold, bad input."""

import numpy as np
import pytest
from loc_samples import make_sample, random_samples, run
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from mmwsol.evaluation.functional import box_iou, gt_to_frame, threshold_boxes
from mmwsol.evaluation.metrics import LocAccuracy
from mmwsol.models.box_rules import ComponentBox, ContourBox
from mmwsol.registry import METRICS
from mmwsol.structures import Frame, LocDataSample

GT = [[50, 50, 99, 99]]
RULE = dict(type="mmwsol.ContourBox", preset="tscam", threshold=0.6)


def one(sample: dict, **kwargs) -> dict[str, float]:
    return run(LocAccuracy(**kwargs), [sample])


def test_builds_from_a_config_and_keeps_its_keys():
    metric = METRICS.build(dict(type="mmwsol.LocAccuracy", errors=True))
    values = run(metric, [make_sample("a", GT, GT)])
    errors = {f"loc_error/{name}": 0 for name in ("cls", "multi_instance", "part", "more", "wrong")}
    assert values == {"loc/gt_known": 100, "loc/top1": 100, "loc/top5": 100} | errors
    values = run(METRICS.build(dict(type="mmwsol.LocAccuracy", errors=True, prefix="val")), [make_sample("a", GT, GT)])
    assert "val/top1" in values and "val_error/part" in values


def test_through_mmengine():
    evaluator = Evaluator(
        [dict(type="mmwsol.LocAccuracy"), dict(type="mmwsol.MaxBoxAcc"), dict(type="mmwsol.LocBaselines")]
    )
    blob = np.zeros((1, 14, 14), np.float32)
    blob[0, 3:7, 3:7] = 1
    sample = LocDataSample(metainfo=dict(img_id="a", ori_shape=(224, 224), img_shape=(224, 224)))
    sample.set_metainfo(dict(frame=Frame.identity((224, 224)), gt_bboxes_ori=np.float32([[48, 48, 111, 111]])))
    sample.set_gt_label(1).set_pred_score([0.1, 0.9])
    sample.pred_maps = InstanceData(maps=blob, labels=np.array([1]))
    sample.pred_instances = InstanceData(frame_bboxes=np.array([[48, 48, 112, 112]]), labels=np.array([1]))
    evaluator.process([sample])
    values = evaluator.evaluate(1)
    for key in ("loc/gt_known", "loc/top1", "loc/top5", "loc/max_box_acc", "loc/max_box_acc_v2"):
        assert values[key] == 100, key
    assert values["baseline/whole_frame_gt_known"] == 0


@pytest.mark.parametrize("protocol, top1", [("tscam", 0), ("wsol_v1", 100)])
def test_iou_of_exactly_one_half(protocol, top1):
    values = one(make_sample("a", [0, 0, 0, 0], [0, 0, 1, 0]), protocol=protocol)
    assert values == {"loc/gt_known": 100, "loc/top1": top1, "loc/top5": top1}
    values = one(make_sample("a", [0, 0, 99, 99], [0, 0, 99, 49]))
    assert values["loc/gt_known"] == 100 and values["loc/top1"] == 0


def test_rank_gates_top_k():
    scores = [0.3, 0.25, 0.2, 0.1, 0.09, 0.06]
    for gt_label, expected in [(0, (100, 100)), (1, (0, 100)), (4, (0, 100)), (5, (0, 0))]:
        sample = make_sample("a", GT, GT, labels=(gt_label,), gt_label=gt_label, scores=scores)
        values = one(sample)
        assert (values["loc/top1"], values["loc/top5"]) == expected
        assert values["loc/gt_known"] == 100
    assert one(sample, topk=()) == {"loc/gt_known": 100}


def test_class_of_the_map():
    good, bad = GT[0], [150, 150, 200, 200]
    # Class 0 is predicted, class 1 is right; its box is the good one.
    sample = make_sample("a", GT, [bad, good], labels=(0, 1), gt_label=1)
    assert one(sample, map_class="gt")["loc/gt_known"] == 100
    assert one(sample, map_class="pred")["loc/gt_known"] == 0
    with pytest.raises(ValueError, match=r"no class-agnostic map \(label -1\), only of \[0, 1\]"):
        one(sample, map_class="agnostic")
    agnostic = make_sample("a", GT, [good], labels=(-1,), gt_label=1)
    for map_class in ("gt", "pred", "agnostic"):
        assert one(agnostic, map_class=map_class)["loc/gt_known"] == 100


def test_any_or_first_box():
    sample = make_sample("a", [[0, 0, 20, 20], *GT], GT)
    assert one(sample)["loc/gt_known"] == 100
    assert one(sample, gt_mode="first")["loc/gt_known"] == 0


@pytest.mark.parametrize("protocol", ["tscam", "cdtr", "locloc"])
def test_a_box_over_several_objects_is_that_error_also_where_the_first_alone_is_scored(protocol):
    sample = make_sample("a", [[0, 0, 20, 20], [30, 0, 50, 20]], [[0, 0, 50, 20]])
    overrides = dict(frame_rule="tscam", map_class="gt", iou_thr=0.6)
    values = one(sample, protocol=protocol, errors=True, **overrides)
    assert values["loc_error/multi_instance"] == 100 and values["loc/gt_known"] == 0


def test_iou_convention():
    sample = make_sample("a", [[0, 0, 10, 10]], [[0, 0, 5, 10]])
    assert one(sample, protocol="wsol_v1", iou="continuous")["loc/gt_known"] == 100  # 50 / 100
    assert one(sample, protocol="wsol_v1", iou_thr=0.55)["loc/gt_known"] == 0
    sample = make_sample("a", [[0, 0, 10, 10]], [[0, 0, 4.9, 10]])
    assert one(sample, protocol="wsol_v1", iou="continuous")["loc/gt_known"] == 0
    assert one(sample, protocol="wsol_v1")["loc/gt_known"] == 100  # 5.9 * 11 / 121


def test_frames():
    # 100x200 picture, box in its right half.
    sample = make_sample("a", [[100, 0, 199, 99]], [[112, 0, 224, 224]], ori_shape=(100, 200))
    assert one(sample)["loc/gt_known"] == 100
    sample["frame"] = Frame.identity((100, 200)).resized((256, 256)).cropped(16, 16, (224, 224))
    with pytest.raises(ValueError, match="frame_rule 'tscam' does not fit the test pipeline"):
        one(sample)
    assert one(sample, protocol="sat", map_class="gt")["loc/gt_known"] == 100
    assert one(sample, protocol="sat", map_class="gt", frame_rule="sat", resize_size=256)["loc/gt_known"] == 100


def test_inverted_boxes_of_the_crop_stay_in_the_count():
    frame = Frame.identity((400, 400)).resized((256, 256)).cropped(16, 16, (224, 224))
    sample = make_sample("a", [[0, 0, 9, 9]], [[0, 0, 224, 224]], ori_shape=(400, 400), frame=frame)
    values = one(sample, protocol="sat", map_class="gt", errors=True)
    assert values["loc/gt_known"] == 0 and values["loc_error/wrong"] + values["loc_error/more"] == 100


@pytest.mark.parametrize(
    "box, gt, label, kind",
    [
        ([0, 0, 9, 9], [[0, 0, 29, 29]], 0, "part"),
        ([0, 0, 29, 29], [[10, 10, 19, 19]], 0, "more"),
        ([0, 0, 29, 9], [[0, 0, 9, 9], [20, 0, 29, 9]], 0, "multi_instance"),
        ([0, 0, 9, 9], [[5, 5, 24, 24]], 0, "wrong"),
        ([0, 0, 9, 9], [[0, 0, 9, 9]], 1, "cls"),
    ],
)
def test_errors(box, gt, label, kind):
    samples = [
        make_sample("a", gt, box, labels=(label,), gt_label=label),
        make_sample("b", GT, GT),
        make_sample("c", [], GT),
    ]
    values = run(LocAccuracy(errors=True, frame_rule="wsol"), samples)
    assert {k: v for k, v in values.items() if v and "error" in k} == {f"loc_error/{kind}": 50}
    assert values["loc/top1"] == 50


def test_images_without_boxes_do_not_count(monkeypatch):
    samples = [make_sample("a", GT, GT), make_sample("b", [], GT), make_sample("c", GT, [0, 0, 9, 9])]
    lines = []
    monkeypatch.setattr("mmwsol.evaluation.metrics.base.print_log", lambda line, **_: lines.append(line))
    assert run(LocAccuracy(), samples)["loc/gt_known"] == 50
    assert "on 2 images (1 without boxes left out, which classification counts)" in lines[0]
    with pytest.raises(ValueError, match="none of 2 images has a ground-truth box"):
        run(LocAccuracy(), [make_sample("a", [], GT), make_sample("b", [], GT)])


def test_own_box_rule_equals_the_models():
    samples = random_samples(6)
    rule = ContourBox(preset="tscam", threshold=0.6)
    hits = []
    for sample in samples:
        boxes = rule(sample["pred_maps"]["maps"], (32, 32))
        sample["pred_instances"] = dict(frame_bboxes=boxes, labels=sample["pred_maps"]["labels"])
        k = sample["pred_maps"]["labels"].tolist().index(int(sample["gt_label"]))
        gt = gt_to_frame(sample["gt_bboxes_ori"], (30, 40), (32, 32), "tscam")
        hits.append(box_iou(boxes[k], gt).max() >= 0.5)
    of_metric, model = run(LocAccuracy(map_to_box=RULE), samples), run(LocAccuracy(), samples)
    assert of_metric == model
    assert of_metric["loc/gt_known"] == pytest.approx(100 * np.mean(hits)) and 0 < sum(hits) < 6


COMPONENT = dict(type="ComponentBox", **ComponentBox(preset="sat").rule)


@pytest.mark.parametrize(
    "protocol, box_rule, name",
    [
        ("tscam", dict(type="ContourBox", **ContourBox(preset="locloc").rule), "tscam"),  # equal in effect
        ("tscam", dict(type="ContourBox", **ContourBox(preset="trt_v2").rule), None),
        ("wsol_v2", dict(type="ContourBox", **ContourBox(preset="wsol_v2").rule), None),  # a model gives one box
        ("cdtr", COMPONENT, None),
        ("tscam", dict(ContourBox(preset="tscam").rule, type="ComponentBox"), None),
    ],
)
def test_the_models_box_rule_is_told_where_it_is_not_the_protocols(protocol, box_rule, name, monkeypatch):
    lines = []
    monkeypatch.setattr("mmwsol.evaluation.metrics.base.print_log", lambda line, **_: lines.append(line))
    metric = LocAccuracy(protocol, map_class="gt", frame_rule="tscam")
    samples = [make_sample(img_id, GT, GT) for img_id in "abc"]
    for sample in samples:
        sample["box_rule"] = dict(box_rule, threshold=0.2)
    values = run(metric, samples)
    assert list(values) == ["loc/gt_known", "loc/top1", "loc/top5"]  # keys stay
    assert metric.description["name"] == (name or f"{protocol} with the model's box rule")
    assert metric.description["box_rule"] == dict(box_rule, contour="largest")
    assert metric.curve["threshold"].tolist() == [0.2] and metric.curve["gt_known"].tolist() == [100]
    told = [line for line in lines if "these are not the protocol's numbers" in line]
    assert len(told) == (0 if name else 1)
    if protocol == "cdtr":
        assert "protocol 'cdtr' with the model's box rule" in told[0]
        assert "type 'ComponentBox', not 'ContourBox'" in told[0]


def test_the_metrics_box_rule_is_told_where_it_is_not_the_protocols():
    assert LocAccuracy("tscam", RULE).description["name"] == "tscam"
    metric = LocAccuracy("cdtr", RULE)
    assert metric.description["name"] == "cdtr with the metric's box rule"
    assert metric.description["box_rule"]["norm_order"] == "after"


def test_no_threshold_no_curve():
    metric = LocAccuracy(iou_stats=True)
    run(metric, [make_sample("a", GT, GT)])
    assert set(metric.curve) == {"iou_edge", "iou_count", "iou_images"}
    with pytest.raises(ValueError, match="no threshold to search"):
        metric.start_search()


def test_threshold_search():
    samples = random_samples(8)
    grid = [0.1, 0.3, 0.5, 0.6, 0.7]
    fixed = [run(LocAccuracy(map_to_box=RULE, threshold=t), samples) for t in grid]
    for select_by in ("gt_known", "top1", "gt_known+top1"):
        metric = LocAccuracy(map_to_box=RULE, threshold=dict(grid=grid, select_by=select_by, select_on="test"))
        values = run(metric, samples)
        score = [sum(v[f"loc/{name}"] for name in select_by.split("+")) for v in fixed]
        best = score.index(max(score))  # first on ties
        assert len(set(score)) > 1
        assert values.pop("loc/threshold") == grid[best]
        assert values == fixed[best]
        assert metric.description["threshold"] == grid[best]
        assert metric.description["threshold_source"] == f"best {select_by} on the EVALUATED set (select_on='test')"
        np.testing.assert_allclose(metric.curve["gt_known"], [v["loc/gt_known"] for v in fixed])


def test_protocol_is_told_and_logged(capfd):
    from mmengine.logging import MMLogger

    MMLogger.get_instance("protocol", logger_name="mmwsol")
    metric = LocAccuracy(map_to_box=RULE, errors=True)
    assert metric.description["frame_rule"] == "tscam" and metric.description["strict_topk"] is True
    assert metric.description["threshold"] == [0.6] and metric.description["threshold_source"] == "fixed"
    assert metric.description["box_rule"]["norm_order"] == "after"
    run(metric, random_samples(3))
    out = "".join(capfd.readouterr())
    assert "LocAccuracy on 3 images: name=tscam, prefix=loc, frame_rule=tscam" in out
    assert LocAccuracy("cdtr").description["map_class"] == "pred"


def test_one_record_per_sample():
    metric = LocAccuracy()
    metric.process(None, [make_sample("a", GT, GT), make_sample("b", [], GT)])
    assert [record[0] for record in metric.results] == ["a", "b"]


def test_duplicates_are_an_error():
    with pytest.raises(ValueError, match="1 images were evaluated more than once, e.g. 'a'"):
        run(LocAccuracy(), [make_sample("a", GT, GT), make_sample("a", GT, GT)])


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(labels=(2,), gt_label=1), r"no map of the ground-truth class 1, only of \[2\]"),
        (dict(scores=(np.nan, 0.5, 0.5)), "pred_score has NaN"),
        (dict(boxes=[[0, 0, np.nan, 5]]), "must be finite"),
        (dict(gt_label=7, labels=(7,)), "gt_label 7 is outside the 3 classes"),
        (dict(boxes=[[0, 0, 5, 5], [1, 1, 3, 3]]), "2 boxes, 1 labels"),
    ],
)
def test_bad_samples_are_named(change, message):
    if len(change.get("boxes", ())) == 2:
        sample = make_sample("a", GT, GT)
        sample["pred_instances"]["frame_bboxes"] = np.array(change["boxes"])
    else:
        sample = make_sample("a", GT, **{"boxes": GT, **change})
    with pytest.raises(ValueError, match=message):
        one(sample)


@pytest.mark.parametrize("name", ["pred_instances", "pred_score", "gt_label", "img_id", "ori_shape", "gt_bboxes_ori"])
def test_missing_fields_are_named(name):
    sample = make_sample("a", GT, GT)
    del sample[name]
    with pytest.raises(ValueError, match=f"has no '{name}'"):
        one(sample)


def test_bad_maps_are_named():
    maps = np.full((1, 4, 4), np.nan, np.float32)
    with pytest.raises(ValueError, match="NaN or infinite"):
        one(make_sample("a", GT, maps=maps), map_to_box=RULE)
    sample = make_sample("a", GT, maps=np.zeros((1, 4, 4), np.float32))
    sample["pred_maps"]["maps"] = np.zeros((4, 4))
    with pytest.raises(ValueError, match=r"must have shape \(K, h, w\) with K = 1 labels, got \(4, 4\)"):
        one(sample, map_to_box=RULE)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(protocol="cub"), "protocol must be one of .* got 'cub'"),
        (dict(frame_rule="crop"), "frame_rule must be one of"),
        (dict(gt_mode="all"), "gt_mode must be one of .* got 'all'"),
        (dict(map_class="top1"), "map_class must be one of .* got 'top1'"),
        (dict(iou="giou"), "iou must be one of .* got 'giou'"),
        (dict(threshold=0.1), "needs map_to_box="),
        (dict(curve_step=0.1), "needs map_to_box="),
        (dict(frame_size=224), "a field of a protocol must be one of .*, got 'frame_size'"),
        (dict(map_to_box=RULE, threshold=1.5), r"thresholds must lie in \[0, 1\), got \[1.5\]"),
        (dict(map_to_box=RULE, threshold=dict(grid=[0.1], select_by="f1")), "select_by must be one of"),
        (dict(map_to_box=dict(type="mmwsol.ContourBox")), "has no threshold"),
        (dict(map_to_box=RULE, topk=(5,), threshold=dict(grid=[0.1], select_by="top1")), "needs 1 in topk"),
    ],
)
def test_bad_options_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        LocAccuracy(**kwargs)


def test_no_sample():
    with pytest.raises(ValueError, match="no sample was processed"):
        LocAccuracy().evaluate(0)


def search(**kwargs):
    return dict(select_on="test", select_by="gt_known", **kwargs)


@pytest.mark.parametrize("rule", [RULE, dict(RULE, contour="all"), dict(type="mmwsol.ComponentBox", preset="sat")])
def test_sweep_equals_one_threshold_after_the_other(rule):
    from mmwsol.registry import TASK_UTILS

    built = TASK_UTILS.build(dict(rule, threshold=0.3))
    thresholds = np.append(np.arange(0, 1, 0.004), [0.3, 0.1, 0.30001])  # more than 255, not in order
    order = np.argsort(thresholds, kind="stable")
    contour = built.rule["contour"]
    for sample in [*random_samples(3), make_sample("zero", GT, maps=np.zeros((1, 4, 4), np.float32))]:
        scoremap = built.scoremap(sample["pred_maps"]["maps"][:1], (32, 32))[0]
        pieces = built.sweep(scoremap, thresholds[order], [contour])[contour]
        swept = threshold_boxes(pieces, built.default_box((32, 32))).reordered(order)
        best = swept.best(-swept.boxes[:, 0])
        of_mask = np.split(swept.boxes, swept.start[1:])
        for i, threshold in enumerate(thresholds.tolist()):
            expected = built.boxes(scoremap, threshold)
            assert sorted(of_mask[swept.mask[i]].tolist()) == sorted(expected.tolist())
            assert swept.boxes[best[i], 0] == expected[:, 0].min()


def test_each_value_at_its_own_threshold():
    samples = random_samples(9)
    metric = LocAccuracy(map_to_box=RULE, threshold=dict(grid=0.01, select_by="each", select_on="test"))
    values = run(metric, samples)
    best = {name: metric.curve[name].argmax() for name in ("gt_known", "top1", "top5")}
    for name, index in best.items():
        assert values[f"loc/{name}"] == metric.curve[name].max()
        assert metric.description["threshold"][name] == metric.curve["threshold"][index]
    assert "loc/threshold" not in values


def test_iou_statistics():
    ends = [119, 107, 99, 90, 76, 60, 51, 49]  # of boxes that start with the object, 50 to 99
    samples = [make_sample(f"{e}", GT, [[50, 50, e, 99]]) for e in ends]
    metric = LocAccuracy(iou_stats=True)
    values = run(metric, samples)
    iou = np.array([min(e - 49, 50) / max(e - 49, 50) for e in ends[:7]] + [0])
    assert values["loc/iou_median_all"] == pytest.approx(100 * np.median(iou))
    assert values["loc/iou_median_correct"] == pytest.approx(100 * np.median(iou[iou >= 0.5]))
    # .714, .862, 1 (in the last bin, which is closed), .82 and .54
    assert metric.curve["iou_count"].tolist() == [1, 0, 0, 0, 1, 0, 1, 1, 0, 1]
    assert metric.curve["iou_edge"].tolist() == [k / 20 for k in range(10, 21)] and metric.curve["iou_images"] == [8]
    assert run(LocAccuracy(iou_stats=True), [samples[-1]])["loc/iou_median_correct"] == 0


def test_errors_of_the_oracle_box():
    """The fixed threshold is that of the first image; the second is right at another one only."""
    maps = np.zeros((2, 1, 14, 14), np.float32)
    maps[0, :, 2:9, 2:9] = 1
    maps[1, :, 2:13, 2:13] = 0.5
    maps[1, :, 4:7, 4:7] = 1
    gts = ([[32, 32, 143, 143]], [[64, 64, 111, 111]])
    samples = [make_sample(str(i), gt, maps=m) for i, (gt, m) in enumerate(zip(gts, maps, strict=True))]
    grid = search(grid=[0.3, 0.8])
    names = ("cls", "multi_instance", "part", "more", "wrong")
    oracle = run(LocAccuracy(map_to_box=RULE, threshold=grid, errors=True, error_box="oracle"), samples)
    assert [oracle[f"loc_error/{name}"] for name in names] == [0] * 5
    # Only the low threshold in the grid's first place: kept for ties.
    tied = [samples[1], samples[0]]
    wrong = run(LocAccuracy(map_to_box=RULE, threshold=0.3, errors=True), tied)
    assert wrong["loc_error/more"] == 50
    many = run(LocAccuracy(map_to_box=RULE, threshold=search(grid=0.01), errors=True), samples)
    fixed = run(LocAccuracy(map_to_box=RULE, threshold=many["loc/threshold"], errors=True), samples)
    assert {name: many[f"loc_error/{name}"] for name in names} == {name: fixed[f"loc_error/{name}"] for name in names}
    with pytest.raises(ValueError, match="error_box='oracle' needs several thresholds"):
        LocAccuracy(map_to_box=RULE, errors=True, error_box="oracle")


def test_threshold_of_the_model():
    """Without a search the values are those at the threshold that the localizer wrote down."""
    samples = random_samples(8)
    rule = {"type": "ContourBox", **ContourBox(preset="tscam").rule, "threshold": 0.6}
    for sample in samples:
        sample["box_rule"] = rule
    metric = LocAccuracy(map_to_box=RULE, threshold=dict(grid=[0.1, 0.3], select_by="gt_known"), errors=True)
    values = run(metric, samples)
    assert values == run(LocAccuracy(map_to_box=RULE, threshold=0.6, errors=True), samples)
    assert metric.description["threshold"] == 0.6
    assert metric.description["threshold_source"] == "best gt_known on the validation set"
    at = [run(LocAccuracy(map_to_box=RULE, threshold=t), samples)["loc/gt_known"] for t in (0.1, 0.3)]
    assert metric.curve["gt_known"].tolist() == pytest.approx(at)
    for change in (dict(norm="max"), dict(type="ComponentBox")):
        samples[0]["box_rule"] = dict(rule, **change)
        with pytest.raises(ValueError, match="one for its own box rule"):
            run(metric, samples)
    del samples[0]["box_rule"]
    with pytest.raises(ValueError, match="evaluates at the threshold of the model"):
        run(metric, samples)


@pytest.mark.parametrize(
    "threshold, message",
    [
        (dict(grid=0.1, select_on="train"), "select_on must be one of"),
        (dict(grid=0.1, select_by="each"), "needs select_on='test'"),
        (dict(select_by="gt_known"), "threshold takes grid"),
        (dict(grid=0.1, by="top1"), "threshold takes grid"),
        (dict(grid=2), "got 2"),
    ],
)
def test_bad_searches_are_named(threshold, message):
    with pytest.raises(ValueError, match=message):
        LocAccuracy(map_to_box=RULE, threshold=threshold)
