"""The command ``mmwsol``, the comparison of methods and the export, from the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmwsol.__main__ import main
from mmwsol.datasets import Shapes
from mmwsol.engine.stages import stage_configs


@pytest.fixture(scope="module")
def trained(tiny_config, tmp_path_factory):
    """Write two checkpoints of the tiny config, with its config in them, and render its pictures."""
    init_default_scope("mmpretrain")
    cfg = stage_configs(Config.fromfile(tiny_config))[-1].cfg
    folder = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = MODELS.build(cfg.model)
        model.init_weights()
        meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=Shapes.METAINFO["classes"]))
        torch.save(dict(meta=meta, message_hub={}, state_dict=model.state_dict()), folder / f"epoch_{seed}.pth")
    data = Shapes(data_root=cfg.data_root, split="val", num_images=7, image_size=32)
    return folder, [data.get_data_info(index) for index in range(3)]


def test_infer(trained, tmp_path, capsys):
    folder, items = trained
    paths = [item["img_path"] for item in items]
    checkpoint = str(folder / "epoch_0.pth")
    assert main(["infer", *paths, "--weights", checkpoint, "--out-dir", str(tmp_path / "out"), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    records = json.loads((tmp_path / "out/predictions.json").read_text())["predictions"]
    assert [record["img_path"] for record in records] == paths
    for record in records:
        box = " ".join(f"{value:.0f}" for value in record["bboxes"][0])
        score = record["pred_score"]["scores"][0]
        assert f"{record['img_path']}: {record['pred_class']} {score:.2f}, box {box}" in lines
    assert f"3 pictures and predictions.json are in {tmp_path / 'out'}." in lines
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 3

    assert main(["infer", "gone.jpg", "--weights", checkpoint]) == 1
    assert "none of 1 image(s) gave a prediction" in capsys.readouterr().err


def test_list(capsys):
    assert main(["list", "*small-vit_shapes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "data", "GT-known:", "paper", "ours", "weights"]
    assert ["ts-cam_small-vit_shapes", "Shapes", "-", "80.8", "-"] in [line.split() for line in lines]
    assert main(["list", "gradcam*"]) == 1
    assert "no model is called 'gradcam*'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["fly"])


def test_list_into_a_closed_pipe():
    command = "import sys; from mmwsol.__main__ import main; input(); sys.exit(main(['list']))"
    with subprocess.Popen(
        [sys.executable, "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.close()
        process.stdin.write("\n")
        process.stdin.close()
        errors = process.stderr.read()
    assert process.returncode == 0 and not errors


def test_compare_methods(tiny_config, trained, tool, tmp_path, capsys):
    """Images of the test set get their boxes; others do not."""
    folder, items = trained
    models = [tiny_config, folder / "epoch_0.pth", tiny_config, folder / "epoch_1.pth"]
    paths = [item["img_path"] for item in items]
    script = "visualization/compare_methods.py"
    tool(script, *models, *paths, "--out", "new/sheet.png", "--width", 120, "--device", "cpu")
    shown = capsys.readouterr().out
    assert "3 images, 2 models: new/sheet.png" in shown and "spread evenly" not in shown
    assert "ground-truth" not in shown
    sheet = cv2.imread(str(tmp_path / "new/sheet.png"))
    assert sheet.shape == (22 + 3 * 124, 3 * 124 + 4, 3)
    green, red = ((sheet == color).all(-1) for color in ((80, 220, 60), (40, 40, 240)))
    columns = [slice(4 + i * 124, 124 + i * 124) for i in range(3)]
    assert all(green[:, column].any() for column in columns)
    assert not red[:, columns[0]].any() and all(red[:, column].any() for column in columns[1:])
    x0, y0, x1, y1 = (items[0]["gt_bboxes_ori"][0] * 120 / 32).round().astype(int)
    inside = green[22:142, columns[0]]
    assert np.argwhere(inside).min(0).tolist() == pytest.approx([y0, x0], abs=2)
    assert np.argwhere(inside).max(0).tolist() == pytest.approx([y1, x1], abs=2)

    shutil.copy(paths[0], tmp_path / "other.png")
    tool(script, *models[:2], "other.png", "--out", "other.png.png", "--names", "mine", "--target", "pred")
    note = (
        f"1 of 1 images have no ground-truth boxes in the test set of {tiny_config}: none are drawn there, and no IoU."
    )
    assert note in capsys.readouterr().out
    tool(script, *models[:2], *paths, "--number", 2, "--out", "two.png")
    assert "These are 2 of 3 images, spread evenly; --number -1 draws all." in capsys.readouterr().out
    other = cv2.imread(str(tmp_path / "other.png.png"))
    assert not (other == (80, 220, 60)).all(-1).any()


def test_compare_methods_looks_for_ground_truth(tiny_config, trained, tool, tmp_path, capsys):
    """In the validation set if there is no test set, inside wrappers, and without rendering anything."""
    folder, items = trained
    script = "visualization/compare_methods.py"
    config = tmp_path / "val.py"
    config.write_text(
        f"_base_ = {str(tiny_config)!r}\ntest_dataloader = test_cfg = test_evaluator = None\n"
        "wrapped = dict(_delete_=True, type='RepeatDataset', times=2, dataset={{_base_.val_dataloader.dataset}})\n"
        "val_dataloader = dict(dataset=wrapped)\n"
    )
    checkpoint = folder / "epoch_0.pth"
    tool(script, config, checkpoint, items[0]["img_path"], "--out", "val.png", "--device", "cpu")
    assert (cv2.imread(str(tmp_path / "val.png")) == (80, 220, 60)).all(-1).any()

    config.write_text(tiny_config.read_text().replace(repr(str(tiny_config.parent / "shapes")), "'nowhere'"))
    tool(script, config, checkpoint, items[0]["img_path"], "--out", "none.png", "--device", "cpu")
    shown = capsys.readouterr().out
    assert "no ground truth: 'nowhere" in shown and "1 images, 1 models: none.png" in shown
    assert not (tmp_path / "nowhere").exists()

    with pytest.raises(SystemExit):
        tool(script, config, checkpoint, items[0]["img_path"], "--out", "sheet")
    assert "--out must end in .png, .jpg, .jpeg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["a.jpg"], "give CONFIG CHECKPOINT first; a checkpoint ends in .pth"),
        (["CONFIG", "CHECKPOINT"], "give IMAGES after the models"),
        (["CONFIG", "CHECKPOINT", "a.jpg", "--names", "A", "B"], "--names has 2 titles for 1 models"),
        (["CONFIG", "CHECKPOINT", "gone.jpg"], "gone.jpg"),
        (["no_config", "CHECKPOINT", "a.jpg"], "config 'no_config' is neither"),
    ],
)
def test_compare_errors(tiny_config, trained, tool, arguments, text):
    known = {"CONFIG": tiny_config, "CHECKPOINT": trained[0] / "epoch_0.pth"}
    with pytest.raises(SystemExit) as stopped:
        tool("visualization/compare_methods.py", *(known.get(word, word) for word in arguments))
    assert text in str(stopped.value.code)


def test_export(tiny_config, trained, tool, tmp_path, capsys, monkeypatch):
    from mmwsol.apis import load_exported

    checkpoint = trained[0] / "epoch_0.pth"
    tool("deployment/export.py", tiny_config, checkpoint, "--format", "torch", "--out", "new/model.pt2")
    assert "images (batch, 3, 32, 32) to scores, maps and labels; largest difference" in capsys.readouterr().out
    scores, maps, labels = load_exported(tmp_path / "new/model.pt2")(torch.rand(4, 3, 32, 32))
    assert scores.shape == (4, 10) and maps.shape == (4, 5, 4, 4) and labels.shape == (4, 5)
    assert json.loads((tmp_path / "new/model.json").read_text())["classes"] == list(Shapes.METAINFO["classes"])
    with pytest.raises(SystemExit, match="--out must end in .onnx for --format onnx, got 'model.pt2'"):
        tool("deployment/export.py", tiny_config, checkpoint, "--out", "model.pt2")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SystemExit, match="pip install 'mmwsol"):
        tool("deployment/export.py", tiny_config, checkpoint, "--out", "model.onnx")
