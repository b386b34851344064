"""Metrics that a config promises are among those that its evaluators compute.

Promised are the keys of its results in the metafile, of its cells in sweep files, and ``save_best``; the columns of the
READMEs' tables are keys that a row of the table has.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.evaluator import Evaluator
from mmengine.registry import MODELS, init_default_scope
from releases import localizer

from mmwsol.engine.stages import stage_configs
from mmwsol.models.heads import LocPrediction
from mmwsol.utils.config import list_cells, list_configs, load_config
from mmwsol.utils.sweep_files import read_sweep

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("tables", ROOT / "tools/misc/build_readme_tables.py")
tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tables)

BASES = {name: cell.base for name, cell in list_cells().items()}


def read_tables() -> list:
    """List the tables of the READMEs with one row a result: its columns and the configs in its rows."""
    metafiles, found = tables.read_metafiles(), []
    for readme in [ROOT / "README.md", *sorted(ROOT.glob("configs/*/README.md"))]:
        for number, match in enumerate(tables.TABLE.finditer(readme.read_text(encoding="utf-8"))):
            options = tables.read_options(match[2])
            if options["rows"] == "methods":
                continue
            columns = " ".join(options[key] for key in ("baseline", "paper", "ours")).split()
            _, rows = tables.build_models(options, metafiles, readme.parent, ROOT)
            models = {link[1 : link.index("]")] for link, *_ in rows}
            names = {BASES.get(name, name) for name in models}
            found.append(pytest.param(set(columns), names, id=f"{readme.parent.name}-{number}"))
    return found


@functools.cache
def promises() -> dict[str, set[str]]:
    """Map every config to the metrics that results of it, and of the cells on it, have."""
    promised: dict[str, set[str]] = {name: set() for name in list_configs()}
    for metafile in tables.read_metafiles():
        for model in metafile["Models"]:
            for result in model["Results"]:
                base = BASES.get(model["Name"], model["Name"])
                promised[base].update(*(result.get(key, ()) for key in ("Paper", "Metrics", "Baseline")))
    for path in [*ROOT.glob("configs/*/sweeps/*.py"), *ROOT.glob("configs/benchmarks/*.py")]:
        sweep = read_sweep(path)
        further = tuple(f"{name}/" for name in sweep.tests)
        shown = [*sweep.metrics, *(sweep.page or {}).get("columns", {}).values()]
        own = [metric for metric in shown if not metric.startswith(further)]
        for cell in sweep.cells:
            assert not any("evaluator" in key for key in cell.overrides), "its metrics are not those of its base"
            promised[cell.base].update(cell.paper, own)
    return promised


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """Write an image with a box and a mask."""
    folder = tmp_path_factory.mktemp("promised")
    mask = np.zeros((64, 80), np.uint8)
    mask[10:40, 20:60] = 255
    for name in ("image.png", "mask.png"):
        cv2.imwrite(str(folder / name), mask)
    boxes = np.array([[20, 10, 59, 39]], np.float32)
    return dict(
        img_path=str(folder / "image.png"), img_id="image", gt_label=1, gt_bboxes_ori=boxes, ori_size=(80, 64),
        mask_paths=[str(folder / "mask.png")],
    )  # fmt: skip


def computed(cfg, split, picture) -> set[str]:
    """Return the keys of an evaluator for random maps of an image in its pipeline."""
    packed = Compose(cfg[f"{split}_dataloader"].dataset.pipeline)(dict(picture, sample_idx=0))
    classes, agnostic = cfg.model.head.num_classes, MODELS.get(cfg.model.head.type).class_agnostic
    labels = torch.tensor([[-1]]) if agnostic else torch.arange(min(classes, 5))[None]
    scores = torch.linspace(1, 0, classes).softmax(dim=0)[None]  # the first ones are predicted
    prediction = LocPrediction(scores, torch.rand(1, labels.shape[1], 7, 7), labels)
    model = localizer(map_to_box={"threshold": 0.5, **cfg.model.map_to_box})
    model._fill(prediction, [packed["data_samples"]], tuple(packed["inputs"].shape[1:]))
    evaluator = Evaluator(cfg[f"{split}_evaluator"])
    for metric in evaluator.metrics:
        if getattr(metric, "rule_of_model", False):
            metric.take_rule(model.map_to_box)
    evaluator.process([packed["data_samples"]])
    return set(evaluator.evaluate(1))


@pytest.fixture(scope="module")
def metrics(picture):
    """Return a function that gives the keys of all stages' validations, and of the last one's test, of a config."""

    @functools.cache
    def keys(name: str) -> tuple[list[set[str]], set[str]]:
        init_default_scope("mmpretrain")
        stages = stage_configs(load_config(name))
        known: dict[str, set[str]] = {}
        order = []
        for cfg in (stage.cfg for stage in stages):
            order.append(repr((cfg.val_evaluator, cfg.val_dataloader.dataset.pipeline, cfg.model.head.type)))
            if order[-1] not in known:
                known[order[-1]] = computed(cfg, "val", picture)
        return [known[key] for key in order], computed(stages[-1].cfg, "test", picture)

    return keys


@pytest.mark.parametrize("name", sorted(list_configs()))
def test_results(name, metrics):
    validated, tested = metrics(name)
    assert not promises()[name] - validated[-1] - tested


@pytest.mark.parametrize("name", sorted(list_configs()))
def test_save_best(name, metrics):
    for stage, keys in zip(stage_configs(load_config(name)), metrics(name)[0], strict=True):
        best = stage.cfg.default_hooks.checkpoint.get("save_best") or []
        assert keys.issuperset([best] if isinstance(best, str) else best), stage.name


@pytest.mark.parametrize("columns, names", read_tables())
def test_tables(columns, names, metrics):
    """Some row can have a figure in every column."""
    computed_keys = [keys for name in names for keys in (*metrics(name)[0], metrics(name)[1])]
    assert not columns.difference(*computed_keys)
