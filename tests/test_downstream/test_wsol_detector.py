"""A localizer under mmdet's own pipelines, preprocessor, inferencer and visualizer."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from known_answer import BOXES, localizer, write_picture
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import load_checkpoint

from mmwsol.integrations import WSOLDetector

pytest.importorskip("mmdet.models", exc_type=ImportError)  # absent with mmcv-lite
from mmdet.structures import DetDataSample  # noqa: E402

PIPELINES = {
    "as it is": [],
    "squashed": [dict(type="Resize", scale=(96, 96), keep_ratio=False)],
    "keep_ratio": [dict(type="Resize", scale=(150, 120), keep_ratio=True)],
    # the gray border is brighter than two of three channels anywhere else; Pad counts it to img_shape
    "padded": [
        dict(type="Resize", scale=(150, 120), keep_ratio=True),
        dict(type="Pad", size=(224, 160), pad_val=dict(img=(250, 250, 250))),
    ],
    "flipped": [dict(type="Resize", scale=(150, 120), keep_ratio=True), dict(type="RandomFlip", prob=1.0)],
}
META = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction")


def make_batch(folder, transforms):
    """Two pictures of different size and shape, through mmdet's transforms; return them and their boxes."""
    load = dict(type="LoadImageFromFile")
    pipeline = Compose([load, *transforms, dict(type="PackDetInputs", meta_keys=META)])
    items, boxes = [], []
    for index, (width, height, zoom) in enumerate([(100, 64, 1), (110, 90, 2)]):
        path = folder / f"{index}.png"
        boxes.append(write_picture(path, width, height, zoom))
        items.append(pipeline(dict(img_path=str(path), img_id=index)))
    return pseudo_collate(items), boxes


def build(**kwargs):
    init_default_scope("mmdet")
    return MODELS.build(dict(type="mmwsol.WSOLDetector", localizer=localizer(), **kwargs)).eval()


@pytest.mark.parametrize("input_size", [None, (128, 192)])
@pytest.mark.parametrize("name", PIPELINES)
def test_boxes_are_in_original_pixels(tmp_path, name, input_size):
    detector = build(input_size=input_size, with_masks=True)
    batch, boxes = make_batch(tmp_path, PIPELINES[name])
    assert type(detector.data_preprocessor).__name__ == "DetDataPreprocessor"
    samples = detector.test_step(batch)
    for sample, truth in zip(samples, boxes, strict=True):
        assert isinstance(sample, DetDataSample)
        detections = sample.pred_instances
        assert detections.labels.tolist() == [0, 2, 1]  # by area
        assert (detections.scores.diff() < 0).all()
        height, width = sample.ori_shape
        zoom = height / (64 if sample.img_id == 0 else 90)
        for box, label, mask in zip(
            detections.bboxes.tolist(), detections.labels.tolist(), detections.masks.numpy(), strict=True
        ):
            x0, y0, x1, y1 = truth[label]
            if name == "flipped":  # mmdet's test-time augmentation flips them back itself
                x0, x1 = width - x1, width - x0
            # Half the gray of a resized edge, and one pixel of the smaller picture for the end of the box.
            np.testing.assert_allclose(box, [x0, y0, x1, y1], atol=1.6 * zoom)
            expected = np.zeros((height, width), bool)
            expected[y0:y1, x0:x1] = True
            assert mask.shape == expected.shape and mask.dtype == bool
            assert (mask & expected).sum() / (mask | expected).sum() > 0.85


def test_rescale_false_gives_pixels_of_the_input(tmp_path):
    detector = build()
    batch, boxes = make_batch(tmp_path, [dict(type="Resize", scale_factor=1.5, keep_ratio=True)])
    data = detector.data_preprocessor(batch, False)
    samples = detector.predict(data["inputs"], data["data_samples"], rescale=False)
    for sample, truth in zip(samples, boxes, strict=True):
        np.testing.assert_allclose(sample.pred_instances.bboxes[0], np.multiply(truth[0], 1.5), atol=2.5)


def test_inputs_alone(tmp_path):
    detector = build()
    batch, boxes = make_batch(tmp_path, [])
    inputs = detector.data_preprocessor(dict(inputs=batch["inputs"][:1]))["inputs"]
    (sample,) = detector.predict(inputs)
    np.testing.assert_allclose(sample.pred_instances.bboxes[0], boxes[0][0], atol=1.6)
    assert detector(inputs).shape == (1, 3)  # mode='tensor'


def test_class_agnostic_answers(tmp_path):
    init_default_scope("mmdet")
    batch, _ = make_batch(tmp_path, [])
    for agnostic_map in (True, False):
        detector = WSOLDetector(localizer(agnostic_map), class_agnostic=True, with_masks=True).eval()
        detections = detector.test_step(batch)[0].pred_instances
        assert detections.labels.tolist() == [0] and len(detections.masks) == 1
        np.testing.assert_allclose(detections.bboxes[0], BOXES[0], atol=1.6)  # the largest region
        x0, y0, x1, y1 = BOXES[1]  # foreground of the class-agnostic map too, but another region
        assert not detections.masks[0, y0:y1, x0:x1].any()
    # One map, a box for each of the best classes.
    detections = WSOLDetector(localizer(True), topk=2).eval().test_step(batch)[0].pred_instances
    assert detections.labels.tolist() == [0, 2]
    assert detections.bboxes[0].tolist() == detections.bboxes[1].tolist()
    assert detections.scores[0] > detections.scores[1]


def test_an_image_without_foreground_has_no_box(tmp_path):
    detector = build(input_size=(64, 100))  # the size of the first picture: a resize leaves noise in a constant map
    detector.localizer.map_to_box.rule["default_box"] = "zero"
    batch, _ = make_batch(tmp_path, [])
    batch["inputs"][0].zero_()
    empty, full = detector.test_step(batch)
    assert empty.pred_instances.bboxes.shape == (0, 4) and len(full.pred_instances) == 3


def small_config(num_classes=4):
    return dict(
        type="mmwsol.ImageLocalizer",
        backbone=dict(
            type="mmwsol.TapViT",
            arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
            img_size=32,
            patch_size=8,
        ),
        head=dict(type="mmwsol.ConvCAMHead", num_classes=num_classes, in_channels=16),
        map_to_box=dict(type="mmwsol.ContourBox"),  # its threshold comes from the checkpoint
    )


def test_checkpoints_of_the_localizer_and_of_the_detector_load(tmp_path):
    model = MODELS.build(small_config())
    model.map_to_box.threshold.fill_(0.25)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / "localizer.pth")
    detector = WSOLDetector(small_config())
    load_checkpoint(detector, str(tmp_path / "localizer.pth"), strict=True)
    assert detector.localizer.map_to_box.get_threshold() == 0.25
    torch.save(dict(state_dict=detector.state_dict()), tmp_path / "detector.pth")
    again = WSOLDetector(small_config())
    load_checkpoint(again, str(tmp_path / "detector.pth"), strict=True)
    again.load_state_dict(model.state_dict(), strict=True)  # torch's own way
    for loaded in (detector, again):
        weights = loaded.localizer.state_dict()
        assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert detector.input_size == (32, 32)  # the backbone's


def test_named_localizer():
    detector = WSOLDetector("sat_small-vit_shapes")
    assert type(detector.localizer.head).__name__ == "SATHead"  # the last stage
    assert type(WSOLDetector("sat_small-vit_shapes", stage="pretrain").localizer.head).__name__ == "ClsTokenHead"
    with pytest.raises(FileNotFoundError, match="nearest are"):
        WSOLDetector("sat_small-vit_shape")


def test_localizer_on_plain_pixels():
    plain = dict(localizer(), data_preprocessor=dict(mean=None, std=None))
    preprocessor = WSOLDetector(plain).data_preprocessor
    pixel = torch.rand(3, 8, 8)
    assert torch.equal(preprocessor(dict(inputs=[pixel], data_samples=None))["inputs"][0], pixel.flip(0))


def test_errors():
    for wrong in (
        dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),  # BGR
        dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395], bgr_to_rgb=True),
        dict(bgr_to_rgb=True),
    ):
        with pytest.raises(ValueError, match="localizer was trained with mean"):
            WSOLDetector(localizer(), data_preprocessor=dict(type="mmdet.DetDataPreprocessor", **wrong))
    same = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True, pad_size_divisor=32)
    detector = WSOLDetector(localizer(), data_preprocessor=dict(type="mmdet.DetDataPreprocessor", **same))
    with pytest.raises(ValueError, match="WSOLDetector does not train"):
        detector(torch.zeros(1, 3, 32, 32), mode="loss")
    with pytest.raises(ValueError, match="mode must be"):
        detector(torch.zeros(1, 3, 32, 32), mode="Loss")
    with pytest.raises(ValueError, match="topk"):
        WSOLDetector(localizer(), topk=0)
    with pytest.raises(ValueError, match="input_size"):
        WSOLDetector(localizer(), input_size=(1, 2, 3))


@pytest.fixture
def project(tmp_path):
    """A config as a user of mmdet writes it, the checkpoint of a localizer, and a folder of pictures."""
    (tmp_path / "images").mkdir()
    for index in range(3):
        write_picture(tmp_path / "images" / f"{index}.png", zoom=1 + index)
    model = MODELS.build(small_config())
    model.map_to_box.threshold.fill_(0.3)
    classes = ("red", "green", "blue", "gray")
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=classes))), tmp_path / "loc.pth")
    (tmp_path / "detector.py").write_text(f"""
default_scope = 'mmdet'
model = dict(type='mmwsol.WSOLDetector', with_masks=True, localizer={small_config()!r})
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
test_dataloader = dict(dataset=dict(type='CocoDataset', pipeline=pipeline))
visualizer = dict(type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
""")
    return tmp_path


def test_inferencer_and_visualizer(project):
    from mmdet.apis import DetInferencer

    inferencer = DetInferencer(
        str(project / "detector.py"), str(project / "loc.pth"), device="cpu", show_progress=False
    )
    assert inferencer.visualizer.dataset_meta["classes"] == ("red", "green", "blue", "gray")
    answer = inferencer(
        str(project / "images"),
        batch_size=2,
        out_dir=str(project / "out"),
        pred_score_thr=0.0,
        return_vis=True,
        no_save_pred=False,
    )
    assert len(answer["predictions"]) == 3
    for prediction in answer["predictions"]:
        assert len(prediction["bboxes"]) == len(prediction["scores"]) == len(prediction["masks"]) == 4
        assert sum(prediction["scores"]) == pytest.approx(1, abs=1e-4)
    names = sorted(path.name for path in (project / "images").iterdir())
    assert sorted(path.name for path in (project / "out" / "vis").iterdir()) == names
    assert len(list((project / "out" / "preds").iterdir())) == 3
    image = cv2.imread(str(project / "images" / "2.png"))
    assert (cv2.imread(str(project / "out" / "vis" / "2.png")) != image).any()
    # An array in place of a file; the same picture, the same answer.
    (other,) = inferencer(image, return_datasamples=True)["predictions"]
    index = [path.rsplit("/", 1)[-1] for path in inferencer._inputs_to_list(str(project / "images"))].index("2.png")
    np.testing.assert_allclose(other.pred_instances.bboxes, answer["predictions"][index]["bboxes"], atol=1e-3)

    from mmdet.visualization import DetLocalVisualizer

    visualizer = DetLocalVisualizer()
    visualizer.dataset_meta = dict(classes=("red", "green", "blue", "gray"), palette=[(255, 255, 0)] * 4)
    drawn = project / "drawn.png"
    visualizer.add_datasample("x", image[:, :, ::-1], other, draw_gt=False, pred_score_thr=0.0, out_file=str(drawn))
    assert (cv2.imread(str(drawn)) != image).any()
