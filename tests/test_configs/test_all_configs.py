"""Every config and every cell of a sweep parses, builds (shrunk), trains a step, predicts, and builds its runtime."""

import ast
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, PARAM_SCHEDULERS, init_default_scope
from mmengine.runner import set_random_seed
from tiny_models import shrink

from mmwsol.engine.batch_size import rank_config
from mmwsol.engine.stages import stage_configs
from mmwsol.utils.config import list_cells, list_configs, load_cell, load_config
from mmwsol.utils.sweep_files import read_sweep

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
LEAVES = sorted(list_configs().values())  # those of configs/mmdet: tests/test_downstream
CELLS = list_cells()
SWEEPS = sorted([*CONFIGS.glob("*/sweeps/*.py"), *CONFIGS.glob("benchmarks/*.py")])
NAMES = sorted([*list_configs(), *CELLS])
SHIFTS = ("backbone.tpsm.fc.bias",)  # added to all logits of a softmax: its gradient may be exactly zero


def make_picture(folder: Path, cfg: Config) -> dict:
    """Write a noise image: a photo's size, or that of a data set whose images are used as they are."""
    resized = any("Resize" in transform.type for transform in cfg.val_dataloader.dataset.pipeline)
    height, width = (300, 420) if resized else (64, 64)
    path = folder / "picture.png"
    rng = np.random.default_rng(0)
    cv2.imwrite(str(path), rng.integers(0, 256, (height, width, 3), np.uint8))
    boxes = np.array([[3, 4, width / 2, height / 2]], np.float32)
    return dict(img_path=str(path), img_id="picture", gt_label=1, gt_bboxes_ori=boxes, ori_size=(width, height))


def train_dataset(cfg: Config) -> dict:
    """Take the data set out of its wrappers."""
    dataset = cfg.train_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset.dataset
    return dataset


def batch(pipeline, picture) -> dict:
    compose = Compose(pipeline)
    return pseudo_collate([compose({**picture, "sample_idx": i}) for i in range(2)])


def stage_params(key=None, kind=None):
    """Yield the stages of every config; one of those with the same ``key(cfg)``, if it is given.

    With ``kind``, the first stage of every ``kind(cfg)`` is in the suite; the others have the marker ``all_configs``.
    """
    seen, kinds = set(), set()
    for config in NAMES:
        for stage in stage_configs(load_config(config)):
            name = f"{config}{'-' if stage.name else ''}{stage.name}"
            found = key(stage.cfg) if key else name
            if found not in seen:
                again = kind is not None and kind(stage.cfg) in kinds
                yield pytest.param(stage.cfg, id=name, marks=[pytest.mark.all_configs] if again else [])
                if kind is not None:
                    kinds.add(kind(stage.cfg))
            seen.add(found)


def network(cfg: Config) -> str:
    """Write the types that a training step goes through."""
    head = cfg.model.head
    losses = {name: loss and loss.type for name, loss in head.get("map_losses", {}).items()}
    parts = [cfg.model.backbone.type, head.type, head.get("train_part"), head.get("generator", {}).get("type"), losses]
    return repr([*parts, cfg.optim_wrapper.optimizer.type, "tta_pipeline" in cfg])


def step(cfg: Config) -> str:
    """Write all that a training step and a prediction depend on: few-shot configs have it from others."""
    pipelines = [cfg.val_dataloader.dataset.pipeline, cfg.test_dataloader.dataset.pipeline]
    parts = [cfg.model, cfg.optim_wrapper, train_dataset(cfg).pipeline, *pipelines, cfg.get("tta_pipeline")]
    return repr(parts)


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_parse(path):
    cfg = Config.fromfile(path)
    text = Config(cfg.to_dict(), format_python_code=False).pretty_text  # the formatter takes a second
    assert Config.fromstring(text, ".py").to_dict() == cfg.to_dict()
    lines = path.read_text().splitlines()
    assert len(lines) <= 60, "a config states differences only"


def chain(path: Path) -> int:
    """Number of leaf configs that one inherits from, itself included."""
    return 1 + max(map(chain, leaf_bases(path)), default=0)


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_bases(path):
    assert chain(path) <= 2


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_batch_size(path):
    """A plain Runner in one process has the batch of the paper; every stage with its own learning rate is for it."""
    for cfg in [Config.fromfile(path), *[stage.cfg for stage in stage_configs(Config.fromfile(path))]]:
        assert cfg.total_batch_size == cfg.train_dataloader.batch_size > 0
        assert rank_config(cfg, 1) is cfg
    assert Config.fromfile(path).auto_scale_lr.base_batch_size > 0


def leaf_bases(path: Path) -> list[Path]:
    """Return the configs that a config inherits from, without the parts in ``_base_``."""
    listed = ast.parse(path.read_text().replace("{{", "'").replace("}}", "'")).body
    (bases,) = (ast.literal_eval(line.value) for line in listed if line.targets[0].id == "_base_")
    bases = [bases] if isinstance(bases, str) else bases
    return [(path.parent / base).resolve() for base in bases if "_base_" not in Path(base).parts]


def settings(value, key="") -> dict:
    """Flatten a config: dotted keys, lists as one value."""
    if not isinstance(value, dict):
        return {key: value}
    return {k: v for name, item in value.items() for k, v in settings(item, f"{key}.{name}").items()}


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_config_is_no_cell(path):
    """A config that changes a single setting of another one is a cell of a sweep."""
    leaf = settings(Config.fromfile(path).to_dict())
    for base in leaf_bases(path):
        inherited = settings(Config.fromfile(base).to_dict())
        changed = [key for key in leaf.keys() | inherited.keys() if leaf.get(key) != inherited.get(key)]
        assert len(changed) > 1, f"write it into configs/<name>/sweeps: {changed}"


def described(cfg: Config) -> str:
    """Write all that a run depends on."""
    helpers = {"filename", "train_pipeline", "test_pipeline"}
    return repr([{k: v for k, v in stage.cfg.to_dict().items() if k not in helpers} for stage in stage_configs(cfg)])


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_sweep(path):
    """Every cell merges into its base, survives printing, and differs from every other in what is run."""
    assert len(path.read_text().splitlines()) <= 60, "a sweep states differences only"
    runs = {}
    for cell in read_sweep(path).cells:
        cfg = load_cell(cell)
        text = Config(cfg.to_dict(), format_python_code=False).pretty_text  # the formatter takes a second
        assert Config.fromstring(text, ".py").to_dict() == cfg.to_dict()
        assert Path(cfg.filename).stem == cell.name and cell.name in NAMES
        same = runs.setdefault(described(cfg), cell.name)
        assert same == cell.name, f"{cell.name} does what {same} does"


def test_there_are_configs():
    assert len(LEAVES) >= 9 and len(CELLS) >= 90 and len(SWEEPS) >= 15


@pytest.mark.parametrize("cfg", stage_params(step, network))
def test_train_step_and_predict(cfg, tmp_path):
    picture = make_picture(tmp_path, cfg)
    width, height = picture["ori_size"]
    init_default_scope(cfg.default_scope)
    set_random_seed(0)  # of the crops too
    shrink(cfg)
    loss_sba = cfg.model.head.get("map_losses", {}).get("loss_sba")
    if loss_sba:
        loss_sba.text_embeddings = torch.randn(cfg.model.head.num_classes, 16)
    cfg.model.map_to_box.setdefault("threshold", 0.5)  # some are calibrated in training
    model = MODELS.build(cfg.model)
    model.init_weights()

    optim = build_optim_wrapper(model, cfg.optim_wrapper)
    data = model.data_preprocessor(batch(train_dataset(cfg).pipeline, picture), training=True)
    model.train()
    losses = model(**data, mode="loss")
    loss, _ = model.parse_losses(losses)
    loss.backward()
    zero_or_none = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    without = [n for n in zero_or_none if n not in SHIFTS]
    assert torch.isfinite(loss) and not without, without
    optim.step()

    model.eval()
    pipelines = [cfg.val_dataloader.dataset.pipeline, cfg.test_dataloader.dataset.pipeline]
    if "tta_pipeline" in cfg:
        pipelines.append(cfg.tta_pipeline)
    for pipeline in pipelines:
        data = model.data_preprocessor(batch(pipeline, picture))
        with torch.no_grad():
            samples = model(**data, mode="predict")
        for sample in samples:
            assert sample.ori_shape == (height, width)
            assert sample.pred_score.shape == (cfg.model.head.num_classes,)
            assert torch.isfinite(sample.pred_maps.maps).all()
            boxes = sample.pred_instances.bboxes
            assert len(boxes) == len(sample.pred_maps.maps) > 0
            assert (boxes >= 0).all() and (boxes <= torch.tensor([width, height] * 2)).all()


@pytest.mark.parametrize("cfg", stage_params())
def test_runtime(cfg):
    init_default_scope(cfg.default_scope)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
    for scheduler in schedulers:
        scheduler = {k: v for k, v in scheduler.items() if k != "convert_to_iter_based"}
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
    for hook in [*cfg.default_hooks.values(), *cfg.get("custom_hooks", [])]:
        HOOKS.build(hook)
    for name in ("val_evaluator", "test_evaluator"):
        keys = [metric.prefix for metric in Evaluator(cfg[name]).metrics]
        assert "cls" in keys and ("loc" in keys or "seg" in keys)  # boxes or masks
    assert train_dataset(cfg).type.startswith("mmwsol.")
    assert cfg.randomness.seed is not None
