"""Evaluation of stored maps under protocols."""

import numpy as np
import pytest
from map_case import FRAME, IDS, make_set

from mmwsol.evaluation.functional import box_iou, threshold_boxes, threshold_grid
from mmwsol.evaluation.ground_truth import read_ground_truth
from mmwsol.evaluation.map_evaluation import build_metrics, evaluate_files
from mmwsol.evaluation.metrics import LocAccuracy, MaxBoxAcc
from mmwsol.evaluation.score_files import read_scores
from mmwsol.models.box_rules import ComponentBox, ContourBox
from mmwsol.structures import Frame

SIZE = (FRAME, FRAME)
ALL = ("wsol_v1", "wsol_v2", "tscam")


@pytest.mark.parametrize("rule", [ContourBox(preset="tscam"), ContourBox(preset="wsol_v2"), ComponentBox()])
def test_threshold_boxes(rule):
    scoremap = rule.scoremap(np.random.RandomState(1).rand(1, 6, 6), (24, 24))[0]
    thresholds = threshold_grid(0.003)
    single = type(rule)(preset=None, **{**rule.rule, "contour": "largest"})
    for swept_map in (scoremap, np.zeros_like(scoremap)):
        swept = threshold_boxes(rule.sweep(swept_map, thresholds)["largest"], rule.default_box((24, 24)))
        expected = np.concatenate([single.boxes(swept_map, t) for t in thresholds.tolist()])
        np.testing.assert_array_equal(swept.boxes[swept.start[swept.mask]], expected)


@pytest.fixture
def case(tmp_path):
    return tmp_path, make_set(tmp_path)


def samples_of(folder, maps):
    """Return the data samples of a model that made these maps."""
    items, _ = read_ground_truth(folder / "meta")
    scores = read_scores(folder / "scores.npz", IDS)
    return [
        {
            **item,
            "img_shape": SIZE,
            "pred_score": scores[item["img_id"]],
            "pred_maps": {"maps": maps[item["img_id"]][None], "labels": np.array([-1])},
        }
        for item in items
    ]


def test_metrics_are_those_of_the_metrics(case):
    folder, maps = case
    results = evaluate_files(
        folder / "maps", folder / "meta", ALL, 0.5, frame=SIZE, scores=folder / "scores.npz",
    )  # fmt: skip
    rule = dict(type="mmwsol.ContourBox", preset="tscam")
    direct = {
        "wsol_v1": MaxBoxAcc(multi_contour=False),
        "wsol_v2": MaxBoxAcc(),
        "tscam": LocAccuracy(map_to_box=rule, threshold=0.5, errors=True),
    }
    for name, metric in direct.items():
        metric.process(None, samples_of(folder, maps))
        for key, value in metric.evaluate(len(maps)).items():
            assert results["metrics"][key.replace("loc", name, 1)] == value, key
    assert results["metrics"]["tscam/top1"] < results["metrics"]["tscam/gt_known"]
    assert set(results["protocol"]) == set(results["curves"]) == set(ALL)


def test_images_agree_with_the_metrics(case):
    """Hits counted from the per-image IoUs, and the boxes behind them, give the reported accuracies."""
    folder, _ = case
    results = evaluate_files(folder / "maps", folder / "meta", ALL, "best", frame=SIZE, scores=folder / "scores.npz")
    records, metrics = results["predictions"], results["metrics"]
    assert [record["img_id"] for record in records] == IDS
    for name, key in (("wsol_v1", "max_box_acc"), ("wsol_v2", "max_box_acc_v2@50"), ("tscam", "gt_known")):
        iou = np.array([record["evaluated"][name]["iou"] for record in records])
        assert 100 * (iou >= 0.5).mean() == pytest.approx(metrics[f"{name}/{key}"])
    items, _ = read_ground_truth(folder / "meta")
    for title, metric in build_metrics(("wsol_v1", "tscam"), "best").items():
        for item, entry in zip(items, records, strict=True):
            record = entry["evaluated"][title]
            gt = metric.gt_boxes({**item, "img_shape": SIZE})
            assert box_iou(record["frame_bbox"], gt).max() == record["iou"]
            frame = Frame(tuple(entry["ori_shape"]), tuple(entry["img_shape"]), **entry["frame"])
            np.testing.assert_allclose(frame.inverse().boxes(record["frame_bbox"])[0], record["bbox"])
            assert record["rank"] == (0 if record["error"] != "cls" else 1)
    assert records[5]["evaluated"]["tscam"]["error"] == "cls" and records[5]["pred_label"] == 0
    assert metrics["tscam_error/cls"] == pytest.approx(100 / 6)
    assert all(record["evaluated"]["wsol_v2"]["error"] is None for record in records)
    curve = results["curves"]["tscam"]
    at = curve["threshold"].tolist().index(metrics["tscam/threshold"])
    for key in ("gt_known", "top1", "top5"):
        assert curve[key][at] == pytest.approx(metrics[f"tscam/{key}"]), key
    assert max(curve["gt_known"]) == pytest.approx(metrics["tscam/gt_known"])


def test_one_protocol_has_stable_keys(case):
    folder, _ = case
    results = evaluate_files(folder / "maps", folder / "meta", ["tscam"], 0.5, frame=SIZE, keep=False)
    assert list(results["metrics"]) == ["loc/gt_known"]  # no scores, no Top-k
    assert results["predictions"] == [] and results["curves"] == {}
    assert "take the class for right" in results["class_scores"]


def test_the_frame_is_that_of_the_dump(case):
    folder, _ = case
    small = evaluate_files(folder / "maps", folder / "meta", ["wsol_v2"], frame=SIZE)
    usual = evaluate_files(folder / "maps", folder / "meta", ["wsol_v2"])
    (folder / "meta/frame.txt").write_text(f"{FRAME},{FRAME}\n")
    dumped = evaluate_files(folder / "maps", folder / "meta", ["wsol_v2"])
    assert dumped["metrics"] == small["metrics"] != usual["metrics"]
    assert {tuple(entry["img_shape"]) for entry in dumped["predictions"]} == {SIZE}
    with pytest.raises(ValueError, match=r"the frame \(224, 224\) is not that of the maps, \(32, 32\)"):
        evaluate_files(folder / "maps", folder / "meta", ["wsol_v2"], frame=(224, 224))


def test_image_without_boxes(case):
    folder, _ = case
    lines = (folder / "meta/localization.txt").read_text().splitlines()
    (folder / "meta/localization.txt").write_text("\n".join(lines[1:]))
    results = evaluate_files(folder / "maps", folder / "meta", ["tscam"], 0.5, frame=SIZE)
    assert results["predictions"][0]["evaluated"]["tscam"] is None
    whole = [record["evaluated"]["tscam"]["iou"] for record in results["predictions"][1:]]
    assert results["metrics"]["loc/gt_known"] == pytest.approx(100 * np.mean(np.array(whole) >= 0.5))


def test_bad_maps_score_as_empty(case):
    folder, _ = case
    file = folder / "maps" / IDS[0].replace(".jpg", ".npy")
    np.save(file, np.ones((8, 8)))
    with pytest.raises(ValueError, match="constant"):
        evaluate_files(folder / "maps", folder / "meta", ["tscam"], 0.5, frame=SIZE)
    results = evaluate_files(folder / "maps", folder / "meta", ["tscam"], 0.5, frame=SIZE, bad_maps="zero")
    assert results["num_zeroed_maps"] == 1
    assert results["predictions"][0]["evaluated"]["tscam"]["bbox"] == pytest.approx([0, 0, 40 / 32, 30 / 32])


def test_masks(case):
    import cv2

    from mmwsol.evaluation.functional import pixel_curves, pixel_histograms

    folder, maps = case
    random = np.random.RandomState(0)
    masks = {img_id: (random.rand(FRAME, FRAME) > 0.6).astype(np.uint8) for img_id in IDS}
    for i, img_id in enumerate(IDS):
        cv2.imwrite(str(folder / f"{i}.png"), masks[img_id])
    lines = [f"{img_id},{i}.png," for i, img_id in enumerate(IDS)]
    (folder / "meta/localization.txt").write_text("\n".join(lines))
    results = evaluate_files(folder / "maps", folder / "meta", frame=SIZE, mask_root=str(folder))
    rule = ContourBox(preset="wsol")
    pooled = sum(pixel_histograms(rule.scoremap(maps[k][None], SIZE)[0], masks[k].astype(bool)) for k in IDS)
    assert results["metrics"]["seg/pxap"] == pytest.approx(pixel_curves(pooled)[1]["pxap"])
    assert "seg/piou" in results["metrics"] and not any("box" in key for key in results["metrics"])


@pytest.mark.parametrize(
    "names, threshold, message",
    [
        (("tscam",), None, "needs threshold"),
        (("wsol_v1",), 0.1, "search their thresholds"),
        (("wsol_v1", "wsol_v1"), None, "every protocol once"),
        (("wsol",), None, "protocol must be one of"),
        (("tscam", "sat"), 0.1, "'tscam' of the whole image, 'sat' of the center"),
        (("sat", "cdtr"), 0.1, "cannot share maps"),
    ],
)
def test_option_errors(names, threshold, message):
    with pytest.raises(ValueError, match=message):
        build_metrics(names, threshold)
