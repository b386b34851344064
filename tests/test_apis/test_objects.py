"""Objects of a prediction: regions, merging, scores and doubts by hand."""

from __future__ import annotations

import bright
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmwsol.apis import WSOLInferencer
from mmwsol.apis.objects import BoxOptions, applied, find_classes, find_doubts, find_objects
from mmwsol.models.box_rules import ComponentBox, ContourBox
from mmwsol.structures import Frame, LocDataSample

# Three regions of a map of 10 x 20: 1.0 in 4 x 6, 0.6 in 3 x 3, 0.8 in 2 x 2 pixels; x0, y0, x1, y1.
LARGE, MIDDLE, SMALL = (1, 1, 7, 5), (10, 2, 13, 5), (15, 7, 17, 9)


def predict(rule, values=(1.0, 0.6, 0.8), boxes=(LARGE, MIDDLE, SMALL), ori_shape=(10, 20), probability=0.5, **options):
    """Find the objects of a map that is 0 but for some boxes."""
    heat = torch.zeros(1, 10, 20)
    for value, (x0, y0, x1, y1) in zip(values, boxes, strict=True):
        heat[0, y0:y1, x0:x1] = value
    frame = Frame.identity(ori_shape).resized((10, 20))
    meta = dict(frame=frame, ori_shape=ori_shape, img_shape=(10, 20), box_rule=rule.rule)
    sample = LocDataSample(metainfo=meta)
    sample.set_pred_score(torch.tensor([1 - probability, probability])).set_pred_label(1)
    sample.pred_maps = InstanceData(maps=heat, labels=torch.tensor([1]))
    own = rule(heat, (10, 20))
    sample.pred_instances = InstanceData(bboxes=torch.from_numpy(frame.inverse().boxes(own)), labels=torch.tensor([1]))
    find_objects(sample, rule, BoxOptions(**options))
    return sample


RULES = [ContourBox(threshold=0.2), ComponentBox(threshold=0.2), ContourBox(threshold=0.2, preset="wsol")]


@pytest.mark.parametrize("rule", RULES[:2], ids=["contour", "component"])
def test_regions_largest_first(rule):
    found = predict(rule, max_boxes=5).pred_objects
    assert found.bboxes.tolist() == [list(LARGE), list(MIDDLE), list(SMALL)]
    assert found.labels.tolist() == [1, 1, 1]
    if isinstance(rule, ContourBox):  # minmax_eps of the other divides by 1.00001
        assert found.map_scores.tolist() == pytest.approx([1.0, 0.6, 0.8])
        assert found.scores.tolist() == pytest.approx([0.5, 0.3, 0.4])
    assert predict(rule, max_boxes=2).pred_objects.bboxes.tolist() == [list(LARGE), list(MIDDLE)]
    one = predict(rule)
    assert torch.equal(one.pred_objects.bboxes, one.pred_instances.bboxes) and one.num_regions == 3


def test_score_is_the_mean_of_the_map_inside_the_box():
    """An L of 1.0: 8 of the 12 pixels of its box, and a spot of 0.5 in the box that is below the threshold."""
    boxes = [(2, 2, 4, 6), (4, 4, 5, 5), (4, 2, 5, 3)]
    found = predict(ContourBox(threshold=0.6), (1.0, 0.0, 0.5), boxes, max_boxes=3).pred_objects
    assert found.bboxes.tolist() == [[2, 2, 4, 6]] and found.map_scores.tolist() == pytest.approx([1.0])
    boxes = [(2, 2, 3, 6), (3, 5, 5, 6), (4, 2, 5, 3)]  # the upright, the foot, the spot
    found = predict(ContourBox(threshold=0.6), (1.0, 1.0, 0.5), boxes, max_boxes=3).pred_objects
    assert found.bboxes.tolist() == [[2, 2, 5, 6]]
    assert found.map_scores.tolist() == pytest.approx([(4 + 2 + 0.5) / 12])
    assert found.scores.tolist() == pytest.approx([(4 + 2 + 0.5) / 24])


def test_boxes_inside_another_are_parts_of_it():
    """A frame of 1.0 around a spot: the spot is no object of its own."""
    frame = [(2, 1, 12, 2), (2, 8, 12, 9), (2, 1, 3, 9), (11, 1, 12, 9)]
    spot, other = (6, 4, 8, 6), (15, 7, 17, 9)
    sample = predict(ContourBox(threshold=0.2), [1.0] * 4 + [0.9, 0.5], [*frame, spot, other], max_boxes=9)
    assert sample.pred_objects.bboxes.tolist() == [[2, 1, 12, 9], list(other)] and sample.num_regions == 2
    inside = 4 * 0.9 + 2 * 10 + 2 * 6
    assert sample.pred_objects.map_scores.tolist() == pytest.approx([inside / 80, 0.5])


def test_least_area_and_single_pixels():
    rule = ContourBox(threshold=0.2)
    assert len(predict(rule, max_boxes=9, min_area=9 / 200).pred_objects) == 2  # 24 and 9 of 200 pixels
    assert len(predict(rule, max_boxes=9, min_area=0.1).pred_objects) == 1
    assert len(predict(rule, max_boxes=1, min_area=0.5).pred_objects) == 0
    assert len(predict(rule, (1.0,), [(3, 3, 4, 4)], max_boxes=9).pred_objects) == 0  # one pixel
    assert len(predict(rule, (1.0,), [(3, 3, 4, 5)], max_boxes=9).pred_objects) == 1
    nothing = predict(rule, (), ())  # a constant map: the rule's box is a corner pixel
    assert nothing.pred_instances.bboxes.tolist() == [[0, 0, 1, 1]]
    assert len(nothing.pred_objects) == 0 and nothing.num_regions == 0


@pytest.mark.parametrize("ori_shape", [(10, 20), (37, 81), (5, 10), (1, 1), (1, 300), (400, 2)])
@pytest.mark.parametrize("rule", RULES, ids=["contour", "component", "wsol"])
def test_boxes_are_in_pixels_of_the_image(rule, ori_shape):
    sample = predict(rule, ori_shape=ori_shape, max_boxes=9)
    boxes, first = sample.pred_objects.bboxes.numpy(), sample.pred_instances.bboxes
    assert (boxes >= 0).all() and (boxes[:, 2:] <= np.array(ori_shape[::-1])).all()
    sides = boxes[:, 2:] - boxes[:, :2]
    assert (sides >= 1).all() and (sides.prod(axis=1) >= 2).all()
    assert np.isfinite(sample.pred_objects.scores.numpy()).all()
    if min(ori_shape) > 1 and len(boxes):
        assert torch.equal(sample.pred_objects.bboxes[:1], first)


@pytest.mark.parametrize("seed", range(20))
def test_random_maps(seed):
    """The first region is the rule's own box, no box is inside another, and every region is inside a box.

    A rule of all contours has a box for every region, and others for holes, each inside that of a region.
    """
    rng = np.random.default_rng(seed)
    heat = np.kron(rng.random((1, 8, 8)), np.ones((3, 5)))
    for rule in (ContourBox(threshold=0.6), ComponentBox(threshold=0.6), ContourBox(0.6, preset="wsol_v2")):
        [evaluated] = rule.scoremap(heat, (24, 40))
        regions = rule.regions(evaluated)
        assert regions[0].tolist() == rule(heat, (24, 40))[0].tolist()
        own, found = ({tuple(box) for box in boxes} for boxes in (rule.boxes(evaluated), regions))
        if rule.rule["contour"] == "largest":
            assert own == {tuple(regions[0])}
        else:
            assert own >= found and all(any(contains(box, hole) for box in found) for hole in own - found)
    rule = ContourBox(threshold=0.6)
    sample = predict(rule, (1.0, 0.9, 0.8), [tuple(sorted_box(rng)) for _ in range(3)], max_boxes=9)
    boxes = sample.pred_objects.bboxes.tolist()
    for a in boxes:
        assert not [b for b in boxes if b is not a and contains(b, a)]
    for region in rule.regions(rule.scoremap(sample.pred_maps.maps, (10, 20))[0]).tolist():
        assert (region[2] - region[0]) * (region[3] - region[1]) < 2 or any(contains(box, region) for box in boxes)


def sorted_box(rng):
    (x0, x1), (y0, y1) = np.sort(rng.choice(20, 2, replace=False)), np.sort(rng.choice(10, 2, replace=False))
    return int(x0), int(y0), int(x1), int(y1)


def contains(outer, inner):
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(max_boxes=0), "max_boxes must be 1 or more, got 0"),
        (dict(threshold=1.0), "0 <= threshold < 1, got 1.0"),
        (dict(threshold=float("nan")), "0 <= threshold < 1, got nan"),
        (dict(min_area=-0.1), "min_area is a share of the image"),
        (dict(min_area=5), "min_area is a share of the image, 0 <= min_area < 1, got 5"),
    ],
)
def test_values_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        BoxOptions(**options)


@pytest.fixture
def inferencer(tmp_path):
    return WSOLInferencer(weights=bright.checkpoint(tmp_path / "epoch_1.pth"), device="cpu", show_progress=False)


def test_threshold_of_a_call(inferencer):
    image = bright.picture()
    image[25:40, 60:70] = 90
    wide = inferencer(image, threshold=0.2)["predictions"][0]
    own = inferencer(image)["predictions"][0]
    assert own["bboxes"][0][2] == pytest.approx(60, abs=2.5) and wide["bboxes"][0][2] == pytest.approx(70, abs=2.5)
    for record in (own, wide):
        assert record["objects"][0]["bbox"] == record["bboxes"][0]
    assert inferencer.model.map_to_box.get_threshold() == 0.5
    with pytest.raises(TypeError):
        inferencer(3, threshold=0.9, classes=["odd"])
    assert inferencer.model.map_to_box.get_threshold() == 0.5 and inferencer.model.head.allowed is None
    inferencer.model.map_to_box = torch.nn.Identity()
    for options in (dict(threshold=0.3), dict(max_boxes=2)):
        with pytest.raises(ValueError, match="box rule Identity has no threshold"):
            inferencer(image, **options)


def test_classes_of_a_call(inferencer):
    first = inferencer(bright.picture())["predictions"][0]
    [record] = inferencer(bright.picture(), classes=["dark", "odd"])["predictions"]
    assert (record["pred_label"], record["pred_class"]) == (2, "odd")
    assert record["pred_score"]["classes"] == ["odd", "dark"] and record["bbox_labels"] == [2, 0]
    assert record["pred_score"]["scores"] == pytest.approx([0.2, 0.1])  # as among all classes
    assert record["objects"][0]["class"] == "odd"
    assert record["objects"][0]["confidence"] == pytest.approx(0.2 * record["objects"][0]["map_score"])
    again = inferencer(bright.picture())["predictions"][0]
    assert again["pred_score"] == first["pred_score"] and again["objects"] == first["objects"]
    with pytest.raises(ValueError, match="class 'brigth' is no class of the model; the nearest are: 'bright'"):
        inferencer(bright.picture(), classes=["brigth"])
    inferencer.model.has_classifier = False
    with pytest.raises(ValueError, match="no classifier, every image is an 'object': leave classes out"):
        inferencer(bright.picture(), classes=["dark"])


def test_map_for_all_classes(inferencer, monkeypatch):
    """The class is chosen, the box is the same."""
    monkeypatch.setattr(type(inferencer.model.head), "class_agnostic", True)
    monkeypatch.setattr(type(inferencer.model.head), "localize", lambda self, feats, labels: feats.patch_map)
    first = inferencer(bright.picture())["predictions"][0]
    [record] = inferencer(bright.picture(), classes=["odd"])["predictions"]
    assert record["pred_class"] == "odd" and record["bbox_labels"] == [-1]
    assert record["bbox_scores"] == pytest.approx([0.2]) and record["bboxes"] == first["bboxes"]
    assert record["objects"][0]["confidence"] == pytest.approx(0.2 * record["objects"][0]["map_score"])


def test_names_of_classes():
    names = ["tench, Tinca tinca", "crane", "crane", "maillot", "maillot, tank suit"]
    known = ["tench, Tinca tinca", "crane (1)", "crane (2)", "maillot", "maillot, tank suit"]
    assert find_classes(names, known, ["tench", "crane (2)"]) == (0, 2)
    assert find_classes(names, known, ["maillot"]) == (3,)  # a whole name wins over a part of another
    assert find_classes(names, known, ["Tank Suit", "TENCH, Tinca tinca".lower()[:5]]) == (4, 0)
    with pytest.raises(ValueError, match=r"'crane' is the name of several classes: 'crane \(1\)', 'crane \(2\)'"):
        find_classes(names, known, ["crane"])
    with pytest.raises(ValueError, match="'tank suits' is no class.*'maillot, tank suit'"):
        find_classes(names, known, ["tank suits"])
    with pytest.raises(ValueError, match="'maillot' is named twice"):
        find_classes(names, known, ["maillot", "maillot"])
    with pytest.raises(ValueError, match="classes is empty"):
        find_classes(names, known, [])
    assert find_classes(None, ["0", "1"], ["1"]) == (1,)


def test_doubts():
    record = dict(
        ori_shape=[100, 100],
        pred_score=dict(scores=[0.9, 0.05], classes=["a", "b"]),
        objects=[dict(bbox=[10, 10, 60, 60])],
    )
    assert find_doubts(record, 1) == []
    assert find_doubts(record, 2) == ["2 separate regions"]
    assert find_doubts({**record, "objects": []}, 0) == ["no box"]
    unsure = dict(scores=[0.4, 0.3], classes=["a", "b"])
    assert find_doubts({**record, "pred_score": unsure}, 1) == ["probability 0.40", "close second class b 0.30"]
    boxes = [dict(bbox=[0, 0, 100, 91]), dict(bbox=[0, 0, 9, 9])]
    assert find_doubts({**record, "objects": boxes}, 1) == [
        "a box covers 91% of the image",
        "a box covers 0.8% of the image",
    ]


def test_a_rule_that_is_not_known_gives_its_own_box():
    rule = ContourBox(threshold=0.2)
    sample = predict(rule)
    before = sample.pred_objects.bboxes
    find_objects(sample, object(), BoxOptions())
    assert torch.equal(sample.pred_objects.bboxes, before)


def test_applied_sets_back_after_an_error(inferencer):
    with pytest.raises(KeyError), applied(BoxOptions(threshold=0.1, classes=(0,)), inferencer.model):
        assert inferencer.model.map_to_box.get_threshold() == 0.1
        raise KeyError
    assert inferencer.model.map_to_box.get_threshold() == 0.5 and inferencer.model.head.allowed is None
