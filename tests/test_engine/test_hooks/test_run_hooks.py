"""Hooks, driven by stand-ins for the Runner."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from PIL import Image
from torch import nn

from mmwsol.datasets.transforms import LoadImage
from mmwsol.engine import LocVisualizationHook, NumClassesHook, PredictionDumpHook
from mmwsol.engine.hooks.loc_visualization_hook import original_image
from mmwsol.evaluation.metrics import BaseLocMetric, LocAccuracy, MaxBoxAcc
from mmwsol.evaluation.results_file import load_results
from mmwsol.models import ImageLocalizer
from mmwsol.models.box_rules import ContourBox
from mmwsol.structures import Frame, LocDataSample


def class_runner(classes, num_classes):
    """Return a runner of a localizer, or of any other model, whose data has ``classes``."""
    model = nn.Linear(1, 1)
    if num_classes is not None:
        backbone = dict(type="mmpretrain.ResNet", depth=18)
        head = dict(type="mmwsol.LinearCAMHead", num_classes=num_classes, in_channels=512)
        model = ImageLocalizer(backbone, head)
    dataset = SimpleNamespace(metainfo=dict(classes=classes) if classes else {})
    loader = SimpleNamespace(dataset=dataset)
    loaders = dict(train_dataloader=loader, val_dataloader=loader, test_dataloader=loader)
    return SimpleNamespace(model=model, visualizer=None, **loaders)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_num_classes_hook(split):
    check = getattr(NumClassesHook(), f"before_{split}")
    check(class_runner(("a", "b", "c"), 3))
    check(class_runner(None, 3))
    check(class_runner(("a", "b", "c"), None))
    with pytest.raises(ValueError) as error:
        check(class_runner(("a", "b", "c"), 200))
    for part in ("SimpleNamespace", f"{split}_dataloader", "has 3 classes", "LinearCAMHead", "num_classes=200"):
        assert part in str(error.value)
    assert "model.head.num_classes=3" in str(error.value)


def sample(index, folder=None, agnostic=False):
    """Original 40 x 20 (W x H), network frame 20 x 20: x is halved; the map is hot in the right half."""
    maps = torch.zeros(2, 4, 4)
    maps[:, :, 2:] = 1
    labels = torch.tensor([-1, -1] if agnostic else [1, 0])
    meta = dict(
        img_id=f"part/{index}.jpg",
        sample_idx=index,
        ori_shape=(20, 40),
        img_shape=(20, 20),
        frame=Frame.identity((20, 40)).resized((20, 20)),
        gt_bboxes_ori=np.array([[20, 0, 40, 20]], np.float32),
    )
    if folder is not None:
        meta["img_path"] = str(folder / f"{index}.png")
        cv2.imwrite(meta["img_path"], np.full((20, 40, 3), (0, 255, 0), np.uint8))
    made = LocDataSample(metainfo=meta).set_gt_label(0)
    made.set_pred_score(torch.tensor([0.3, 0.6, 0.1])).set_pred_label(1)
    made.pred_maps = InstanceData(maps=maps, labels=labels)
    made.pred_instances = InstanceData(
        bboxes=torch.tensor([[20.0, 0, 40, 20], [0, 0, 5, 5]]),
        frame_bboxes=torch.tensor([[10.0, 0, 20, 20], [0, 0, 2.5, 5]]),
        labels=labels,
        scores=torch.tensor([0.6, 0.3]),
    )
    return made


class Sized(SimpleNamespace):
    def __len__(self):
        return self.length


def run_test(hook, samples, metrics=(), rounds=1):
    """Return the warnings."""
    warnings = []
    dataset = Sized(metainfo=dict(classes=("a", "b", "c")), length=len(samples))
    loader = SimpleNamespace(dataset=dataset)
    runner = SimpleNamespace(
        model=nn.Module(),
        test_dataloader=loader,
        test_evaluator=SimpleNamespace(metrics=list(metrics), dataset_meta=dataset.metainfo),
        logger=SimpleNamespace(info=lambda text: None, warning=warnings.append),
        visualizer=None,
    )
    for _ in range(rounds):
        hook.before_test(runner)
        loc_metrics = [metric for metric in metrics if isinstance(metric, BaseLocMetric)]
        for metric in loc_metrics:
            for one in {one.img_id: one for one in samples}.values():
                metric.process(None, [one.to_dict()])
            metric.evaluate(len(samples))
        batch = dict(inputs=[torch.full((3, 20, 20), 90, dtype=torch.uint8) for _ in samples])
        hook.after_test_iter(runner, 0, data_batch=batch, outputs=samples)
        hook.after_test_epoch(runner, {"loc/top1": np.float64(0.5)})
    return warnings


@pytest.mark.parametrize("suffix", ["json", "pkl"])
def test_prediction_dump(tmp_path, suffix):
    path = tmp_path / "new" / f"results.{suffix}"
    repeated = [sample(1), sample(0), sample(1)]  # what two ranks give for two images
    for one in repeated:
        one.set_metainfo(dict(box_rule=dict(type="ContourBox", **ContourBox(preset="tscam").rule, threshold=0.4)))
    metrics = [LocAccuracy(), object(), MaxBoxAcc(threshold=dict(grid=[0.2, 0.5])), LocAccuracy(map_class="pred")]
    run_test(PredictionDumpHook(str(path)), repeated, metrics, rounds=2)
    assert not any(metric.keep_records for metric in metrics if isinstance(metric, BaseLocMetric))
    read = load_results(path)
    titles = ["LocAccuracy", "MaxBoxAcc", "LocAccuracy_loc"]
    assert read["version"] == 2 and read["metrics"] == {"loc/top1": 0.5}
    assert read["classes"] == ["a", "b", "c"]
    assert list(read["protocol"]) == list(read["curves"]) == titles
    assert np.asarray(read["curves"]["MaxBoxAcc"]["single"]).shape == (3, 2)
    curves = np.load(tmp_path / "new" / "results_curves.npz")
    assert {"MaxBoxAcc/threshold", "LocAccuracy_loc/gt_known"} <= set(curves)
    assert curves["MaxBoxAcc/single"].tolist() == [[100, 100]] * 3
    assert curves["LocAccuracy/threshold"].tolist() == [0.4]
    assert read["protocol"]["LocAccuracy"]["iou_thr"] == 0.5
    assert [p["img_id"] for p in read["predictions"]] == ["part/0.jpg", "part/1.jpg"]
    first = read["predictions"][0]
    evaluated = first.pop("evaluated")
    assert first == {
        "img_id": "part/0.jpg",
        "img_path": None,
        "ori_shape": [20, 40],
        "img_shape": [20, 20],
        "frame": {"scale": [0.5, 1.0], "shift": [0.0, 0.0]},
        "gt_label": 0,
        "gt_bboxes": [[20.0, 0.0, 40.0, 20.0]],
        "pred_label": 1,
        "pred_score": {
            "labels": [1, 0, 2],
            "scores": pytest.approx([0.6, 0.3, 0.1]),
        },
        "bboxes": [[20.0, 0.0, 40.0, 20.0], [0.0, 0.0, 5.0, 5.0]],
        "frame_bboxes": [[10.0, 0.0, 20.0, 20.0], [0.0, 0.0, 2.5, 5.0]],
        "bbox_labels": [1, 0],
        "bbox_scores": pytest.approx([0.6, 0.3]),
    }
    assert list(evaluated) == titles
    # The ground truth is 10 0 19 19: class 0 has the second box, the predicted class the first.
    assert evaluated["LocAccuracy"] == {
        "bbox": [0, 0, 5, 5], "frame_bbox": [0, 0, 2.5, 5], "iou": 0, "rank": 1, "error": "cls",
    }  # fmt: skip
    assert evaluated["LocAccuracy_loc"]["bbox"] == [20, 0, 40, 20]
    assert evaluated["LocAccuracy_loc"]["iou"] == 10 * 20 / (11 * 21)
    assert evaluated["MaxBoxAcc"]["error"] is None and evaluated["MaxBoxAcc"]["iou"] > 0.7


def test_prediction_dump_format():
    with pytest.raises(ValueError, match="must end in .json or .pkl, got 'results.yaml'"):
        PredictionDumpHook("results.yaml")


def test_pictures_without_ground_truth_are_counted(tmp_path):
    samples = [sample(i, tmp_path) for i in range(3)]
    samples[0].set_metainfo(dict(gt_bboxes_ori=np.zeros((0, 4), np.float32)))
    assert run_test(LocVisualizationHook(str(tmp_path / "pictures")), samples, rounds=2) == 2 * [
        "1 of 3 pictures are of images without ground-truth boxes in the data set: none are drawn there, and no IoU."
    ]


def test_visualization(tmp_path):
    samples = [sample(i, tmp_path, agnostic=i == 9) for i in range(10)]
    assert not run_test(LocVisualizationHook(str(tmp_path / "some"), number=4), samples)
    names = sorted(p.name for p in (tmp_path / "some").iterdir())
    assert names == ["000000_part_0.jpg", "000003_part_3.jpg", "000006_part_6.jpg", "000009_part_9.jpg"]
    run_test(LocVisualizationHook(str(tmp_path / "all"), number=-1, target="gt"), samples)
    assert len(list((tmp_path / "all").iterdir())) == 10
    pred, gt = (cv2.imread(str(tmp_path / d / names[0])).astype(int) for d in ("some", "all"))
    assert pred.shape == (22 + 20 * 12, 2 * 40 * 12, 3)
    left, right = pred[100, 200], pred[100, 480 + 360]  # the photograph; its hot half
    assert left[1] > 200 and left[0] < 60  # green, read from the file
    assert right[2] > right[0] + 50
    assert np.abs(pred - gt).max() > 100  # another box and caption

    files_gone = [sample(0)]
    run_test(LocVisualizationHook(str(tmp_path / "input")), files_gone)
    picture = cv2.imread(str(tmp_path / "input" / "000000_part_0.jpg"))
    assert np.abs(picture[100, 200].astype(int) - 90).max() < 10  # the network input instead
    with pytest.raises(ValueError, match="'pred' or 'gt', got 'top5'"):
        LocVisualizationHook("x", target="top5")


@pytest.mark.parametrize(
    ("color_type", "width"), [("color", 40), ("color_ignore_orientation", 40), ("color_ignore_orientation", 20)]
)
def test_visualization_of_turned_photographs(tmp_path, color_type, width):
    """The picture is turned as the pipeline turned it."""
    exif = Image.Exif()
    exif[0x0112] = 6  # viewers show it turned by 90 degrees
    pixels = np.zeros((20, width, 3), np.uint8)
    pixels[:, :10] = 250
    Image.fromarray(pixels).save(tmp_path / "0.png", exif=exif)
    loaded = LoadImage(color_type=color_type)(dict(img_path=str(tmp_path / "0.png")))
    one = sample(0)
    one.set_metainfo(dict(img_path=str(tmp_path / "0.png"), ori_shape=loaded["ori_shape"]))
    np.testing.assert_array_equal(original_image(one, None)[:, :, ::-1], loaded["img"])


def test_visualization_of_validation_goes_to_the_work_dir(tmp_path):
    samples = [sample(i, tmp_path) for i in range(3)]
    runner = class_runner(("a", "b", "c"), 3)
    runner.work_dir = str(tmp_path)
    runner.val_dataloader.dataset = type("Three", (list,), {"metainfo": {}})(range(3))
    hook = LocVisualizationHook(number=2, loops=["val"])
    batch = dict(inputs=[torch.zeros(3, 20, 20)] * 3)
    hook.before_test(runner)
    hook.after_test_iter(runner, 0, batch, samples)
    assert not (tmp_path / "pictures").exists()  # not asked for
    hook.before_val(runner)
    hook.after_val_iter(runner, 0, batch, samples)
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == ["000000_part_0.jpg", "000002_part_2.jpg"]
    with pytest.raises(ValueError, match="loops may have 'val' and 'test'"):
        LocVisualizationHook(loops=["train"])
