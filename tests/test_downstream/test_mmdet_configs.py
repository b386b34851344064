"""Every config in configs/mmdet builds, takes a training step and predicts, with mmdet's own classes."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import METRICS, MODELS, init_default_scope

from mmwsol.utils.config import list_configs

pytest.importorskip("mmdet.models", exc_type=ImportError)  # absent with mmcv-lite

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "mmdet"
LEAVES = sorted(FOLDER.glob("*.py"))


def test_they_are_no_localizers():
    assert len(LEAVES) >= 10
    assert not {path.stem for path in LEAVES} & set(list_configs())


def shrink(model):
    """Make it cheap: ResNet-18, DeiT-tiny, few proposals, narrow layers."""
    if model.backbone.type == "ResNet":
        model.backbone.depth = 18
        model.neck.in_channels = [channels // 4 for channels in model.neck.in_channels]
    elif model.backbone.backbone.arch == "deit-small":
        model.backbone.backbone.arch = "deit-tiny"
        model.neck.in_channels = 192
    if "roi_head" in model:
        model.roi_head.bbox_head.fc_out_channels = 16
        model.train_cfg.rpn_proposal.max_per_img = 20
        model.test_cfg.rpn.max_per_img = 20


def picture(label):
    rng = np.random.default_rng(0)
    instance = dict(bbox=[20, 10, 60, 50], bbox_label=label, ignore_flag=0)
    image = rng.integers(0, 256, (64, 96, 3), np.uint8)
    return dict(img=image, img_path="x.png", img_id=1, height=64, width=96, instances=[instance])


def batch(pipeline, label):
    """Run mmdet's pipeline from an array in place of a file; scales of big pictures would only take time."""
    pipeline = copy.deepcopy(pipeline)
    assert pipeline[0].type == "LoadImageFromFile"
    pipeline[0] = dict(type="mmdet.LoadImageFromNDArray")
    for transform in pipeline[1:]:
        if transform.type == "Resize":
            transform.update(scale=(96, 64))
        elif transform.type == "RandomChoiceResize":
            transform.update(scales=[(96, 64), (120, 80)])
    compose = Compose(pipeline)
    return pseudo_collate([compose(picture(label)) for _ in range(2)])


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_config(path, monkeypatch):
    lines = path.read_text().splitlines()
    assert len(lines) <= 60
    cfg = Config.fromfile(path)
    assert Config.fromstring(cfg.pretty_text, ".py").to_dict() == cfg.to_dict()
    assert "openmmlab.com" not in cfg.pretty_text  # a host that is gone
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)

    classes = cfg.test_dataloader.dataset.metainfo.classes
    classes = 1000 if "ilsvrc" in path.stem and isinstance(classes, str) else classes
    classes = 200 if isinstance(classes, str) else classes  # a file that the export writes
    num_classes = classes if isinstance(classes, int) else len(classes)
    if not path.stem.startswith("wsol-detector"):
        shrink(cfg.model)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    head = getattr(model, "roi_head", None)
    if path.stem.startswith("wsol-detector"):
        assert cfg.train_dataloader is None and model.localizer.head.num_classes == num_classes
    else:
        assert (head.bbox_head if head else model.bbox_head).num_classes == num_classes
        optim = build_optim_wrapper(model, cfg.optim_wrapper)
        data = model.data_preprocessor(batch(cfg.train_dataloader.dataset.pipeline, num_classes - 1), training=True)
        loss, _ = model.train().parse_losses(model(**data, mode="loss"))
        optim.update_params(loss)
        assert torch.isfinite(loss)
        agnostic = path.stem.endswith("class-agnostic")
        files = [cfg.train_dataloader.dataset.ann_file, cfg.val_dataloader.dataset.ann_file, cfg.val_evaluator.ann_file]
        assert all(("agnostic" in file) == agnostic for file in files)
    data = batch(cfg.test_dataloader.dataset.pipeline, num_classes - 1)
    for sample in model.eval().test_step(data):
        detections = sample.pred_instances
        assert detections.bboxes.shape == (len(detections.scores), 4)
        assert (detections.labels < num_classes).all()
    loader = cfg.test_dataloader.dataset
    assert cfg.test_evaluator.ann_file == loader.data_root + loader.ann_file
    monkeypatch.setattr("mmdet.evaluation.metrics.coco_metric.COCO", lambda path: None)
    METRICS.build({**cfg.test_evaluator, "ann_file": str(path)})
