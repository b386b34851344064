"""Named protocols: every one runs, several at once, with the numbers of hand-made metrics."""

import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.evaluator import Evaluator

from mmwsol.evaluation.metrics import LocAccuracy, MaxBoxAcc
from mmwsol.evaluation.metrics.sample import rule_settings
from mmwsol.evaluation.protocols import BEST, PROTOCOLS, get_protocol, protocol_metrics
from mmwsol.models.box_rules import ContourBox
from mmwsol.registry import METRICS
from mmwsol.structures import Frame

sys.path.insert(0, str(Path(__file__).parent / "test_metrics"))
from loc_samples import make_sample, run  # noqa: E402


def samples(frame):
    rng = np.random.RandomState(3)
    made = []
    for i in range(6):
        start = rng.randint(20, 90, 2)
        gt = np.concatenate([start, start + rng.randint(60, 120, 2)])[None]
        maps = rng.rand(1, 14, 14).astype(np.float32) * 0.2
        x0, y0, x1, y1 = (gt[0] * 14 / 256).astype(int)
        maps[:, y0 : y1 + 1, x0 : x1 + 1] += 0.5
        made.append(make_sample(f"{i}", gt, maps=maps, labels=(-1,), gt_label=i % 3, ori_shape=(256, 256), frame=frame))
    return made


PLAIN = Frame.identity((256, 256)).resized((224, 224))
CROP = Frame.identity((256, 256)).cropped(16, 16, (224, 224))


def test_all_at_once():
    """Protocols of one frame share the pass; keys do not collide with those of the defaults."""
    for frame, names in ((PLAIN, ("wsol_v1", "wsol_v2", "tscam", "trt_v2", "dips")), (CROP, ("sat", "cdtr", "locloc"))):
        configs = [c for name in names for c in protocol_metrics(name, None if PROTOCOLS[name].searches else "CUB")]
        default = [dict(type="mmwsol.MaxBoxAcc")] if frame == PLAIN else []
        evaluator = Evaluator([*configs, *default])
        evaluator.process(samples(frame))
        values = evaluator.evaluate(6)
        assert {key.split("/")[0].removesuffix("_error") for key in values} == {*names, *(["loc"] if default else [])}
        if default:
            assert values["wsol_v2/max_box_acc_v2"] == values["loc/max_box_acc_v2"]
            assert values["wsol_v1/max_box_acc"] == values["loc/max_box_acc"]
            assert "wsol_v1/max_box_acc_v2" not in values
        for metric in evaluator.metrics:
            assert {"frame_rule", "box_rule", "threshold", "threshold_source", "prefix"} <= metric.description.keys()
    assert set(PROTOCOLS) == {"wsol_v1", "wsol_v2", "tscam", "trt_v2", "sat", "cdtr", "locloc", "dips"}


def test_equals_metrics_by_hand():
    crop = samples(CROP)
    [loc, box_acc] = protocol_metrics("sat", 0.3)
    for config in (loc, box_acc):
        config.pop("type")
    component = dict(type="mmwsol.ComponentBox", preset="sat", threshold=0.3)
    by_hand = run(LocAccuracy("sat", map_to_box=component), crop)
    assert run(LocAccuracy(**loc), crop) == {key.replace("loc/", "sat/"): v for key, v in by_hand.items()}
    values = run(MaxBoxAcc(**box_acc), crop)
    assert values["sat/max_box_acc"] == by_hand["loc/gt_known"]  # one threshold, no maximum
    assert values["sat/max_box_acc"] > 0


def test_dips_takes_the_maximum_of_every_value():
    plain = samples(PLAIN)
    config = protocol_metrics("dips")[1]
    config.pop("type")
    metric = LocAccuracy(**config)
    values = run(metric, plain)
    for name in ("gt_known", "top1", "top5"):
        assert values[f"dips/{name}"] == metric.curve[name].max()
    assert metric.description["threshold"].keys() == {"gt_known", "top1", "top5"}
    assert "EVALUATED set" in metric.description["threshold_source"]
    wrong_class = values["dips_error/cls"]
    assert 0 < wrong_class < 100


def test_bad_names():
    for kwargs, message in [
        (dict(name="cub"), "protocol must be one of .* got 'cub'"),
        (dict(name="sat"), r"needs threshold=: a number, or one of \('CUB', 'ILSVRC'\).* got None"),
        (dict(name="tscam", threshold="Dogs"), "got 'Dogs'"),
        (dict(name="wsol_v2", threshold=0.1), "searches its threshold"),
    ]:
        with pytest.raises(ValueError, match=message):
            protocol_metrics(**kwargs)
    assert protocol_metrics("tscam", 0.2, prefix="loc", errors=False)[0]["prefix"] == "loc"


def test_ways_to_name_a_protocol():
    """A name, an instance and a dict give the same metric; a field may be given directly."""
    first = PROTOCOLS["tscam"].changed(name="first", gt_mode="first", iou_thr=0.4)
    ways = [
        LocAccuracy(first),
        LocAccuracy(dict(name="tscam", gt_mode="first", iou_thr=0.4)),
        LocAccuracy("tscam", gt_mode="first", iou_thr=0.4),
    ]
    for metric in ways:
        assert metric.protocol.changed(name="first") == first
        assert metric.description["gt_mode"] == "first" and metric.description["strict_topk"] is True
    assert get_protocol("tscam") is PROTOCOLS["tscam"] and get_protocol(first) is first
    assert LocAccuracy().protocol is PROTOCOLS["tscam"] and MaxBoxAcc().protocol is PROTOCOLS["wsol_v2"]
    [config] = protocol_metrics(first, 0.3)
    values = run(METRICS.build(config), samples(PLAIN))
    assert "first/gt_known" in values and "first_error/part" in values
    [config] = protocol_metrics("trt_v2", 0.1)
    assert METRICS.build(config).thresholds.tolist() == [0.1]
    for bad, message in [
        (dict(frame_size=224), "a field of a protocol must be one of .* got 'frame_size'"),
        (dict(gt_mode="best"), "gt_mode must be one of .* got 'best'"),
        (dict(threshold=dict(grid=0.1, select_by="f1")), "select_by must be one of"),
    ]:
        with pytest.raises(ValueError, match=message):
            first.changed(**bad)
    with pytest.raises(ValueError, match="protocol 'sat' needs a threshold"):
        MaxBoxAcc("sat")


def test_a_metric_of_ones_own_is_one_class():
    """It tells what it needs of a protocol; nothing else knows its type."""

    class Mine(LocAccuracy):
        pass

    METRICS.register_module(name="MineOfATest", module=Mine)
    try:
        mine = PROTOCOLS["tscam"].changed(name="mine", metrics=({"type": "mmwsol.MineOfATest", "errors": True},))
        [config] = protocol_metrics(mine, "best", scores=False, curve_step=0.1)
        metric = METRICS.build(config)
        assert (metric.topk, metric.errors) == ((), False) and metric.searching
        assert metric.search == BEST and metric.map_to_box.rule == metric.protocol_box_rule.rule
        [config] = protocol_metrics(mine, "CUB", curve_step=0.25)
        assert METRICS.build(config).thresholds.tolist() == [0, 0.1, 0.25, 0.5, 0.75]
    finally:
        METRICS.module_dict.pop("MineOfATest")


def test_best_of_a_protocol_with_one_threshold():
    """MaxBoxAcc takes the best of every value, LocAccuracy that of GT-known."""
    [config] = protocol_metrics("trt_v2", "best")
    assert METRICS.build(config).thresholds.tolist() == BEST.thresholds().tolist()
    loc, box_acc = protocol_metrics("sat", "best")
    assert loc["threshold"] == dict(grid=0.01, select_by="gt_known", select_on="test")
    values = run(METRICS.build(loc), samples(CROP)) | run(METRICS.build(box_acc), samples(CROP))
    assert values["sat/gt_known"] == values["sat/max_box_acc"] > 0


def test_a_score_map_is_made_once_an_image(monkeypatch):
    """The metrics of an evaluator share maps and sweeps, by the options of their rules."""
    made = []
    whole = ContourBox.scoremap
    note = lambda rule, *args: (made.append(rule.rule["dtype"]), whole(rule, *args))[1]  # noqa: E731
    monkeypatch.setattr(ContourBox, "scoremap", note)
    configs = [c for name in ("wsol_v1", "wsol_v2", "tscam", "trt_v2") for c in protocol_metrics(
        name, None if PROTOCOLS[name].searches else 0.2)]  # fmt: skip
    evaluator = Evaluator([*configs, dict(type="mmwsol.LocAccuracy", map_to_box=dict(type="mmwsol.ContourBox"),
                                          threshold=0.3, prefix="again")])  # fmt: skip
    evaluator.process(samples(PLAIN))
    evaluator.evaluate(6)
    assert sorted(made) == ["float32"] * 6 + ["float64"] * 6


def test_papers_that_call_the_mean_of_the_largest_contour_max_box_acc_v2():
    for name, frame in (("sat", CROP), ("dips", PLAIN)):
        [box_acc] = [c for c in protocol_metrics(name, 0.3 if name == "sat" else None) if "MaxBoxAcc" in c["type"]]
        box_acc.pop("type")
        values = run(MaxBoxAcc(**box_acc), samples(frame))
        mean = np.mean([values[f"{name}/max_box_acc@{iou_thr}"] for iou_thr in (30, 50, 70)])
        assert values[f"{name}/max_box_acc_v2"] == pytest.approx(mean, abs=1e-9)
    with pytest.raises(ValueError, match="v2_contour='largest' needs multi_contour=False"):
        PROTOCOLS["wsol_v2"].changed(v2_contour="largest")


def test_one_threshold_for_all_metrics():
    """SAT's MaxBoxAcc evaluates at the model's, whatever set it there."""
    rule = rule_settings(MaxBoxAcc("sat", "model").map_to_box)
    for threshold in (0.3, 0.7):
        made = samples(CROP)
        for sample in made:
            sample["box_rule"] = dict(rule, threshold=threshold)
        metric = MaxBoxAcc("sat", "model")
        values = run(metric, made)
        assert values == run(MaxBoxAcc("sat", threshold=threshold), samples(CROP))
        assert metric.description["threshold"] == threshold
    with pytest.raises(ValueError, match="evaluates at the threshold of the model, which must be a localizer"):
        run(MaxBoxAcc("sat", "model"), samples(CROP))
    made[0]["box_rule"] = dict(rule, norm="none", threshold=0.3)
    with pytest.raises(ValueError, match="give both the same map_to_box"):
        run(MaxBoxAcc("sat", "model"), made)
    made[0]["box_rule"] = dict(rule, type="ContourBox", threshold=0.3)  # its thresholds mean something else
    with pytest.raises(ValueError, match="give both the same map_to_box"):
        run(MaxBoxAcc("sat", "model"), made)
    made[0]["box_rule"] = dict(rule, threshold=0.4)
    with pytest.raises(ValueError, match="changed from 0.4 to 0.7"):
        run(MaxBoxAcc("sat", "model"), made)
