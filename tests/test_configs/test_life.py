"""The life of every config, made tiny: its stages, test, inference, resume and benchmark, on data in its own layout.

One config of every method and of every data set lives in the normal suite; ``-m all_configs`` runs the others: every
config, and of the cells of sweeps that differ in numbers only, one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmengine.config.config
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import EpochBasedTrainLoop
from releases import deit_release
from tiny_data import NUMBER, write_data
from tiny_models import WIDTH, shrink

from mmwsol.__main__ import main
from mmwsol.compat import load_checkpoint_file
from mmwsol.datasets.wrappers import inner_config
from mmwsol.engine.stages import Stage, stage_configs
from mmwsol.models import TapViT
from mmwsol.registry import MODELS
from mmwsol.utils.config import list_cells, list_configs, load_config
from mmwsol.utils.sweep_files import Cell

QUICKSTART = Path(__file__).resolve().parents[2] / "configs/quickstart"  # configs of methods that have a folder
BATCH = 4
EPOCHS = 2  # schedules with a warmup of an epoch need a second one
# The cheapest that have all methods and all data sets between them.
SHORT = {
    "attention_dino-s_imagenet",
    "cam_resnet50_ilsvrc",
    "catr_deit-s_brain-tumor",
    "cdtr_deit-s_cubv2",
    "dips_dino-s_csv",
    "dips_dino-s_ilsvrc",
    "lctr_deit-s_cub",
    "locloc_small-vit_tiny-imagenet-20",
    "sat_deit-s_aircraft",
    "sat_deit-s_cars",
    "sat_deit-s_dogs",
    "sat_small-vit_imagenette",
    "trt_small-vit_shapes",
    "ts-cam_deit-s_openimages",
    "ts-cam_small-vit_neu-det",
}


# ---- which configs --------------------------------------------------------------------------------


def without_numbers(value: Any) -> Any:
    """Replace every number in a config by 0."""
    if isinstance(value, dict):
        return {name: without_numbers(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [without_numbers(item) for item in value]
        return 0 if items and all(item == 0 and not isinstance(item, bool) for item in items) else items
    return 0 if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def kind(cell: Cell) -> str:
    """Write what a cell of a sweep changes in its base, without numbers."""
    changes = {key: without_numbers(value) for key, value in cell.overrides.items()}
    return repr((cell.base, {key: value for key, value in changes.items() if value != 0 or value is False}))


def lives() -> Iterator[str]:
    """Yield every config, and the first cell of every kind that no config has."""
    yield from sorted(list_configs())
    seen = {kind(Cell("", name, Path())) for name in list_configs()}
    for cell in list_cells().values():
        if kind(cell) not in seen:
            yield cell.name
        seen.add(kind(cell))


# ---- a tiny copy of a config ----------------------------------------------------------------------


def shorten(cfg: Config) -> None:
    """Make a stage short: two epochs of two iterations, and one validation of eight images."""
    cfg.total_batch_size = BATCH
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        loader = cfg[name]
        loader.update(batch_size=BATCH, num_workers=0, persistent_workers=False)
        if loader.dataset.type == "RepeatDataset":
            loader.dataset.times = 1
        dataset = inner_config(loader.dataset)
        dataset.indices = NUMBER
        dataset.pop("k_shot", None)
        if "num_images" in dataset:
            dataset.num_images = NUMBER
    if "max_epochs" in cfg.train_cfg:
        cfg.train_cfg.update(max_epochs=EPOCHS, val_begin=EPOCHS, val_interval=1)
    writer = cfg.train_cfg.get("writer", {})
    if writer.get("type") == "mmwsol.PseudoMaskWriter":
        cfg.model.backbone.arch.num_heads = 4  # PPD's masks name heads 0 to 2
    if writer.get("scorer"):
        writer.scorer = dict(type="mmpretrain.TimmClassifier", model_name="test_resnet", num_classes=1000)
    cfg.log_level = "WARNING"


def shrink_stage(cfg: Config, weights: Path) -> None:
    """Make the model of a stage tiny, with the weights of its release where that is DeiT or DINO."""
    start, linear = cfg.model.get("init_cfg"), cfg.model.head.get("fc_weights")
    shrink(cfg, max_classes=1000)
    backbone, head = cfg.model.backbone, cfg.model.head
    if head.type in ("mmwsol.CATRHead", "mmwsol.CDTRHead") and head.num_classes > 200:
        head.c_base = 1  # channels a class of CSM and OCM: a minute less
    if linear:
        layer = {"module.linear.weight": torch.randn(1000, 4 * WIDTH), "module.linear.bias": torch.randn(1000)}
        torch.save(dict(state_dict=layer), weights / Path(linear).name)
        head.fc_weights = linear
    if head.type == "mmwsol.LocLocHead":
        narrow = dict(deconv_channels=16)
        narrow |= dict(stem_channels=16) if head.generator.get("type") == "ppd" else dict(unet_channels=16)
        head.generator.update(narrow)
    if start and start.checkpoint.startswith("https://dl.fbaipublicfiles.com"):
        cells = backbone.get("img_size", 224) // 16
        release = deit_release(1000, cells**2 + 1, backbone.arch.num_layers, 16)
        release = {name: 0.2 * value for name, value in release.items()}
        if "dino" not in start.checkpoint:
            release = dict(model=release)
        torch.save(release, weights / Path(start.checkpoint).name)
        cfg.model.init_cfg = start


def entry(stage: Stage) -> dict:
    """Make an entry of ``stages`` that replaces every part of the config, rather than being merged into it."""
    parts = {key: value for key, value in stage.cfg.to_dict().items() if not key.endswith(("_pipeline", "_stage"))}
    parts = {key: dict(part, _delete_=True) if isinstance(part, dict) else part for key, part in parts.items()}
    return dict(parts, name=stage.name, init_from=stage.init_from)


def tiny_config(name: str, folder: Path) -> tuple[Path, list[Stage]]:
    """Write a config with every stage tiny and short, and return it with its stages."""
    stages = stage_configs(load_config(name))
    for stage in stages:
        shrink_stage(stage.cfg, folder)
        shorten(stage.cfg)
    whole = stages[-1].cfg.to_dict()
    if stages[0].name:
        whole["stages"] = [entry(stage) for stage in stages]
    path = folder / f"{name}.py"
    Config(ConfigDict(whole), format_python_code=False).dump(path)
    return path, stages


# ---- the life -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("life"))


@pytest.fixture
def home(data, tool, tmp_path, monkeypatch):
    """Live in the folder with ``data``, with released weights in ``tmp_path``."""
    monkeypatch.chdir(data)
    monkeypatch.setenv("MMWSOL_CHECKPOINT_ROOT", str(tmp_path))
    # Half of the time of a tiny run: the layout of config files.
    monkeypatch.setattr(mmengine.config.config, "FormatCode", lambda text, **_: (text, True))
    return tmp_path


def validated(folder: Path) -> dict[str, float]:
    """Return what the last validation in a folder logged."""
    [log] = folder.glob("*/vis_data/scalars.json")
    return json.loads(log.read_text().splitlines()[-1])


def checkpoints(run: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.rglob("*.pth")}


def state(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint_file(str(path))["state_dict"]


def names() -> list:
    return [pytest.param(name, marks=[] if name in SHORT else pytest.mark.all_configs) for name in lives()]


def dataset_types(cfg: Config) -> set[str]:
    loaders = (cfg[name].dataset for name in ("train_dataloader", "val_dataloader", "test_dataloader") if name in cfg)
    return {inner_config(dataset).type for dataset in loaders}


def test_normal_suite_has_every_method_and_data_set():
    configs = list_configs()
    assert {configs[name].parent for name in SHORT} == {path.parent for path in configs.values()} - {QUICKSTART}
    files = (QUICKSTART.parent / "_base_/datasets").glob("*.py")
    everything = set().union(*(dataset_types(Config.fromfile(path)) for path in files))
    assert set().union(*(dataset_types(load_config(name)) for name in SHORT)) == everything | {"mmwsol.LocListDataset"}


@pytest.mark.parametrize("name", names())
def test_life(name, home, tool, capsys):
    config, stages = tiny_config(name, home)
    run = home / "run"
    tool("train.py", config, "--work-dir", run)
    trained = [stage for stage in stages if stage.cfg.train_cfg.get("type") != "mmwsol.OfflineLoop"]
    for stage in trained:
        metrics = validated(run / stage.name)
        assert "cls/top1" in metrics and all(map(math.isfinite, metrics.values())), stage.name
    for stage in stages:
        if stage.cfg.train_cfg.get("type") == "mmwsol.OfflineLoop":
            manifest = json.loads((run / stage.name / "cache/manifest.json").read_text())
            assert manifest["complete"] and manifest["num_images"] == NUMBER and not manifest["failed"]
    before = checkpoints(run)
    assert {path.parent.name for path in before} == {stage.name or "run" for stage in trained}

    tool("train.py", config, "--work-dir", run, "--resume")
    assert checkpoints(run) == before

    checkpoint = run / stages[-1].name / f"epoch_{EPOCHS}.pth"
    outputs = ["--work-dir", home / "test", "--out", home / "out.json", "--show-dir", home / "shown"]
    tool("test.py", config, checkpoint, *outputs)
    results = json.loads((home / "out.json").read_text())
    assert len(results["predictions"]) == len(list((home / "shown").glob("*.jpg"))) == NUMBER
    assert all(map(math.isfinite, results["metrics"].values()))

    capsys.readouterr()
    expected = results["predictions"][0]
    image = expected["img_path"]
    assert main(["infer", image, "--weights", str(checkpoint), "--out-dir", str(home / "infer")]) == 0
    assert capsys.readouterr().out.startswith(f"{image}: ")
    [record] = json.loads((home / "infer/predictions.json").read_text())["predictions"]
    assert record["pred_score"]["scores"][0] == pytest.approx(expected["pred_score"]["scores"][0], abs=1e-4)

    benchmark = ["analysis_tools/benchmark_methods.py", config, "--child", "times", "--batch-size", 2, "--repeats", 1]
    if (stages[-1].cfg.model.head.get("map_losses") or {}).get("loss_sba"):
        benchmark += ["--cfg-options", "model.head.map_losses.loss_sba.text_embeddings=missing.pt"]  # random ones
    if issubclass(MODELS.get(stages[-1].cfg.model.backbone.type), TapViT):
        tool(*benchmark)
        times = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert all(value > 0 for of_models in times.values() for values in of_models.values() for value in values)
    else:
        with pytest.raises(SystemExit, match="not a vision transformer on TapViT"):
            tool(*benchmark)


def test_interrupted_life(home, tool, monkeypatch):
    """A run that dies in the last stage goes on there, and ends with the weights of one that did not."""
    config, stages = tiny_config("ts-cam_small-vit_neu-det", home)
    last = stages[-1].name
    tool("train.py", config, "--work-dir", home / "whole")
    run_epoch = EpochBasedTrainLoop.run_epoch

    def die(loop):
        if loop.epoch == EPOCHS - 1 and Path(loop.runner.work_dir).name == last:
            raise KeyboardInterrupt
        run_epoch(loop)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(EpochBasedTrainLoop, "run_epoch", die)
        tool("train.py", config, "--work-dir", home / "run")
    assert end.value.code == 130
    before = checkpoints(home / "run")
    assert f"epoch_{EPOCHS}.pth" not in {path.name for path in before if path.parent.name == last}
    tool("train.py", config, "--work-dir", home / "run", "--resume")
    after = checkpoints(home / "run")
    assert all(after[path] == time for path, time in before.items() if path.parent.name != last)
    whole, resumed = (state(home / run / last / f"epoch_{EPOCHS}.pth") for run in ("whole", "run"))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
