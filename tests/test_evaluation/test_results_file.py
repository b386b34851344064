"""Results files, and what became of every image."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from mmwsol.evaluation.functional import gt_to_frame
from mmwsol.evaluation.metrics import LocAccuracy
from mmwsol.evaluation.results_file import (
    choose_protocol,
    frame_to_original,
    load_results,
    original_to_frame,
    outcomes,
    read_picture,
    save_results,
)


def file_of_test(boxes, gt, pred_label=1, map_class="gt", size=(224, 224), **switches):
    """Return results as tools/test.py writes them, of one 500x375 picture of class 1; boxes in the frame."""
    metric = LocAccuracy(map_class=map_class, **switches)
    original = frame_to_original(boxes, (375, 500), size, metric.frame_rule)
    record = dict(
        img_id="a.jpg", img_path=None, ori_shape=[375, 500], gt_label=1, gt_bboxes=gt, pred_label=pred_label,
        pred_score=dict(labels=[pred_label, 0], scores=[0.9, 0.1]),
        bboxes=original.astype(np.float32).tolist(), bbox_labels=[pred_label, 1][: len(boxes)], bbox_scores=[0.9, 0.1],
    )  # fmt: skip
    return dict(metrics={}, protocol={"LocAccuracy": metric.protocol}, predictions=[record])


def test_boxes_of_the_model_are_scored_in_the_frame():
    # GT 11 24 192 135 in the frame: IoU of the first box exactly as LocAccuracy computes it
    results = file_of_test([[0, 0, 224, 224], [12, 24, 190, 130]], [[26, 41, 430, 227]], pred_label=2)
    [found] = outcomes(json.loads(json.dumps(results)), "LocAccuracy")
    [gt] = gt_to_frame(np.array([[26, 41, 430, 227]]), (375, 500), (224, 224), "tscam")
    assert gt.tolist() == [11, 24, 192, 135]
    inter, union = 179 * 107, 182 * 112
    assert found.iou == inter / union and found.error == "cls" and found.pred_label == 2
    predicted = file_of_test([[0, 0, 224, 224]], [[26, 41, 430, 227]], map_class="pred")
    [found] = outcomes(predicted, "LocAccuracy")
    assert found.iou == union / 225**2 and found.error == "more"
    with pytest.raises(ValueError, match="no map of the ground-truth class 1"):
        outcomes(file_of_test([[0, 0, 9, 9]], [[0, 0, 9, 9]], pred_label=2), "LocAccuracy")


def test_the_frame_of_the_file_counts():
    # GT 4 10 82 58 in a frame of 96x96, where a pixel more or less weighs more than in one of 224x224
    results = file_of_test([[5, 12, 80, 60]], [[26, 41, 430, 227]], size=(96, 96))
    [gt] = gt_to_frame(np.array([[26, 41, 430, 227]]), (375, 500), (96, 96), "tscam")
    assert gt.tolist() == [4, 10, 82, 58]
    inter, union = 76 * 47, 79 * 49 + 76 * 49 - 76 * 47
    [guessed] = outcomes(results, "LocAccuracy")
    assert guessed.iou != inter / union
    [given] = outcomes(results, "LocAccuracy", (96, 96))  # older files, with --frame
    results["predictions"][0]["img_shape"] = [96, 96]
    [told] = outcomes(json.loads(json.dumps(results)), "LocAccuracy")
    assert given.iou == told.iou == inter / union


def test_pictures_of_turned_photographs(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (500, 375)).save(tmp_path / "a.jpg", exif=exif)
    results = file_of_test([[0, 0, 9, 9]], [[0, 0, 9, 9]])
    for shape in ([375, 500], [500, 375]):
        results["predictions"][0].update(ori_shape=shape)
        [found] = outcomes(results, "LocAccuracy")
        assert read_picture(found, str(tmp_path)).shape == (*shape, 3)


@pytest.mark.parametrize("rule", ["wsol", "tscam", "sat", "short"])
def test_frames_there_and_back(rule):
    box = np.array([[30.0, 40.0, 201.0, 190.0]])
    original = frame_to_original(box, (375, 500), (224, 224), rule)
    np.testing.assert_allclose(original_to_frame(original, (375, 500), (224, 224), rule), box)
    moved = gt_to_frame(original, (375, 500), (224, 224), rule)
    assert np.abs(moved - box).max() <= 1 + 1e-9  # integer rules truncate


def test_files(tmp_path):
    results = dict(metrics={"loc/gt_known": np.float64(50)}, protocol={}, predictions=[])
    save_results(results, tmp_path / "new" / "a.json")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(results))
    for path in (tmp_path / "new" / "a.json", tmp_path / "a.pkl"):
        assert load_results(path)["metrics"] == {"loc/gt_known": 50.0}
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"metrics": print}))
    with pytest.raises(ValueError, match="it holds builtins.print"):
        load_results(tmp_path / "bad.pkl")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ValueError, match="is no results file"):
        load_results(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text('{"metrics": 1}')
    with pytest.raises(ValueError, match=r"no \['protocol', 'predictions'\]"):
        load_results(tmp_path / "bad.json")
    with pytest.raises(FileNotFoundError):
        load_results(tmp_path / "none.json")
    with pytest.raises(ValueError, match="no per-image boxes of protocol None"):
        choose_protocol(results)
    with pytest.raises(ValueError, match="no image of the results has ground-truth boxes"):
        outcomes(dict(results, protocol={"LocAccuracy": {}}), "LocAccuracy")
