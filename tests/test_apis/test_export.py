"""Export of every kind of head, on models of two blocks."""

from __future__ import annotations

import importlib.util
import json
import sys

import bright
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from mmwsol.apis import export_model, load_exported
from mmwsol.apis.export import ExportableLocalizer
from mmwsol.registry import MODELS, TASK_UTILS

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))
ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
HEADS = {
    "TapViT": dict(type="mmwsol.ConvCAMHead"),
    "SATViT": dict(type="mmwsol.SATHead"),
    "TRTViT": dict(type="mmwsol.TRTHead"),
    "CDTR": dict(type="mmwsol.CDTRHead", attn_shape=(2, 2), ocm_blocks=2),
}


def build(backbone):
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    kind = "TapViT" if backbone == "CDTR" else backbone
    sqa = dict(num_sqa_blocks=1) if kind == "SATViT" else {}
    model = MODELS.build(
        dict(
            type="mmwsol.ImageLocalizer",
            backbone=dict(type=f"mmwsol.{kind}", img_size=32, patch_size=8, arch=ARCH, **sqa),
            head=dict(HEADS[backbone], num_classes=7, in_channels=16),
            map_to_box=dict(type="mmwsol.ContourBox", preset="tscam", threshold=0.3),
        )
    )
    model.backbone.init_weights()
    model.dataset_meta = dict(classes=tuple("abcdefg"))
    return model.eval()


@pytest.mark.parametrize("backbone", HEADS)
def test_exported_model_gives_the_same(backbone, tmp_path):
    """ONNX where it is installed; the torch program is what it is made of."""
    model = build(backbone)
    form, out = ("onnx", tmp_path / "new" / "model.onnx") if HAS_ONNX else ("torch", tmp_path / "new" / "model.pt2")
    done = export_model(model, out, form)
    assert done["size"] == (32, 32) and done["difference"] < 1e-5
    exported = load_exported(out)
    bgr = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)  # another batch size than at export
    scores, maps, labels = exported(bgr.flip(1).float())
    with torch.no_grad():
        samples = model.test_step(dict(inputs=list(bgr)))  # the whole model, from BGR bytes
    notes = json.loads(out.with_suffix(".json").read_text())
    assert notes["classes"] == list("abcdefg") and notes["size"] == [32, 32]
    rule = TASK_UTILS.build(notes["map_to_box"])
    for index, sample in enumerate(samples):
        torch.testing.assert_close(scores[index], sample.pred_score, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(maps[index], sample.pred_maps.maps, atol=1e-6, rtol=1e-3)
        assert labels[index].tolist() == sample.pred_maps.labels.tolist()
        boxes = rule(sample.pred_maps.maps, notes["size"])
        assert np.array_equal(boxes, sample.pred_instances.frame_bboxes)


def test_torch_program(tmp_path):
    done = export_model(build("SATViT"), tmp_path / "model.pt2", "torch")
    assert done["difference"] == 0.0
    scores, _, labels = load_exported(done["file"])(torch.rand(4, 3, 32, 32))
    assert scores.shape == (4, 7) and labels.tolist() == [[-1]] * 4


def test_normalization_is_inside():
    """The graph takes RGB, also where the network takes BGR."""
    model = build("TapViT")
    model.data_preprocessor.to_rgb = False
    images = 255 * torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        scores, _, _ = ExportableLocalizer(model)(images)
        mean, std = (getattr(model.data_preprocessor, name).view(1, 3, 1, 1) for name in ("mean", "std"))
        expected = model((images.flip(1) - mean) / std, mode="tensor").softmax(dim=1)
    torch.testing.assert_close(scores, expected)


def test_a_network_on_plain_pixels():
    model = build("TapViT")
    model.data_preprocessor = MODELS.build(dict(type="mmwsol.LocDataPreprocessor", mean=None, std=None))
    images = 255 * torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ExportableLocalizer(model)(images)[0], model(images, mode="tensor").softmax(dim=1))


def test_a_difference_is_found(tmp_path, monkeypatch):
    model = build("TapViT")
    monkeypatch.setattr("mmwsol.apis.export.load_exported", lambda path: lambda x: wrong(ExportableLocalizer(model)(x)))

    (tmp_path / "model.pt2").write_bytes(b"earlier")

    def wrong(outputs):
        return outputs[0], outputs[1] * 1.01, outputs[2]

    with pytest.raises(RuntimeError, match=r"differs from PyTorch by 0.01 of the largest value \(> 0.001\)"):
        export_model(model, tmp_path / "model.pt2", "torch")
    assert (tmp_path / "model.pt2").read_bytes() == b"earlier" and len(list(tmp_path.iterdir())) == 1


def test_errors(tmp_path, monkeypatch):
    model = MODELS.build(bright.config().model)
    monkeypatch.delattr(bright.BrightBackbone, "img_size")
    with pytest.raises(ValueError, match="BrightBackbone names no image size: pass the image size"):
        export_model(model, tmp_path / "model.pt2", "torch")
    with pytest.raises(ValueError, match="format must be one of .*, got 'trt'"):
        export_model(model, tmp_path / "model", "trt")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install 'mmwsol\[deploy\]'"):
        export_model(model, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("pipeline", "size"),
    [
        ([dict(type="mmwsol.LoadImage"), dict(type="mmwsol.Resize", scale=(48, 32))], (32, 48)),
        (
            [dict(type="mmwsol.ResizeEdge", scale=64, edge="short"), dict(type="mmwsol.CenterCrop", crop_size=24)],
            (24, 24),
        ),
        ([dict(type="mmwsol.Resize", scale=(48, 48), keep_ratio=True)], (32, 32)),
        ([], (32, 32)),
    ],
)
def test_size_is_that_of_the_test_pipeline(pipeline, size, tmp_path):
    """Not that of training, where photographs may be smaller; where it is not fixed, the backbone's."""
    model = build("TapViT")
    model.cfg = dict(test_dataloader=dict(dataset=dict(pipeline=pipeline)))
    assert export_model(model, tmp_path / "model.pt2", "torch")["size"] == size


def test_a_box_rule_without_threshold_is_refused_first(tmp_path):
    model = build("TapViT")
    model.map_to_box = TASK_UTILS.build(dict(type="mmwsol.ContourBox", preset="tscam"))
    with pytest.raises(ValueError, match="ContourBox has no threshold"):
        export_model(model, tmp_path / "model.pt2", "torch")
    assert not list(tmp_path.iterdir())
