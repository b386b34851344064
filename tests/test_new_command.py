"""The command ``mmwsol new``: what it says, and an end from a folder to results."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import timm
import torch
from own_data import table, write_images, write_split

from mmwsol.__main__ import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mmwsol"])
    return tmp_path


def test_it_says_what_it_found_and_what_is_next(here, capsys):
    paths = write_split(here / "my cats")
    (here / "my cats" / "boxes.csv").write_text("path,split,label,x0,y0,x1,y1\n" + table(paths, "val"))
    assert main(["new", "my cats", "--method", "cam", "--backbone", "test_resnet"]) == 0
    shown = capsys.readouterr().out
    for line in (
        "2 classes, training images of each:\n  cat: 3\n  dog: 3\n",
        "train: 6 images, no boxes\n",
        "val: 4 images, 4 boxes, boxes in boxes.csv\n",
        "smallest image: 120x90 pixels, ",
        "largest image: 120x90 pixels, ",
        "Written: cam_my-cats.py.\n",
        "  mmwsol browse cam_my-cats.py --split test ",
        "  mmwsol train cam_my-cats.py\n",
    ):
        assert line in shown
    first = Path("cam_my-cats.py").read_text().splitlines()[0]
    assert first.endswith("mmwsol new 'my cats' --method cam --backbone test_resnet")
    written = Path("cam_my-cats.py").read_bytes()
    Path("cam_my-cats.py").unlink()
    assert main(shlex.split(first.partition(": ")[2])[1:]) == 0  # the command in it writes it again
    assert Path("cam_my-cats.py").read_bytes() == written


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["data", "--method", "sam"],
            "--method 'sam' is none of cam, ts-cam, trt, sat, catr, cdtr, lctr, locloc, dips",
        ),
        (["data", "--method", "sat", "--backbone", "resnet50"], "it can use deit-tiny, deit-small"),
        (["data", "--method", "cam", "--backbone", "resnet5"], "neither one of"),
        (["data", "--method", "cam", "--out", "mine.yaml"], "must end in .py"),
        (["nowhere", "--method", "cam"], "folder 'nowhere' does not exist"),
    ],
)
def test_errors_in_a_line(here, capsys, words, message):
    write_images(here / "data", 5)
    assert main(["new", *words]) == 1
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not list(here.glob("*.py"))


def test_existing_config(here, capsys):
    write_images(here / "data", 5)
    words = ["new", "data", "--method", "cam", "--backbone", "test_resnet", "--out", "mine.py"]
    Path("mine.py").write_text("mine")
    assert main(words) == 1
    assert "--force" in capsys.readouterr().err and Path("mine.py").read_text() == "mine"
    assert main([*words, "--force"]) == 0
    assert "(held out)" in capsys.readouterr().out


@pytest.mark.parametrize("boxes", [[], ["--boxes", "none"]])
def test_from_a_folder_without_splits_to_results(here, monkeypatch, capsys, boxes):
    """Boxes of some images; trained, tested and used by the command's own next steps; or without boxes."""
    write_images(here / "data", 6)
    rows = table([f"{name}/{index}.jpg" for name in ("cat", "dog") for index in range(2)]).replace(",,", ",")
    for name in ("cat", "dog"):
        rows = rows.replace(",data,", f",{name},")
    (here / "data" / "boxes.csv").write_text("path,label,x0,y0,x1,y1\n" + rows)
    (here / "weights").mkdir()
    monkeypatch.setenv("MMWSOL_CHECKPOINT_ROOT", str(here / "weights"))
    torch.save(timm.create_model("test_resnet").state_dict(), here / "weights/test_resnet.pth")
    assert main(["new", "data", "--method", "cam", "--backbone", "test_resnet", "--out", "run/mine.py", *boxes]) == 0
    steps = [shlex.split(line, comments=True) for line in capsys.readouterr().out.partition("Next:\n")[2].splitlines()]
    assert [step[1] for step in steps] == ["browse", "train", "train", "test", "infer"]
    small = ["--cfg-options", "train_cfg.max_epochs=1", "train_dataloader.num_workers=0"]
    for step in steps:
        kept = "epoch_*.pth" if boxes else "best_*.pth"
        [weights] = Path("work_dirs/mine").glob(kept) if step[1] in ("test", "infer") else [""]
        words = [{"PHOTOS": "data/cat"}.get(word, word) for word in step[1:]]
        words = [str(weights) if word == f"work_dirs/mine/{kept}" else word for word in words]
        assert main([*words, *(small if step[1] == "train" else [])]) == 0
    assert ("loc/gt_known" in json.loads(Path("results.json").read_text())["metrics"]) == (not boxes)
    assert bool(list(Path("work_dirs/mine").glob("best_*.pth"))) == (not boxes)
    found = json.loads(Path("found/predictions.json").read_text())["predictions"]
    assert len(found) == 6
    assert all(torch.tensor(record["bboxes"]).numel() for record in found)
