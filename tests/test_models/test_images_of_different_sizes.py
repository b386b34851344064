"""Images of different sizes: one network frame a sample, whatever the batch; or a refusal in words."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmwsol.apis import WSOLInferencer
from mmwsol.models.heads.base import LocHead, select_maps

LOAD, PACK = dict(type="mmwsol.LoadImage"), dict(type="mmwsol.PackLocInputs")
PIPELINES = {
    "as they are": [],
    "short side": [dict(type="mmwsol.ResizeEdge", scale=40)],
    "squashed": [dict(type="mmwsol.Resize", scale=(48, 48))],
    "ten crops": [dict(type="mmwsol.TenCrop", crop_size=24, view="plain", resize=32)],
}
MEAN = dict(mean=[100.0] * 3, std=[50.0] * 3)


class Halves(nn.Module):
    """A map of half the size, of which each cell knows the mean of the whole input: padding would change all."""

    def forward(self, x):
        x = nn.functional.avg_pool2d(x, 2, ceil_mode=True)
        return x - x.mean(dim=(2, 3), keepdim=True)


class BrightestHead(LocHead):
    """Scores and maps of three classes, the color channels."""

    def __init__(self):
        super().__init__(num_classes=3)
        self.scale = nn.Parameter(torch.ones(()))

    def classify(self, feats):
        return feats.patch_map.amax(dim=(2, 3)) * self.scale

    def localize(self, feats, labels):
        return select_maps(feats.patch_map, labels)


def localizer(**preprocessor):
    init_default_scope("mmpretrain")
    return dict(
        type="mmwsol.ImageLocalizer",
        backbone=dict(type=Halves),
        head=dict(type=BrightestHead),
        data_preprocessor=dict(MEAN, **preprocessor),
        map_to_box=dict(type="mmwsol.ContourBox", preset="tscam", threshold=0.5),
    )


@pytest.fixture
def pictures(tmp_path):
    """Twelve pictures from 40x40 to 120x70 with one box of one color; their items."""
    rng, items = np.random.default_rng(0), []
    for index in range(12):
        width, height = [(40, 40), (120, 70), (70, 100), (64, 48)][index % 4]
        x0, y0 = rng.integers(0, width // 2), rng.integers(0, height // 2)
        x1, y1 = x0 + rng.integers(10, width // 2), y0 + rng.integers(10, height // 2)
        image = rng.integers(0, 60, (height, width, 3)).astype(np.uint8)
        image[y0:y1, x0:x1, 2 - index % 3] = 255
        path = tmp_path / f"{index}.png"
        cv2.imwrite(str(path), image)
        box = np.array([[x0, y0, x1, y1]], np.float32)
        items.append(dict(img_path=str(path), img_id=str(index), gt_label=index % 3, gt_bboxes_ori=box))
    return items


def evaluate(model, data, batch_size, protocol):
    evaluator = Evaluator(
        [
            dict(type="mmpretrain.Accuracy", topk=(1,), prefix="cls"),
            dict(type="mmwsol.LocAccuracy", protocol=protocol),
            dict(type="mmwsol.MaxBoxAcc", frame_rule="wsol"),
        ]
    )
    samples = []
    for start in range(0, len(data), batch_size):
        batch = pseudo_collate(data[start : start + batch_size])
        with torch.no_grad():
            samples += model.test_step(batch)
    evaluator.process(samples)
    return evaluator.evaluate(len(data)), samples


@pytest.mark.parametrize("name", PIPELINES)
def test_batch_size_never_changes_a_metric(pictures, name):
    pipeline = Compose([LOAD, *PIPELINES[name], PACK])
    model = MODELS.build(localizer()).eval()
    expected, alone = evaluate(model, [pipeline(dict(item)) for item in pictures], 1, "tscam")
    assert expected["loc/gt_known"] > 90 and expected["loc/max_box_acc"] > 90
    for batch_size in (3, 64):
        values, samples = evaluate(model, [pipeline(dict(item)) for item in pictures], batch_size, "tscam")
        assert values == expected
        for sample, single in zip(samples, alone, strict=True):
            torch.testing.assert_close(sample.pred_score, single.pred_score)
            torch.testing.assert_close(sample.pred_maps.maps, single.pred_maps.maps)
            assert sample.img_shape == sample.frame.shape


def test_inferencer_gives_the_same_boxes_in_any_batch(pictures, tmp_path):
    model = MODELS.build(localizer()).eval()
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / "weights.pth")
    for name in ("as they are", "short side"):
        dataset = dict(pipeline=[LOAD, *PIPELINES[name], PACK])
        cfg = Config(dict(model=localizer(), test_dataloader=dict(dataset=dataset)))
        inferencer = WSOLInferencer(cfg, str(tmp_path / "weights.pth"), "cpu", show_progress=False)
        paths = [item["img_path"] for item in pictures]
        single, *others = [inferencer(paths, batch_size=size)["predictions"] for size in (1, 3, 64)]
        for item, prediction in zip(pictures, single, strict=True):
            assert prediction["pred_label"] == item["gt_label"]
        for predictions in others:
            for prediction, alone in zip(predictions, single, strict=True):
                assert prediction["bboxes"] == alone["bboxes"]
                np.testing.assert_array_equal(prediction["map"], alone["map"])


def test_detector_gives_the_same_boxes_in_any_batch(pictures):
    structures = pytest.importorskip("mmdet.structures", exc_type=ImportError)
    pytest.importorskip("mmdet.models", exc_type=ImportError)
    detector = MODELS.build(dict(type="mmwsol.WSOLDetector", localizer=localizer())).eval()
    items = []
    for item in pictures:
        image = cv2.imread(item["img_path"])
        meta = dict(img_id=item["img_id"], ori_shape=image.shape[:2], img_shape=image.shape[:2], scale_factor=(1, 1))
        inputs = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        items.append((inputs, meta))
    found = []
    for batch_size in (1, 3, 64):
        samples = []
        for start in range(0, len(items), batch_size):
            batch = [
                dict(inputs=inputs, data_samples=structures.DetDataSample(metainfo=dict(meta)))
                for inputs, meta in items[start : start + batch_size]
            ]
            with torch.no_grad():
                samples += detector.test_step(pseudo_collate(batch))
        found.append([sample.pred_instances.bboxes for sample in samples])
    for boxes in found[1:]:
        for box, alone in zip(boxes, found[0], strict=True):
            torch.testing.assert_close(box, alone)


def test_what_cannot_be_done_is_refused_in_words(pictures):
    pipeline = Compose([LOAD, PACK])
    batch = pseudo_collate([pipeline(dict(item)) for item in pictures[:2]])
    model = MODELS.build(localizer())
    with pytest.raises(ValueError, match="40x40 and 120x70 .* training needs one size"):
        model.data_preprocessor(batch, training=True)
    with pytest.raises(ValueError, match="no data samples with img_shape"):
        model.data_preprocessor(dict(inputs=batch["inputs"]))
    with pytest.raises(ValueError, match="pad_size_divisor=32 pads an image of 40x40"):
        MODELS.build(localizer(pad_size_divisor=32)).data_preprocessor(batch)
    batch["data_samples"][1].set_metainfo(dict(img_shape=(35, 60)))
    with pytest.raises(ValueError, match=r"120x70 has a data sample with img_shape \(H, W\) = \(35, 60\)"):
        model.data_preprocessor(batch)
    # what needs no padding is left alone
    same = dict(inputs=[torch.zeros(3, 64, 64, dtype=torch.uint8)] * 2)
    assert MODELS.build(localizer(pad_size_divisor=32)).data_preprocessor(same)["inputs"].shape == (2, 3, 64, 64)
