"""The life of a model through the tools: train, die, resume, test, on one process and on two."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmwsol.compat import load_checkpoint_file
from mmwsol.datasets.shapes import CLASSES

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ROOT / "tools" / "train.py"


def weights(path):
    return load_checkpoint_file(str(path))["state_dict"]


@pytest.fixture(scope="module")
def trained(tiny_config, shell, tmp_path_factory):
    """Train both stages without a break."""
    folder = tmp_path_factory.mktemp("whole")
    shell(sys.executable, TRAIN, tiny_config, "--work-dir", "run", cwd=folder)
    return folder / "run"


def logged(stage_dir):
    """Return the metrics of the last validation in the log."""
    [log] = stage_dir.glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return {k: v for k, v in lines[-1].items() if k.split("/")[0] in ("cls", "loc")}


def test_options_of_parameters_are_in_the_log_file_alone(tiny_config, shell, tmp_path):
    options = "optim_wrapper = dict(paramwise_cfg=dict(flat_decay_mult=0.))"
    (tmp_path / "mine.py").write_text(f"_base_ = [{str(tiny_config)!r}]\n{options}\n")
    run = shell(sys.executable, TRAIN, "mine.py", "--work-dir", "run", "--stage", "warm", cwd=tmp_path)
    [log] = (tmp_path / "run/warm").glob("*/*.log")
    assert log.read_text().count("paramwise_options -- ") >= 20
    assert "paramwise_options" not in run.stdout + run.stderr and "Epoch(train)" in run.stdout


def test_killed_run_resumes_bit_for_bit(trained, tiny_config, shell, tmp_path):
    command = [sys.executable, TRAIN, tiny_config, "--work-dir", "run"]
    # stage 'cam' has 3 iterations per epoch: iteration 4 is in the middle of its second epoch
    killed = shell(*command, cwd=tmp_path, check=False, STOP_AT="cam/4")
    assert killed.returncode == -9
    run = tmp_path / "run"
    assert (run / "warm/stage_complete.json").is_file()
    assert not (run / "cam/stage_complete.json").exists()
    assert (run / "cam/epoch_1.pth").is_file()
    assert not (run / "cam/epoch_2.pth").exists()

    warm = (run / "warm/epoch_1.pth").stat().st_mtime_ns
    resumed = shell(*command, "--resume", cwd=tmp_path)
    assert "Stage 'warm' is complete" in resumed.stdout
    assert "resumed epoch: 1, iter: 3" in resumed.stdout
    assert (run / "warm/epoch_1.pth").stat().st_mtime_ns == warm
    whole, again = weights(trained / "cam/epoch_3.pth"), weights(run / "cam/epoch_3.pth")
    assert whole.keys() == again.keys()
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name
    start = weights(trained / "warm/epoch_1.pth")
    assert any(not torch.equal(value, start[name]) for name, value in whole.items())


def test_one_process_equals_two(trained, tiny_config, shell, tool, tmp_path, capsys):
    """Seven images on two ranks: the sampler repeats one. The metrics also equal those of the training."""
    checkpoint = trained / "cam/epoch_3.pth"
    tool(
        "test.py", tiny_config, checkpoint, "--out", "one.json",
        "--show-dir", "shown", "--show-number", 3, "--cfg-options", "log_level=WARNING",
    )  # fmt: skip
    one = json.loads((tmp_path / "one.json").read_text())
    logs = logged(trained / "cam")
    assert {"cls/top1", "loc/top1", "loc/gt_known", "loc/max_box_acc"} <= one["metrics"].keys()
    for key, value in logs.items():
        assert one["metrics"][key] == pytest.approx(value), key
    assert one["protocol"]["LocAccuracy"]["frame_rule"]
    assert one["classes"] == list(CLASSES)
    assert [p["img_id"] for p in one["predictions"]] == [f"val/{i:05d}.png" for i in range(7)]
    for record in one["predictions"]:
        assert len(record["bboxes"]) == len(record["bbox_labels"]) in (5, 6)
        assert record["pred_score"]["labels"][0] == record["pred_label"]
        for x0, y0, x1, y1 in record["bboxes"]:
            assert 0 <= x0 <= x1 <= 32 and 0 <= y0 <= y1 <= 32
    assert len(list((tmp_path / "shown").glob("*.jpg"))) == 3
    [found] = {tuple(record["img_shape"]) for record in one["predictions"]}
    assert found == (32, 32)
    capsys.readouterr()
    tool("analysis_tools/error_analysis.py", "one.json")
    shown = capsys.readouterr().out
    assert any(f"\n{name} " in shown for name in one["classes"])
    assert "7 images with boxes" in shown and "Note:" not in shown  # the kinds of errors are those of the metrics

    script = ROOT / "tools" / "dist_test.sh"
    shell("bash", script, tiny_config, checkpoint, 2, "--out", "two.json", "--show-dir", "two", cwd=tmp_path)
    two = json.loads((tmp_path / "two.json").read_text())
    assert two["metrics"] == pytest.approx(one["metrics"])
    assert two["protocol"] == one["protocol"]
    assert len(two["predictions"]) == 7
    for a, b in zip(one["predictions"], two["predictions"], strict=True):
        assert a["img_id"] == b["img_id"]
        assert a["bboxes"] == b["bboxes"]
        assert a["pred_score"]["scores"] == pytest.approx(b["pred_score"]["scores"], abs=1e-5)
    assert len(list((tmp_path / "two").glob("*.jpg"))) == 7


def test_a_test_leaves_the_config_of_the_training(trained, tiny_config, tool, tmp_path):
    """Nor does what the command line adds, such as the results file, come back when that config is run."""
    shutil.copytree(trained / "cam", tmp_path / "cam")
    before = (tmp_path / "cam" / tiny_config.name).read_bytes()
    tool("test.py", tiny_config, "cam/epoch_3.pth", "--work-dir", "cam", "--out", "results.json", "--show-dir", "shown",
         "--protocol", "wsol_v1", "--cfg-options", "log_level=WARNING")  # fmt: skip
    assert (tmp_path / "results.json").is_file()
    assert (tmp_path / "cam" / tiny_config.name).read_bytes() == before
    [dumped] = (tmp_path / "cam").glob("2*.py")
    text = dumped.read_text()
    assert "wsol_v1" in text and "DumpHook" not in text and "LocVisualizationHook" not in text


def test_any_protocol_and_its_maps(trained, tiny_config, tool, tmp_path):
    """The maps of a test, scored from files, give its numbers and boxes."""
    checkpoint, protocols = trained / "cam/epoch_3.pth", ["wsol_v1", "wsol_v2", "tscam"]
    quiet = ("--cfg-options", "log_level=WARNING")
    tool("test.py", tiny_config, checkpoint, "--protocol", *protocols, "--threshold", "0.3", "--out", "model.json",
         "--dump-maps", "dump", *quiet)  # fmt: skip
    tool("analysis_tools/eval_maps.py", "dump/maps", "dump/meta", "--scores", "dump/scores.npz",
         "--protocol", *protocols, "--threshold", "0.3", "--out", "maps.json")  # fmt: skip
    with pytest.raises(SystemExit, match=r"frame \(224, 224\) is not that of the maps, \(32, 32\)"):
        tool("analysis_tools/eval_maps.py", "dump/maps", "dump/meta", "--frame", 224)
    model, maps = (json.loads((tmp_path / name).read_text()) for name in ("model.json", "maps.json"))
    assert maps["metrics"]["tscam/gt_known"] > 0 and len(maps["predictions"]) == 7
    assert model["metrics"] == {**maps["metrics"], **{k: model["metrics"][k] for k in ("cls/top1", "cls/top5")}}
    titles = {"MaxBoxAcc": "wsol_v1", "MaxBoxAcc_wsol_v2": "wsol_v2", "LocAccuracy": "tscam"}
    for ours, theirs in zip(model["predictions"], maps["predictions"], strict=True):
        assert {titles[title]: record for title, record in ours["evaluated"].items()} == theirs["evaluated"]
        for name in ("img_id", "frame", "gt_label", "gt_bboxes", "pred_label"):
            assert ours[name] == theirs[name]
    for arguments, message in [
        (["--protocol", "tscam"], "needs threshold"),
        (["--threshold", "0.1"], "--threshold goes with --protocol"),
        (["--protocol", "tscam", "--threshold", "high"], "must be a number, CUB, ILSVRC or 'best', got 'high'"),
    ]:
        with pytest.raises(SystemExit, match=message):
            tool("test.py", tiny_config, checkpoint, *arguments, *quiet)
    with pytest.raises(SystemExit, match="frame_rule 'sat' does not fit the test pipeline"):
        tool("test.py", tiny_config, checkpoint, "--protocol", "sat", "--threshold", "CUB", *quiet)
    with pytest.raises(SystemExit, match="'dump', is not empty"):
        tool("test.py", tiny_config, checkpoint, "--dump-maps", "dump", *quiet)


def test_two_processes_train_both_stages(tiny_config, shell, tmp_path):
    """Several Runners share one process group of gloo; ranks end with the same weights."""
    script = ROOT / "tools" / "dist_train.sh"
    options = ["--cfg-options", "stages.1.train_cfg.max_epochs=1", "--no-validate"]
    done = shell("bash", script, tiny_config, 2, "--work-dir", "run", *options, cwd=tmp_path)
    assert "CPUDistributedDataParallel" not in done.stderr
    for stage in ("warm", "cam"):
        marker = json.loads((tmp_path / "run" / stage / "stage_complete.json").read_text())
        assert marker["last"] == "epoch_1.pth"
    assert "Epoch(train) [1][2/2]" in done.stdout + done.stderr  # 12 images, 2 ranks x 4
    config = (tmp_path / "run/cam/tiny_shapes.py").read_text()
    assert "gloo" in config and "mmwsol.CPUDistributedDataParallel" in config


def test_dry_run(tiny_config, tool, tmp_path, capsys):
    tool("train.py", tiny_config, "--dry-run", "--auto-scale-lr", "--cfg-options",
         "auto_scale_lr.base_batch_size=8", "log_level=WARNING")  # fmt: skip
    text = capsys.readouterr().out
    for part in (
        "Dry run of stage 'warm' passed:",
        "Dry run of stage 'cam' passed:",
        "model: ImageLocalizer",
        "train: 12 images, 3 iterations per epoch",
        "one training iteration: loss",
        "one validation iteration: cls/top1",
        "test: 7 images, Accuracy, LocAccuracy, MaxBoxAcc",
        "EpochSeedHook",
    ):
        assert part in text
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SystemExit, match="has 10 classes, but ConvCAMHead has num_classes=200"):
        tool("train.py", tiny_config, "--dry-run", "--cfg-options", "model.head.num_classes=200")


def test_tta(tiny_config, trained, tool, tmp_path):
    pipeline = (
        "tta_pipeline=[dict(type='mmwsol.LoadImage'),dict(type='mmwsol.Resize',scale=(48,48)),"
        "dict(type='mmwsol.PackLocInputs')]"
    )
    checkpoint = trained / "cam/epoch_3.pth"
    config = tmp_path / "tta.py"
    config.write_text(f"_base_ = {str(tiny_config)!r}\n{pipeline}\n")
    scores = []
    for flags in ([], ["--tta"]):
        tool("test.py", config, checkpoint, "--out", "results.pkl", *flags)
        results = pickle.loads((tmp_path / "results.pkl").read_bytes())
        scores.append([p["pred_score"]["scores"] for p in results["predictions"]])
    assert scores[0] != scores[1]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["CONFIG", "--stage", "cma"], ["no such stage", "warm, cam"]),
        (["CONFIG", "--amp"], ["--amp needs a GPU"]),
        (["CONFIG", "--auto-scale-lr"], ["base_batch_size"]),
        (["ts-cam_deit-z_cub"], ["ts-cam_deit-z_cub", "nearest", "ts-cam_deit-b_cub"]),
        (["no/such/config.py"], ["no/such/config.py"]),
    ],
)
def test_train_errors(tiny_config, tool, arguments, parts):
    if "--amp" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    arguments = [tiny_config if a == "CONFIG" else a for a in arguments]
    with pytest.raises(SystemExit) as stopped:
        tool("train.py", *arguments)
    for part in parts:
        assert part in str(stopped.value.code)


def test_test_errors(tiny_config, tool, tmp_path):
    def error(*arguments):
        with pytest.raises(SystemExit) as stopped:
            tool("test.py", tiny_config, *arguments)
        return str(stopped.value.code)

    assert "checkpoint 'gone.pth' does not exist" in error("gone.pth")
    (tmp_path / "empty.pth").touch()
    assert "no tta_pipeline" in error("empty.pth", "--tta")
    assert "must end in .json or .pkl, got 'a.txt'" in error("empty.pth", "--out", "a.txt")
    assert "no test_cfg" in error("empty.pth", "--cfg-options", "test_cfg=None")


def test_checkpoint_of_another_stage_is_refused(tiny_config, trained, tool, tmp_path):
    """mmengine's Runner leaves what a checkpoint lacks random, and gives metrics all the same."""
    checkpoint = load_checkpoint_file(str(trained / "cam/epoch_3.pth"))
    for name in [name for name in checkpoint["state_dict"] if name.startswith("head.")]:
        del checkpoint["state_dict"][name]
    torch.save(checkpoint, tmp_path / "pretrain.pth")
    with pytest.raises(SystemExit, match=r"lacks 2 tensors of the model, such as head\.conv\.weight, .*--stage NAME"):
        tool("test.py", tiny_config, "pretrain.pth", "--out", "results.json")
    assert not (tmp_path / "results.json").exists()
    # what the model has not is no obstacle
    checkpoint["state_dict"] = {f"module.{k}": v for k, v in weights(trained / "cam/epoch_3.pth").items()}
    checkpoint["state_dict"]["unused"] = torch.zeros(1)
    torch.save(checkpoint, tmp_path / "more.pth")
    tool("test.py", tiny_config, "more.pth", "--out", "results.json")
    assert (tmp_path / "results.json").is_file()


@pytest.mark.parametrize("stage", [[], ["--stage", "warm"]])
def test_no_validate_before_a_stage_that_starts_from_the_best(tiny_config, tool, tmp_path, stage):
    hook = "default_hooks.checkpoint."
    best = ["--cfg-options", "stages.1.init_from=best", f"{hook}type=CheckpointHook", f"{hook}save_best=loc/gt_known"]
    with pytest.raises(SystemExit, match=r"'cam' starts from the best .* 'warm', .*stages\.1\.init_from=last"):
        tool("train.py", tiny_config, "--work-dir", "run", "--no-validate", *stage, *best)
    assert not (tmp_path / "run").exists()
    best[1] = "stages.1.init_from=last"  # what the message proposes
    tool("train.py", tiny_config, "--dry-run", "--no-validate", *stage, *best)


def test_print_config_into_a_closed_pipe(tiny_config, shell, tmp_path):
    script = ROOT / "tools/misc/print_config.py"
    pipe = f"{sys.executable} {script} {tiny_config} | true; exit ${{PIPESTATUS[0]}}"
    done = shell("bash", "-c", pipe, cwd=tmp_path, check=False)
    assert done.returncode == 0 and not done.stderr


def test_browse_the_originals_of_a_wrapped_data_set(tiny_config, tool, tmp_path, capsys):
    config = tmp_path / "few.py"
    config.write_text(
        f"_base_ = {str(tiny_config)!r}\n"
        "few = dict(\n"
        "    type='mmwsol.Shapes', data_root={{_base_.data_root}}, split='train', num_images=60, image_size=32,\n"
        "    pipeline={{_base_.train_pipeline}}, k_shot=1)\n"
        "dataset = dict(_delete_=True, type='RepeatDataset', times=1, dataset=few)\n"
        "repeated = dict(_delete_=True, type='RepeatDataset', times=2, dataset={{_base_.val_dataloader.dataset}})\n"
        "train_dataloader = dict(dataset=dataset)\n"
        "val_dataloader = dict(dataset=repeated)\n"
    )
    for split, total in (("train", 10), ("val", 14)):
        tool(
            "visualization/browse_dataset.py", config, "--split", split, "--mode", "original",
            "--number", 2, "--output-dir", split,
        )  # fmt: skip
        assert f"2 of {total} images are drawn in {split}" in capsys.readouterr().out


def test_print_config_and_browse(tiny_config, tool, tmp_path, capsys):
    tool("misc/print_config.py", tiny_config, "--stage", "cam", "--cfg-options", "randomness.seed=7")
    text = capsys.readouterr().out
    assert "max_epochs=3" in text and "seed=7" in text and "stages" not in text
    for mode in ("original", "transformed"):
        tool(
            "visualization/browse_dataset.py", tiny_config, "--split", "val", "--number", 4,
            "--mode", mode, "--output-dir", mode,
        )  # fmt: skip
        names = sorted(p.name for p in (tmp_path / mode).iterdir())
        assert len(names) == 4 and names[0] == "000000_val_00000.jpg"
    shown = capsys.readouterr().out
    assert "4 of 7 images are drawn in transformed" in shown and "neither boxes nor masks" not in shown


def test_browse_counts_images_without_truth(tiny_config, tool, tmp_path, capsys):
    write_photographs(tmp_path / "photos")
    config = tmp_path / "photos.py"
    config.write_text(
        f"_base_ = {str(tiny_config)!r}\n"
        f"photos = dict(_delete_=True, type='mmwsol.LocListDataset', data_root={str(tmp_path / 'photos')!r},\n"
        "    metainfo=dict(classes=['a', 'b']), pipeline={{_base_.test_pipeline}})\n"
        "val_dataloader = dict(dataset=photos)\n"
    )
    for mode in ("original", "transformed"):
        tool("visualization/browse_dataset.py", config, "--split", "val", "--mode", mode, "--output-dir", mode)
        assert "3 of them have neither boxes nor masks in the data set." in capsys.readouterr().out


def write_photographs(folder):
    """Three pictures in folders of their classes, no boxes."""
    for name in ("a/0.png", "a/1.png", "b/0.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((32, 32, 3), 90, np.uint8))
