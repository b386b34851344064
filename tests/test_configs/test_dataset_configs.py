"""Every base builds: data sets and evaluators, pipelines, and both together, whether a leaf config uses them or not."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, init_default_scope

from mmwsol.engine.stages import stage_configs
from mmwsol.utils.config import list_cells, list_configs, load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
BASES = sorted((CONFIGS / "_base_" / "datasets").glob("*.py"))
PIPELINES = sorted((CONFIGS / "_base_" / "pipelines").glob("*.py"))
NAMES = sorted([*list_configs(), *list_cells()])


@pytest.fixture
def picture(tmp_path):
    """A noise image with one box and one mask."""
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "picture.png"), rng.integers(0, 256, (64, 64, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "mask.png"), np.tri(64, dtype=np.uint8))
    boxes = np.array([[3, 4, 32, 30]], np.float32)
    return dict(img_path=str(tmp_path / "picture.png"), img_id="picture", gt_label=1, gt_bboxes_ori=boxes)


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.stem)
def test_dataset_config(path):
    cfg = Config.fromfile(path)
    init_default_scope("mmpretrain")
    for split in ("train", "val", "test"):
        dataset = cfg[f"{split}_dataloader"].dataset
        assert "pipeline" not in dataset
        built = DATASETS.build(dict(dataset, pipeline=[], lazy_init=True))
        assert built.test_mode == (split != "train")
        if split != "train":
            prefixes = {metric.prefix for metric in Evaluator(cfg[f"{split}_evaluator"]).metrics}
            assert "cls" in prefixes and prefixes & {"loc", "seg"}
    # the batch belongs to the method
    assert "batch_size" not in cfg.train_dataloader and "total_batch_size" not in cfg


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_pipelines(path, picture):
    cfg = Config.fromfile(path)
    init_default_scope("mmpretrain")
    size = int(re.search(r"_(\d+)", path.stem)[1])
    for name in ("train_pipeline", "test_pipeline"):
        packed = Compose(cfg[name])(dict(picture))
        assert packed["inputs"].shape == (3, size, size)
        assert packed["data_samples"].gt_instances.bboxes.shape == (1, 4)
    if "tta_pipeline" in cfg:
        packed = Compose(cfg.tta_pipeline)(dict(picture))
        assert packed["crops"].shape == (10, 3, size, size) and packed["inputs"].shape == (3, size, size)


@pytest.mark.parametrize("dataset", BASES, ids=lambda path: path.stem)
@pytest.mark.parametrize("pipelines", PIPELINES, ids=lambda path: path.stem)
def test_every_data_set_with_all_pipelines(dataset, pipelines, tmp_path):
    """Two bases of one config must not set the same key; a config wires them as ours do."""
    leaf = tmp_path / "leaf.py"
    leaf.write_text(
        f"_base_ = [{str(dataset)!r}, {str(pipelines)!r}]\n"
        "total_batch_size = 8\n"
        "train_dataloader = dict(batch_size=total_batch_size, dataset=dict(pipeline={{_base_.train_pipeline}}))\n"
        "val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))\n"
    )
    cfg = Config.fromfile(leaf)
    for split, expected in (("train", cfg.train_pipeline), ("val", cfg.test_pipeline), ("test", cfg.test_pipeline)):
        dataset_cfg = cfg[f"{split}_dataloader"].dataset
        assert dataset_cfg.pipeline == expected
        DATASETS.build(dict(dataset_cfg, lazy_init=True))


@pytest.mark.parametrize("name", NAMES)
def test_head_has_the_classes_of_the_data(name):
    for stage in stage_configs(load_config(name)):
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
            dataset = stage.cfg[loader].dataset
            while "dataset" in dataset:  # a wrapper, which would read the lists
                dataset = dataset.dataset
            classes = DATASETS.build(dict(dataset, lazy_init=True)).metainfo.get("classes")
            expected = stage.cfg.model.head.get("num_classes")
            if name == "locloc_deit-s_cub_official":
                expected = 200  # the official code has 1000 outputs for them
            assert classes is None or expected is None or len(classes) == expected


def test_there_are_configs():
    assert len(BASES) >= 12 and len(PIPELINES) >= 9
