"""The README's commands in empty folders, with the wheel and nothing else of this checkout."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch

from mmwsol.datasets.shapes import render

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMAND = re.compile(r"(python -m )?mmwsol ")
# Commands that are not run here, and why.
NOT_RUN = {
    r"(MMCV_WITH_OPS=1 )?pip install ": "installs packages",
    r"(curl|git clone) ": "downloads",
    r"python tools/|tools/\w+\.sh ": "a tool of a checkout; the wheel has it as mmwsol train, test, ...",
    r"python \$MMPRETRAIN/|MMPRETRAIN=": "a program of mmpretrain, which test_readme.py runs",
}
# One process for all commands of a section: importing torch takes longer than most of them.
RUN = """
import json, sys
from pathlib import Path
import mmwsol.__main__ as command
site, lines = Path(sys.argv[1]), json.loads(sys.argv[2])
assert Path(command.__file__).is_relative_to(site), command.__file__
for words in lines:
    print('$', *words, flush=True)
    assert not command.main(words), words
"""
MY_DATA = """_base_ = ['mmwsol::ts-cam/ts-cam_small-vit_tiny-imagenet-20.py']
mine = dict(
    _delete_=True, type='mmwsol.LocListDataset', data_root='data/mine', metainfo=dict(classes=['cat', 'dog']),
    pipeline={{_base_.test_pipeline}})
stages = None
model = dict(head=dict(num_classes=2))
total_batch_size = 2
train_cfg = dict(max_epochs=1)
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(data_prefix='train', **mine))
val_dataloader = val_cfg = val_evaluator = None
"""


def sections():
    """Yield the heading and the commands of every section that has commands."""
    for part in re.split(r"^(?=#+ )", re.sub(r"(?m)^#(?= .*\.py\b)", "", README), flags=re.MULTILINE):
        code = "".join(re.findall(r"^```bash\n(.*?)^```$", part, re.DOTALL | re.MULTILINE))
        lines = [line for line in code.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
        if lines:
            yield part.splitlines()[0].strip("# "), lines


SECTIONS = {title: [line for line in lines if COMMAND.match(line)] for title, lines in sections()}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the wheel and unpack it, as an installer does."""
    folder = tmp_path_factory.mktemp("dist")
    build = ["uv", "build", "--quiet"] if shutil.which("uv") else [sys.executable, "-m", "build"]
    subprocess.run(
        [*build, "--wheel", "--out-dir" if build[0] == "uv" else "--outdir", str(folder), str(ROOT)], check=True
    )
    [wheel] = folder.glob("*.whl")
    unpacked = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    return unpacked


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The folder of weights that are not downloaded: stand-ins for ImageNet's."""
    folder = tmp_path_factory.mktemp("weights")
    state = timm.create_model("deit_tiny_patch16_224").state_dict()
    torch.save(dict(model=state), folder / "deit_tiny_patch16_224-a1311bcf.pth")
    return folder


@pytest.fixture(scope="module")
def run(site, weights):
    """Run a Python program in a folder, with the wheel before everything else on the path."""

    def run(folder, *arguments):
        environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
        environment["MMWSOL_CHECKPOINT_ROOT"] = str(weights)
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    return run


@pytest.fixture(scope="module")
def checkpoint(run, tmp_path_factory):
    """A localizer of 'data/mine', trained with the wheel."""
    folder = tmp_path_factory.mktemp("trained")
    write_pictures(folder / "data/mine/train/cat", 2)
    write_pictures(folder / "data/mine/train/dog", 2)
    (folder / "my_data.py").write_text(MY_DATA)
    run(folder, "-m", "mmwsol", "train", "my_data.py")
    return folder / "work_dirs/my_data/epoch_1.pth"


def write_pictures(folder, number):
    folder.mkdir(parents=True)
    for index in range(number):
        picture = cv2.resize(render(index, "wheel", 64)[0], (96, 80))
        cv2.imwrite(str(folder / f"{index}.jpg"), np.ascontiguousarray(picture))


@pytest.mark.parametrize("title", [title for title, lines in SECTIONS.items() if lines])
def test_commands_in_an_empty_folder(title, run, site, checkpoint, tmp_path):
    """Pictures, data and a checkpoint of their names are there, and nothing else."""
    write_pictures(tmp_path / "photos", 3)
    shutil.copy(tmp_path / "photos/0.jpg", tmp_path / "photo.jpg")
    for name in ("train/cat", "train/dog", "val/cat", "val/dog"):
        write_pictures(tmp_path / "data/mine" / name, 2)
    lines = [shlex.split(COMMAND.sub("", line, count=1), comments=True) for line in SECTIONS[title]]
    trains = any(words[0] == "train" for words in lines)
    for name in {word for words in lines for word in words if word.startswith("work_dirs/my_data/") and not trains}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkpoint, tmp_path / name)
    shown = run(tmp_path, "-c", RUN, str(site), json.dumps(lines))
    assert shown.count("\n$ ") + 1 == len(lines)
    if any(words[0] == "infer" for words in lines):
        assert json.loads((tmp_path / "found/predictions.json").read_text())["predictions"]
    if any("voc" in words for words in lines):
        labels = ("coco.json", "coco.classes.txt", "yolo/classes.txt", "voc/0.xml", "labels.csv", "review.csv")
        assert all((tmp_path / "found" / name).is_file() for name in labels)


def test_every_other_command_has_a_reason():
    for title, lines in sections():
        for line in lines:
            if not COMMAND.match(line):
                assert any(re.match(pattern, line) for pattern in NOT_RUN), (title, line)
    assert sum(map(len, SECTIONS.values())) >= 6


def test_the_command_is_installed(site, run, tmp_path):
    """The wheel's entry point is the program that the README calls 'mmwsol'."""
    [metadata] = site.glob("mmwsol-*.dist-info")
    [entry] = importlib.metadata.Distribution.at(metadata).entry_points
    assert (entry.group, entry.name) == ("console_scripts", "mmwsol")
    script = f"import sys; from {entry.module} import {entry.attr}; sys.exit({entry.attr}(['list', 'trt*']))"
    assert "trt_deit-b_cub" in run(tmp_path, "-c", script)
