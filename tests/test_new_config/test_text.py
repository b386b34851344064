"""The configs that ``mmwsol new`` writes: they load, say what was found, and train."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import timm
import torch
from own_data import coco, table, write_images, write_split

from mmwsol.__main__ import main
from mmwsol.engine.stages import stage_configs
from mmwsol.new_config import METHODS, NAMED, find_network, look_at, write_config
from mmwsol.new_config.text import network_block
from mmwsol.utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]
# A name of every family.
FAMILIES = {"TapViT": "deit-small", "TimmViT": "test_vit", "mmpretrain CNN": "resnet18", "timm CNN": "test_resnet"}
FAMILIES["hybrid"] = "hybrid-vit"
PAIRS = [
    (method.name, name)
    for method in METHODS.values()
    for name in FAMILIES.values()
    if not method.refusal(find_network(name))
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Write images with boxes on val, and more images on test."""
    root = tmp_path_factory.mktemp("data")
    paths = write_split(root)
    tested = [f"test/{path}" for path in write_images(root / "test", 1, start=20)]
    (root / "boxes.csv").write_text("path,split,label,x0,y0,x1,y1\n" + table(paths, "val") + table(tested, "test"))
    return root


def write(folder, root, method, name, boxes=None):
    file = folder / f"{method}.py"
    write_config(file, look_at(root, boxes), METHODS[method], find_network(name), "mmwsol new", force=True)
    return file


def types(evaluator):
    return [metric["type"].split(".")[1] for metric in evaluator]


def test_pairs():
    """Every method takes one network at least, and every family has a method."""
    assert {method for method, _ in PAIRS} == set(METHODS)
    assert {name for _, name in PAIRS} == set(FAMILIES.values())


@pytest.mark.parametrize(("method", "name"), PAIRS)
def test_config(data, tmp_path, method, name):
    file = write(tmp_path, data, method, name)
    assert all(len(line) <= 130 for line in file.read_text().splitlines() if str(data) not in line)
    network = find_network(name)
    whole = load_config(file)
    assert not {"classes", "data", "size", "weights", "backbone", "epochs", "loader"} & set(whole)  # names of the file
    for stage in stage_configs(whole):
        model = stage.cfg.model
        assert (model.head.num_classes, model.head.in_channels) == (2, network.width)
        assert "threshold" not in model.map_to_box  # calibrated
        for loader, number in (("train", 0), ("val", 4), ("test", 2)):
            dataset = stage.cfg[f"{loader}_dataloader"].dataset
            assert (dataset.type, dataset.data_root) == ("mmwsol.LocListDataset", data.as_posix())
            assert "k_shot" not in dataset and dataset.metainfo.classes == ["cat", "dog"]
            assert bool(dataset.get("test_mode")) == bool(number)
        assert types(stage.cfg.val_evaluator) == ["Accuracy", "LocAccuracy", "MaxBoxAcc", "LocBaselines"]
        assert "mmwsol.ThresholdCalibrationHook" in [hook.type for hook in stage.cfg.custom_hooks]
        assert stage.cfg.default_hooks.checkpoint.save_best == "loc/gt_known"
        assert stage.cfg.default_hooks.stages.type == "mmwsol.StagesHook"  # those of the default runtime are there
        if name in ("test_vit", "test_resnet"):
            assert model.data_preprocessor == dict(mean="backbone", std="backbone")
    assert whole.model.map_to_box.type == re.search(r"mmwsol\.\w+", METHODS[method].rule)[0] or name == "hybrid-vit"


@pytest.mark.parametrize("name", ["cam", "sat", "trt", "dips"])
def test_without_boxes(data, tmp_path, name):
    """No calibration, a threshold that is given, and no metric that wants boxes."""
    file = write(tmp_path, data, name, METHODS[name].backbone, "none")
    stages = stage_configs(load_config(file))
    cfg = stages[-1].cfg
    assert cfg.model.map_to_box.threshold == METHODS[name].threshold
    assert types(cfg.val_evaluator) == types(cfg.test_evaluator) == ["Accuracy"]
    assert [hook.type for hook in cfg.custom_hooks] == ["mmwsol.EpochSeedHook"]
    # Classes do not choose the epoch, but of a stage that another one starts from.
    best = {stage.name: stage.cfg.default_hooks.checkpoint.get("save_best") for stage in stages}
    assert best.pop("tpsm", "") == ("cls/top1" if name == "trt" else "") and set(best.values()) == {None}


@pytest.mark.parametrize(
    ("name", "shipped"), [("resnet50", "cam_resnet50_cub"), ("vgg16", "cam_vgg16_cub"), ("test_resnet", None)]
)
def test_learning_rates_of_cam_are_those_of_the_network(data, tmp_path, name, shipped):
    file = write(tmp_path, data, "cam", name)
    ours = load_config(file)
    assert ("Nothing is published for this network" in file.read_text()) == (shipped is None)
    if shipped is None:
        assert set(ours.optim_wrapper.paramwise_cfg.custom_keys) == {"head.fc."}
        return
    theirs = load_config(shipped)
    assert ours.optim_wrapper == theirs.optim_wrapper
    assert ours.param_scheduler == theirs.param_scheduler


@pytest.mark.parametrize("name", ["catr", "cdtr"])
def test_the_first_loss_of_ocm_is_the_mean_of_the_batch(data, tmp_path, name):
    file = write(tmp_path, data, name, "deit-small")
    loss = load_config(file).model.head.loss_ocm_s
    assert (loss.reduce, loss.loss_weight, loss.ratio) == ("mean", 1.0, 0.25)
    assert "loss_weight=128 here" in file.read_text()


def test_hybrid_without_boxes(data, tmp_path):
    cfg = stage_configs(load_config(write(tmp_path, data, "sat", "hybrid-vit", "none")))[-1].cfg
    assert (cfg.model.map_to_box.type, cfg.model.map_to_box.threshold) == ("mmwsol.ComponentBox", 0.3)


def test_boxes_on_test_alone(tmp_path):
    root = tmp_path / "data"
    write_split(root)
    tested = write_images(root / "test", 1, start=20)
    (root / "test" / "boxes.json").write_text(coco([f"/{path}" for path in tested]).replace('"/', '"'))
    cfg = load_config(write(tmp_path, root, "cam", "test_resnet"))
    assert types(cfg.val_evaluator) == ["Accuracy"]
    assert types(cfg.test_evaluator) == ["Accuracy", "LocAccuracy", "MaxBoxAcc", "LocBaselines"]
    assert cfg.model.map_to_box.threshold == 0.2


def test_recipes_are_those_of_the_shipped_configs(data, tmp_path):
    """Heads differ from CUB's in the classes and in what the file names alone."""
    own = {"sat": {"map_losses.loss_area.target"}, "cdtr": {"map_losses"}, "trt": set()}
    for name, base in (
        ("ts-cam", "ts-cam_deit-s_cub"),
        ("catr", "catr_deit-s_cub"),
        ("lctr", "lctr_deit-s_cub"),
        ("sat", "sat_deit-s_cub"),
        ("cdtr", "cdtr_deit-s_cub"),
        ("locloc", "locloc_deit-s_cub"),
    ):
        ours, theirs = load_config(write(tmp_path, data, name, "deit-small")), load_config(base)
        head, shipped = ours.model.head.to_dict(), theirs.model.head.to_dict()
        shipped["num_classes"] = 2
        if name in ("catr", "cdtr"):
            assert (shipped["loss_ocm_s"].pop("loss_weight"), head["loss_ocm_s"].pop("loss_weight")) == (128, 1)
        if name == "sat":
            shipped["map_losses"]["loss_area"] = head["map_losses"]["loss_area"] = None
        if "map_losses" in own.get(name, ()):
            shipped["map_losses"] = None
        head.pop("attn_shape", None), shipped.pop("attn_shape", None)
        c_base = shipped.pop("c_base", 8)
        assert c_base == 8  # the default
        if name == "locloc":
            assert head["classifier"].pop("feedforward_channels") == 1536
            shipped["classifier"].pop("drop_path_rate"), head["classifier"].pop("drop_path_rate")
            shipped["classifier"].pop("feedforward_channels")
        assert head == shipped, name
        assert ours.optim_wrapper == theirs.optim_wrapper, name
        assert ours.train_cfg.max_epochs == theirs.train_cfg.max_epochs, name
        assert ours.param_scheduler == theirs.param_scheduler, name


def test_files_are_not_overwritten(tmp_path):
    write_images(tmp_path / "data", 5)
    found = look_at(tmp_path / "data")
    file = tmp_path / "mine.py"
    options = (file, found, METHODS["cam"], find_network("test_resnet"), "mmwsol new")
    assert write_config(*options) == [file, tmp_path / "mine_images.csv"]
    for path in (file, tmp_path / "mine_images.csv"):
        path.write_text("mine")
        with pytest.raises(FileExistsError, match="--force"):
            write_config(*options)
        assert path.read_text() == "mine"
        write_config(*options, force=True)
        assert path.read_text() != "mine"


def test_readme_has_the_block_of_every_family():
    """A block of the README is what the command writes."""
    text = (ROOT / "README.md").read_text()
    for method, name in (
        ("ts-cam", "deit-small"),
        ("ts-cam", "vit_small_patch14_dinov2.lvd142m"),
        ("cam", "resnet50"),
        ("cam", "convnext_tiny.fb_in1k"),
    ):
        block = network_block(METHODS[method], find_network(name))
        assert block.split("\n", 1)[1] in text, block


# ---- training ---------------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Give random weights under the names of the releases."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("MMWSOL_CHECKPOINT_ROOT", str(folder))

    def save(name):
        network = NAMED.get(name)
        if name == "hybrid-vit" or name == "efficientnet-lite0":
            return
        if network is None:
            torch.save(timm.create_model(name).state_dict(), folder / f"{name}.pth")
        elif network.blocks:
            vit = f"deit_{name.split('-')[1]}_patch16_224"
            for known in (network, *([NAMED["dino-small"]] if name == "deit-small" else [])):
                torch.save(dict(model=timm.create_model(vit).state_dict()), folder / Path(known.weights).name)
        else:
            from torchvision import models

            state = models.get_model(name, weights=None).state_dict()
            url = next(iter(models.get_model_weights(name))).url
            torch.save(state, folder / Path(url).name)

    return save


def run(*words):
    assert main(list(words)) == 0


TINY = {"deit-small": "deit-tiny"}  # where the method has weights of it


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("ts-cam", "deit-tiny"),
        ("ts-cam", "test_vit"),
        ("cam", "resnet18"),
        ("cam", "test_resnet"),
        ("sat", "hybrid-vit"),
    ],
)
def test_one_iteration_of_every_family(data, tmp_path, monkeypatch, weights, capsys, method, name):
    """Build everything from pretrained weights and train for an iteration, as the command line does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mmwsol"])
    weights(name)
    write(tmp_path, data, method, name)
    options = ["total_batch_size=2", "val_dataloader.batch_size=2", "train_dataloader.num_workers=0"]
    options += ["val_dataloader.num_workers=0", "test_dataloader.num_workers=0"]
    run("train", f"{method}.py", "--dry-run", "--cfg-options", *options)
    shown = capsys.readouterr().out
    assert "one training iteration: loss" in shown
    assert "loc/threshold" in shown


@pytest.mark.all_configs
@pytest.mark.parametrize(("method", "name"), PAIRS)
def test_life(data, tmp_path, monkeypatch, weights, method, name):
    """Browse, train all stages for an epoch, and test the best checkpoint at the calibrated threshold."""
    if method not in ("locloc", "dips"):
        name = TINY.get(name, name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mmwsol"])
    weights(name)
    file = write(tmp_path, data, method, name)
    options = ["--cfg-options", "total_batch_size=3", "train_dataloader.num_workers=0", "train_cfg.max_epochs=1"]
    run("browse", file.name, "--split", "test", "--output-dir", "browse")
    assert len(list(Path("browse").rglob("*.jpg"))) == 2
    run("train", file.name, *options)
    [*_, checkpoint] = sorted(Path("work_dirs").rglob("best_loc_gt_known_*.pth"), key=lambda path: path.stat().st_mtime)
    run("test", file.name, str(checkpoint), "--out", "results.json")
    assert '"loc/gt_known"' in Path("results.json").read_text()


@pytest.mark.all_configs
def test_stages_without_boxes(data, tmp_path, monkeypatch, weights):
    """TRT's second stage starts from the best epoch of the first one, by its classes; its own last epoch is kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mmwsol"])
    weights("deit-tiny")
    write(tmp_path, data, "trt", "deit-tiny", "none")
    run(
        "train",
        "trt.py",
        "--cfg-options",
        "total_batch_size=3",
        "train_dataloader.num_workers=0",
        "train_cfg.max_epochs=1",
    )
    assert list(Path("work_dirs/trt/tpsm").glob("best_cls_top1_*.pth"))
    assert [path.name for path in Path("work_dirs/trt/cam").glob("*.pth")] == ["epoch_1.pth"]
