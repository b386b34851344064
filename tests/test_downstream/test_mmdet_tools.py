"""mmdet's own programs: test a localizer, and train a detector on a localizer's boxes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

mmdet_models = pytest.importorskip("mmdet.models", exc_type=ImportError)  # absent with mmcv-lite
import mmdet  # noqa: E402

from mmwsol.integrations import export_boxes, export_ground_truth  # noqa: E402
from mmwsol.utils.config import load_config  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TEST_TOOL = Path(mmdet.__file__).parent / ".mim" / "tools" / "test.py"
LOCALIZER = dict(
    type="mmwsol.ImageLocalizer",
    backbone=dict(
        type="mmwsol.SATViT",
        arch=dict(embed_dims=128, num_layers=3, num_heads=4, feedforward_channels=64),
        img_size=64,
        patch_size=8,
        stem=dict(type="mmwsol.ConvStem", channels=(4, 4, 4)),
        num_sqa_blocks=3,
    ),
    head=dict(type="mmwsol.SATHead", num_classes=10, in_channels=128),
    map_to_box=dict(type="mmwsol.ComponentBox", preset="sat", threshold=0.4),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Shapes in little, a localizer with random weights, and its boxes."""
    folder = tmp_path_factory.mktemp("mmdet")
    root = folder / "shapes"
    pipeline = [dict(type="mmwsol.LoadImage"), dict(type="mmwsol.PackLocInputs")]

    def loader(split, number):
        dataset = dict(type="mmwsol.Shapes", data_root=str(root), split=split, num_images=number, pipeline=pipeline)
        return dict(batch_size=8, num_workers=0, dataset=dataset)

    cfg = Config(
        dict(
            model=LOCALIZER,
            train_dataloader=loader("train", 24),
            val_dataloader=loader("val", 16),
            test_dataloader=loader("val", 16),
        )
    )
    torch.manual_seed(0)
    model = MODELS.build(LOCALIZER)
    model.init_weights()
    # What mmengine writes: torch >= 2.6 does not read it by itself.
    torch.save(dict(state_dict=model.state_dict(), message_hub=dict(loss=HistoryBuffer())), folder / "localizer.pth")
    for split in ("train", "val"):
        export = export_boxes(cfg, str(folder / "localizer.pth"), split, label="pred", masks="rle")
        assert len(export.images) > 10
        export.save(root / f"pseudo-{split}.json")
    export_ground_truth(cfg, "val").save(root / "gt-val.json")
    return folder


def test_the_test_tool_agrees_with_the_export(project):
    """The best box of every image is the exported one: average precision 1, of boxes as of masks."""
    root = project / "shapes"
    config = project / "detector.py"
    config.write_text(f"""
default_scope = 'mmdet'
model = dict(type='mmwsol.WSOLDetector', topk=1, with_masks=True, localizer={LOCALIZER!r})
classes = {export_classes(root)!r}
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
test_dataloader = dict(
    batch_size=5, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset', data_root={str(root)!r}, ann_file='pseudo-val.json', data_prefix=dict(img=''),
        metainfo=dict(classes=classes), test_mode=True, pipeline=pipeline))
test_evaluator = dict(type='CocoMetric', ann_file={str(root / "pseudo-val.json")!r}, metric=['bbox', 'segm'])
test_cfg = dict()
default_hooks = dict(visualization=dict(type='DetVisualizationHook', score_thr=0.0))
visualizer = dict(type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
""")
    command = [sys.executable, "-W", "ignore", TEST_TOOL, config, project / "localizer.pth"]
    command += ["--work-dir", project / "work", "--show-dir", "shown", "--out", project / "out.pkl"]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    (results,) = [json.loads(path.read_text()) for path in project.glob("work/*/*.json")]
    assert results["coco/bbox_mAP"] == results["coco/segm_mAP"] == 1.0
    assert re.search(r"coco/bbox_mAP: 1\.0000", done.stdout + done.stderr)
    assert (project / "out.pkl").stat().st_size > 0
    number = len(json.loads((root / "pseudo-val.json").read_text())["images"])
    assert len(list(project.glob("work/*/shown/*.png"))) == number


def export_classes(root):
    return (root / "pseudo-val.classes.txt").read_text().split()


def test_train_on_exported_boxes(project, tmp_path):
    """The tiny config: the backbone starts from the localizer, the loss falls, the true boxes score it."""
    init_default_scope("mmdet")
    cfg = load_config(ROOT / "configs" / "mmdet" / "faster-rcnn_small-vit_shapes.py")
    root = str(project / "shapes") + "/"
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = root
        loader.batch_size = 8
    cfg.val_evaluator.ann_file = cfg.test_evaluator.ann_file = root + "gt-val.json"
    vit = cfg.model.backbone.backbone
    vit.arch, vit.stem = LOCALIZER["backbone"]["arch"], LOCALIZER["backbone"]["stem"]
    vit.init_cfg.checkpoint = str(project / "localizer.pth")
    cfg.train_cfg.max_epochs = 4
    cfg.train_cfg.val_interval = 4
    cfg.param_scheduler = None
    cfg.default_hooks.logger.interval = 3
    cfg.work_dir = str(tmp_path / "work")
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    trained = torch.load(project / "localizer.pth", weights_only=False)["state_dict"]
    weight = runner.model.backbone.backbone.layers[0].attn.qkv.weight
    assert torch.equal(weight, trained["backbone.layers.0.attn.qkv.weight"])
    runner.train()
    losses = runner.message_hub.get_scalar("train/loss").data[0]
    assert len(losses) == 12 and losses[-3:].mean() < 0.8 * losses[:3].mean()
    assert not torch.equal(weight, trained["backbone.layers.0.attn.qkv.weight"])
    assert 0 <= runner.message_hub.get_scalar("val/coco/bbox_mAP").current() <= 1
    assert (tmp_path / "work" / "epoch_4.pth").is_file()
