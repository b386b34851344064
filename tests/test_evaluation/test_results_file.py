"""Results files, and what became of every image."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from mmwsol.evaluation.functional import frame_of_rule, gt_to_frame
from mmwsol.evaluation.metrics import LocAccuracy, MaxBoxAcc
from mmwsol.evaluation.results_file import (
    assemble,
    choose_protocol,
    image_entry,
    load_results,
    metric_titles,
    outcomes,
    read_picture,
    records_of,
    save_results,
)


def file_of_test(boxes, gt, pred_label=1, map_class="gt", size=(224, 224), **fields):
    """Return results of one 500x375 picture of class 1, as tools/test.py writes them; boxes in the frame."""
    metric = LocAccuracy(map_class=map_class, **fields)
    metric.keep_records = True
    frame = frame_of_rule((375, 500), size, metric.protocol.frame_rule)
    sample = dict(
        img_id="a.jpg", gt_label=1, gt_bboxes_ori=np.array(gt, np.float32).reshape(-1, 4), frame=frame,
        ori_shape=frame.ori_shape, img_shape=size, pred_score=np.eye(3)[pred_label],
        pred_instances=dict(frame_bboxes=np.array(boxes), labels=np.array([pred_label, 1][: len(boxes)])),
    )  # fmt: skip
    metric.process(None, [sample])
    values = metric.evaluate(1)
    titles = metric_titles([metric, object()])
    entry = image_entry(sample, frame, sample["pred_score"], records_of(titles, "a.jpg"))
    return assemble(values, titles, [entry])


def test_records_are_those_of_the_metric(tmp_path):
    # GT 11 24 192 135 in the frame: IoU of the first box exactly as LocAccuracy computes it
    results = file_of_test([[0, 0, 224, 224], [12, 24, 190, 130]], [[26, 41, 430, 227]], pred_label=2)
    save_results(results, tmp_path / "a.json")
    [outcome] = outcomes(load_results(tmp_path / "a.json"), "LocAccuracy")
    [gt] = gt_to_frame(np.array([[26, 41, 430, 227]]), (375, 500), (224, 224), "tscam")
    assert gt.tolist() == [11, 24, 192, 135]
    inter, union = 179 * 107, 182 * 112
    assert outcome.iou == inter / union and outcome.error == "cls" and outcome.pred_label == 2
    record = results["predictions"][0]["evaluated"]["LocAccuracy"]
    assert record["frame_bbox"] == [12, 24, 190, 130] and record["rank"] == 2
    assert record["bbox"] == pytest.approx([12 * 500 / 224, 24 * 375 / 224, 190 * 500 / 224, 130 * 375 / 224])
    predicted = file_of_test([[0, 0, 224, 224]], [[26, 41, 430, 227]], map_class="pred")
    [outcome] = outcomes(predicted, "LocAccuracy")
    assert outcome.iou == union / 225**2 and outcome.error == "more"


def test_the_frame_of_the_image_counts():
    # GT 4 10 82 58 in a frame of 96x96, where a pixel more or less weighs more than in one of 224x224
    results = file_of_test([[5, 12, 80, 60]], [[26, 41, 430, 227]], size=(96, 96))
    inter, union = 76 * 47, 79 * 49 + 76 * 49 - 76 * 47
    [outcome] = outcomes(results, "LocAccuracy")
    assert outcome.iou == inter / union
    entry = results["predictions"][0]
    assert entry["img_shape"] == [96, 96] and entry["frame"] == dict(scale=[96 / 500, 96 / 375], shift=[0, 0])


def test_pictures_of_turned_photographs(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (500, 375)).save(tmp_path / "a.jpg", exif=exif)
    results = file_of_test([[0, 0, 9, 9]], [[0, 0, 9, 9]])
    for shape in ([375, 500], [500, 375]):
        results["predictions"][0].update(ori_shape=shape)
        [outcome] = outcomes(results, "LocAccuracy")
        assert read_picture(outcome, str(tmp_path)).shape == (*shape, 3)


def test_titles():
    metrics = [LocAccuracy(), MaxBoxAcc(), LocAccuracy(prefix="b"), object(), LocAccuracy(prefix="b")]
    assert list(metric_titles(metrics)) == ["LocAccuracy", "MaxBoxAcc", "LocAccuracy_b", "LocAccuracy_3"]


def test_files(tmp_path):
    results = file_of_test([[0, 0, 9, 9]], [[0, 0, 9, 9]])
    results["metrics"] = {"loc/gt_known": np.float64(50)}
    for path in (tmp_path / "new" / "a.json", tmp_path / "a.pkl"):
        save_results(results, path)
        read = load_results(path)
        assert read["metrics"] == {"loc/gt_known": 50.0}
        assert choose_protocol(read) == choose_protocol(read, "tscam") == choose_protocol(read, "LocAccuracy")
        assert choose_protocol(read) == "LocAccuracy"
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"metrics": print}))
    with pytest.raises(ValueError, match="it holds builtins.print"):
        load_results(tmp_path / "bad.pkl")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ValueError, match="is no results file"):
        load_results(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text('{"metrics": 1}')
    with pytest.raises(ValueError, match=r"no \['protocol', 'curves', 'predictions'\]"):
        load_results(tmp_path / "bad.json")
    save_results({key: value for key, value in results.items() if key != "version"}, tmp_path / "old.json")
    with pytest.raises(ValueError, match="of version 1, version 2 is needed: run the test .* again"):
        load_results(tmp_path / "old.json")
    with pytest.raises(FileNotFoundError):
        load_results(tmp_path / "none.json")
    with pytest.raises(ValueError, match="no per-image boxes of protocol 'sat'; they have those of .'LocAccuracy'"):
        choose_protocol(results, "sat")
    results["predictions"][0]["evaluated"]["LocAccuracy"] = None
    with pytest.raises(ValueError, match="no image of the results has ground-truth boxes"):
        outcomes(results, "LocAccuracy")
    results["predictions"][0]["evaluated"] = {}
    with pytest.raises(ValueError, match="no per-image boxes of protocol None"):
        choose_protocol(results)


def test_a_metric_that_is_no_number_is_valid_json(tmp_path):
    content = dict(version=2, metrics={"loc/gt_known": np.float64("nan"), "cls/top1": 50.0}, protocol={}, curves={},
                   predictions=[])  # fmt: skip
    save_results(content, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)["metrics"]["loc/gt_known"] is None
    metrics = load_results(tmp_path / "a.json")["metrics"]
    assert np.isnan(metrics["loc/gt_known"]) and metrics["cls/top1"] == 50.0
