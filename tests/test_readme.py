"""The walk-throughs of the documentation, executed as they are written, on tiny data."""

from __future__ import annotations

import json
import os
import pickle
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
import torchvision

from mmwsol.models.features import as_features
from mmwsol.registry import MODELS
from mmwsol.utils.config import load_config

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
OWN_METHOD = ROOT / "configs" / "quickstart" / "own_method.md"


def section(path, title):
    """Return the text under a heading, up to the next heading of any level."""
    text = re.sub(r"```.*?```", lambda block: block[0].replace("\n#", "\n\0"), path.read_text(), flags=re.DOTALL)
    [found] = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)
    return found.replace("\0", "#")


def blocks(text):
    """Return the fenced blocks as (language, code)."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


class Reader:
    """Somebody who types what is written: files, commands and Python lines, in order."""

    def __init__(self, monkeypatch, folder):
        self.monkeypatch = monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.setattr(os, "environ", os.environ.copy())
        monkeypatch.syspath_prepend("unused")  # restores sys.path afterwards
        for name in ("configs", "tools"):
            (folder / name).symlink_to(ROOT / name)
        self.commands = []
        self.variables = {}

    def follow(self, text):
        for language, code in blocks(text):
            if language == "bash":
                for line in code.replace("\\\n", " ").splitlines():
                    self.read(line)
            elif language == "python" and (name := re.match(r"# (\S+\.py)\n", code)):
                path = Path(name[1])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(code)
            elif language == "python":
                exec(compile(code, "README.md", "exec"), {})

    def read(self, line):
        if name := re.match(r"(\w+)=", line):
            path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
            script = f"{line}\necho ${name[1]}"
            done = subprocess.run(
                ["bash", "-ec", script], env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, text=True, check=True
            )
            self.variables[name[1]] = done.stdout.splitlines()[-1]
            return
        for name, value in self.variables.items():
            line = line.replace(f"${name}", value)
        self.run(shlex.split(line, comments=True))

    def run(self, words):
        self.commands.append(words)
        if words[0] == "export":
            assert words == ["export", "PYTHONPATH=."]
            sys.path.insert(0, os.getcwd())
            return
        if words[0] == "mmwsol":
            words = ["python", "-m", *words]
        assert words[0] == "python"
        module = words[1] == "-m"
        self.monkeypatch.setattr(sys, "argv", words[2:] if module else words[1:])
        try:
            if module:
                runpy.run_module(words[2], run_name="__main__", alter_sys=False)
            else:
                runpy.run_path(words[1], run_name="__main__")
        except SystemExit as stopped:
            assert not stopped.code, (words, stopped.code)


@pytest.fixture
def reader(monkeypatch, tmp_path):
    return Reader(monkeypatch, tmp_path)


def write_data(root):
    """Cats are dark with a bright box, dogs the other way round; every file is listed with its box."""
    rng = np.random.default_rng(0)
    lines = []
    for split, number in (("train", 3), ("val", 2)):
        for label, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for index in range(number):
                image = rng.integers(0, 60, (90, 120, 3))
                image[20:60, 30:80] += 150
                path = f"{split}/{name}/{index}.jpg"
                cv2.imwrite(str(root / path), (255 * label + (1 - 2 * label) * image).clip(0, 255).astype(np.uint8))
                if split == "val":
                    lines.append(f"{path},val,{name},30,20,80,60\n")
    (root / "boxes.csv").write_text("".join(lines))


@pytest.fixture
def own_data(reader, tmp_path, monkeypatch):
    """The data of the README's own data set, and weights that stand in for ImageNet's."""
    write_data(tmp_path / "data/mine")
    weights = timm.create_model("deit_tiny_patch16_224").state_dict()
    (tmp_path / "weights").mkdir()
    torch.save(dict(model=weights), tmp_path / "weights/deit_tiny_patch16_224-a1311bcf.pth")
    monkeypatch.setenv("MMWSOL_CHECKPOINT_ROOT", str(tmp_path / "weights"))


def test_your_own_data_in_five_minutes(own_data, reader, tmp_path, capsys):
    reader.follow(section(README, "Your own data in five minutes"))

    assert [words[:2] for words in reader.commands] == [
        ["mmwsol", name] for name in ("new", "browse", "train", "test", "infer")
    ]
    text = capsys.readouterr().out
    assert "4 of 4 images are drawn in browse." in text
    assert "4 pictures and predictions.json are in found." in text
    assert text.splitlines()[-1].endswith("(90, 120)")  # the last line of the Python block
    results = json.loads((tmp_path / "results.json").read_text())
    assert {"cls/top1", "loc/gt_known", "loc/max_box_acc_v2"} <= results["metrics"].keys()
    assert [p["gt_bboxes"] for p in results["predictions"]] == [[[30, 20, 80, 60]]] * 4
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == 4
    found = json.loads((tmp_path / "found/predictions.json").read_text())["predictions"]
    assert {record["pred_class"] for record in found} <= {"cat", "dog"}
    for ours, tested in zip(found, results["predictions"], strict=True):
        assert ours["img_path"] == tested["img_path"]
        assert ours["pred_score"]["scores"] == pytest.approx(tested["pred_score"]["scores"], abs=1e-4)
        assert ours["bboxes"] == tested["bboxes"]


# As the README's own data, and a network that is small.
MY_DATA = """_base_ = ['mmwsol::ts-cam/ts-cam_small-vit_tiny-imagenet-20.py']
mine = dict(
    _delete_=True, type='mmwsol.LocListDataset', data_root='data/mine', metainfo=dict(classes=['cat', 'dog']),
    pipeline=[dict(type='mmwsol.LoadImage'), dict(type='mmwsol.Resize', scale=64), dict(type='mmwsol.PackLocInputs')])
stages = None
model = dict(head=dict(num_classes=2))
total_batch_size = 2
train_cfg = dict(max_epochs=1)
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(data_prefix='train', **mine))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(ann_file='boxes.csv', split='val', **mine))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = [dict(type='mmwsol.LocAccuracy')]
"""


def test_use_from_mmpretrain(own_data, reader, tmp_path, capsys):
    """mmpretrain's own programs on a localizer of own data; then a classifier of mmpretrain."""
    (tmp_path / "my_data.py").write_text(MY_DATA)
    reader.read("python tools/train.py my_data.py")
    capsys.readouterr()
    reader.follow(section(README, "Use from mmpretrain"))

    assert [Path(words[1]).name for words in reader.commands] == [
        "train.py",
        "test.py",
        "analyze_results.py",
        "train.py",
    ]
    text = capsys.readouterr().out
    label, box = re.search(r"(cat|dog)$.*?tensor\(\[([^]]*)\]\)$", text, re.DOTALL | re.MULTILINE).groups()
    with open(tmp_path / "predictions.pkl", "rb") as file:
        predictions = pickle.load(file)
    assert len(predictions) == 4
    assert label == ("cat", "dog")[predictions[0]["pred_label"].item()]
    x0, y0, x1, y1 = map(float, box.split(","))
    assert 0 <= x0 < x1 <= 120 and 0 <= y0 < y1 <= 90
    assert {path.name for path in (tmp_path / "analysis").glob("*/*.png")} == {"0.jpg.png", "1.jpg.png"}

    trained = torch.load(tmp_path / "work_dirs/my_classifier/epoch_1.pth", weights_only=False)["state_dict"]
    start = dict(type="Pretrained", checkpoint="work_dirs/my_classifier/epoch_1.pth", prefix="backbone.")
    assert f"prefix='{start['prefix']}'" in section(README, "Use from mmpretrain")
    deit = "mmwsol::ts-cam/ts-cam_deit-t_cub.py"
    cfg = load_config(deit, {"model.init_cfg": None, "model.backbone.init_cfg": start})
    localizer = MODELS.build(cfg.model)
    localizer.init_weights()
    weights = localizer.backbone.state_dict()
    assert all(torch.equal(value, trained[f"backbone.{name}"]) for name, value in weights.items())


def test_a_method_of_your_own(reader, tmp_path, capsys):
    text = section(OWN_METHOD, "A method of your own")
    code = [code for language, code in blocks(text) if language == "python"]
    assert sum(len(part.splitlines()) for part in code) < 80
    reader.follow(text)
    checkpoint = torch.load(tmp_path / "work_dirs/peak_small-vit_shapes/epoch_2.pth", weights_only=False)
    assert checkpoint["state_dict"]["head.conv.weight"].shape == (10, 128, 3, 3)
    log = capsys.readouterr().out
    assert log.count("loc/gt_known") >= 2  # validation and test


def test_a_method_on_a_cnn(reader, tmp_path, capsys):
    """The run; what the text says of a tuple and of names; the layer in the stage is at work in training alone."""
    reader.follow(section(OWN_METHOD, "On a CNN"))
    checkpoint = torch.load(tmp_path / "work_dirs/erased_resnet18_shapes/epoch_1.pth", weights_only=False)
    assert checkpoint["state_dict"]["head.fc.weight"].shape == (10, 192)
    assert "loc/gt_known" in capsys.readouterr().out

    from my_method.erased_resnet import Erase, ErasedResNet

    network = ErasedResNet(depth=18)
    names = torchvision.models.resnet18().state_dict().keys() - {"fc.weight", "fc.bias"}
    assert network.state_dict().keys() == names
    images = torch.randn(2, 3, 64, 64)
    network.eval()  # mmpretrain's returns nothing
    assert network(images).patch_map.shape == (2, 256 + 512, 4, 4)
    maps = torch.rand(3, 4, 5, 5)
    erase = Erase(rate=1.0)
    assert torch.equal(erase.eval()(maps), maps)
    hidden = (erase.train()(maps) == 0).all(dim=1)
    assert hidden.flatten(1).any(dim=1).all() and not hidden.flatten(1).all(dim=1).any()
    plain = dict(type="mmpretrain.ResNet", depth=18, out_indices=(2, 3))
    assert as_features(MODELS.build(plain)(images)).patch_map.shape[1] == 512  # of a tuple, the last


def test_troubleshooting_names_texts_that_exist():
    """Texts of our own errors are those of the code."""
    rows = re.findall(r"^\| `(.*?)`", section(README, "Troubleshooting"), re.MULTILINE)
    source = "".join(path.read_text() for path in (ROOT / "mmwsol").rglob("*.py"))
    foreign = {
        "No module named 'mmcv._ext'",
        "MMCV==2.2.0 is used but incompatible",
        "operator torchvision::nms does not exist",
        "TypeError: NoneType takes no arguments",
        "ImportError: libGL.so.1",
        "No module named 'pkg_resources'",
        "Weights only load failed",
        "mmengine does not support to load mmwsol config",
        "argument 'input' (position 1) must be Tensor, not NoneType",
        "'NoneType' object has no attribute 'dataset'",
    }
    assert foreign < set(rows)
    for text in set(rows) - foreign:
        pattern = re.sub(r"mmwsol model|ConvCAMHead", "\0", text)  # filled in by the code
        pieces = [piece.strip() for piece in re.split(r"\0|has (?=num)", pattern)]
        assert all(piece in source for piece in pieces if piece), text


@pytest.mark.parametrize("path", [README, *sorted(ROOT.glob("configs/*/*.md"))], ids=lambda path: path.parent.name)
def test_links(path):
    text = path.read_text()
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), target
    anchors = {
        re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", text, re.M)
    }
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        assert anchor in anchors, anchor
    assert "openmmlab.com" not in text  # a host that is gone


def test_every_row_about_strangers_has_tests():
    rows = [line for line in section(README, "Files from strangers").splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 7
    for row in rows:
        named = re.findall(r"`((?:\w+/)?test_\w+\.py)`", row)
        assert named and all((ROOT / "tests" / name).is_file() for name in named), row
