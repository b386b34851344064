"""The walk-throughs of the documentation, executed as they are written, on tiny data."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch

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

    def follow(self, text):
        for language, code in blocks(text):
            if language == "bash":
                for line in code.replace("\\\n", " ").splitlines():
                    self.run(shlex.split(line, comments=True))
            elif language == "python" and (name := re.match(r"# (\S+\.py)\n", code)):
                path = Path(name[1])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(code)
            elif language == "python":
                exec(compile(code, "README.md", "exec"), {})

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


def test_your_own_data_in_five_minutes(reader, tmp_path, monkeypatch, capsys):
    write_data(tmp_path / "data/mine")
    weights = timm.create_model("deit_tiny_patch16_224").state_dict()  # stands in for ImageNet's
    (tmp_path / "weights").mkdir()
    torch.save(dict(model=weights), tmp_path / "weights/deit_tiny_patch16_224-a1311bcf.pth")
    monkeypatch.setenv("MMWSOL_CHECKPOINT_ROOT", str(tmp_path / "weights"))
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


def test_a_method_of_your_own(reader, tmp_path, capsys):
    text = OWN_METHOD.read_text()
    code = [code for language, code in blocks(text) if language == "python"]
    assert sum(len(part.splitlines()) for part in code) < 80
    reader.follow(text)
    checkpoint = torch.load(tmp_path / "work_dirs/peak_small-vit_shapes/epoch_2.pth", weights_only=False)
    assert checkpoint["state_dict"]["head.conv.weight"].shape == (10, 128, 3, 3)
    log = capsys.readouterr().out
    assert log.count("loc/gt_known") >= 2  # validation and test


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
