"""Work directories of earlier runs, of strangers, copied and damaged ones."""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from toy import toy_config

from mmwsol.compat import load_checkpoint_file
from mmwsol.engine.hooks.config_changes import comparable_settings
from mmwsol.engine.old_checkpoints import remove_links
from mmwsol.engine.stage_markers import MARKER, absolute_path, read_marker, relative_path
from mmwsol.engine.stages import run_stages, stage_configs
from mmwsol.engine.work_dir_lock import LOCK, work_dir_lock
from mmwsol.utils.config import differences
from mmwsol.utils.tool_errors import TRACEBACK_VARIABLE, one_line_errors


def plain(**options):
    """The stage of a config without stages; the formatter would take most of the time."""
    cfg = toy_config(default_hooks=dict(resume=dict(type="mmwsol.ResumeHook")))
    cfg.merge_from_dict(options)
    return stage_configs(Config(cfg.to_dict(), format_python_code=False))


def staged(*stages, **options):
    cfg = toy_config(stages=copy.deepcopy(list(stages)), **options)
    return stage_configs(Config(cfg.to_dict(), format_python_code=False))


FIRST = dict(name="first")
MASKS = dict(name="masks", train_cfg=dict(_delete_=True, type="StageToyPreparation"))
LAST = dict(name="last", optim_wrapper=dict(optimizer=dict(lr=0.0)))


def weights(path):
    return load_checkpoint_file(str(path))["state_dict"]["head.weight"]


def test_checkpoints_are_not_trained_over(tmp_path):
    run_stages(plain(), tmp_path)
    before = (tmp_path / "epoch_1.pth").read_bytes()
    changed = {"model.num_classes": 3}
    with pytest.raises(ValueError, match=r"\(epoch_1.pth, last_checkpoint\).*--resume goes on.*--force.*--work-dir"):
        run_stages(plain(**changed), tmp_path)
    assert (tmp_path / "epoch_1.pth").read_bytes() == before
    # the old model is not given out as that of another config
    with pytest.raises(ValueError, match=r"nothing is left to do; changed since: model.num_classes \(unset -> 3\)"):
        run_stages(plain(**changed), tmp_path, resume="auto")
    assert run_stages(plain(), tmp_path, resume="auto")[""] == str(tmp_path / "epoch_1.pth")
    # trained anew, on demand; nothing is deleted
    (tmp_path / "last_validation").write_text("1 2")
    (tmp_path / "best_x_epoch_1.pth").write_bytes(b"best")
    run_stages(plain(**changed), tmp_path, force=True)
    run_stages(plain(), tmp_path, force=True)
    first, second = sorted(tmp_path.glob("before_*"))
    assert (first / "epoch_1.pth").read_bytes() == before
    names = {path.name for path in first.iterdir()}
    assert names == {"epoch_1.pth", "last_checkpoint", "last_validation", "best_x_epoch_1.pth"}
    assert {path.name for path in second.iterdir()} == {"epoch_1.pth", "last_checkpoint"}
    assert not (tmp_path / "best_x_epoch_1.pth").exists()


def test_changed_data_of_an_unfinished_run_is_a_warning(tmp_path, monkeypatch):
    run_stages(plain(), tmp_path)
    said = []
    monkeypatch.setattr(logging.Logger, "warning", lambda self, text, *_: said.append(text))
    longer = {"train_cfg.max_epochs": 2, "train_dataloader.pin_memory": True, "train_dataloader.num_workers": 1}
    longer["default_hooks.stages"] = dict(type="mmwsol.StagesHook")  # configs of earlier versions have none
    assert run_stages(plain(**longer), tmp_path, resume="auto")[""].endswith("epoch_2.pth")
    [warning] = [text for text in said if "changed since" in text]
    assert "changed since: train_dataloader.pin_memory (unset -> true)." in warning


def test_stages_with_checkpoints_are_not_trained_over(tmp_path):
    run_stages(staged(FIRST, LAST), tmp_path)
    (tmp_path / "last" / MARKER).unlink()
    with pytest.raises(ValueError, match=f"{tmp_path}/last has checkpoints of an earlier run"):
        run_stages(staged(FIRST, LAST), tmp_path)
    run_stages(staged(FIRST, LAST), tmp_path, only="first")  # complete: skipped
    shutil.rmtree(tmp_path / "first")
    with pytest.raises(ValueError, match=f"{tmp_path}/last has"):  # before the first one is trained
        run_stages(staged(FIRST, LAST), tmp_path)
    assert not (tmp_path / "first").exists()
    # what lies in the folder of a later stage is older than the one that went on
    run_stages(staged(FIRST, LAST), tmp_path, resume="auto")
    [aside] = (tmp_path / "last").glob("before_*")
    assert (aside / "epoch_1.pth").is_file() and (tmp_path / "last" / MARKER).is_file()


def test_checkpoints_in_another_folder_count(tmp_path):
    hooks = {"default_hooks.checkpoint": dict(type="CheckpointHook", out_dir=str(tmp_path / "out"))}
    run_stages(plain(**hooks), tmp_path / "run")
    (tmp_path / "run/last_checkpoint").unlink()
    with pytest.raises(ValueError, match=f"{tmp_path}/out/run has checkpoints"):
        run_stages(plain(**hooks), tmp_path / "run")


def test_numbers_of_checkpoints_to_remove(tmp_path):
    """mmengine removes 'epoch_<id>.pth', whatever id a checkpoint names."""
    victims = [tmp_path / "precious.pth", tmp_path / "secret.txt"]
    for victim in victims:
        victim.write_text("mine")
    work_dir = tmp_path / "run"
    keep = {"train_cfg.max_epochs": 2, "default_hooks.checkpoint": dict(type="CheckpointHook", max_keep_ckpts=1)}
    run_stages(plain(**{**keep, "train_cfg.max_epochs": 1}), work_dir)
    loaded = torch.load(work_dir / "epoch_1.pth", weights_only=False)
    info = loaded["message_hub"]["runtime_info"]
    (work_dir / "epoch_").mkdir()  # so that the path below exists
    info["keep_ckpt_ids"] = ["/../../precious", True, 1.0, -1, 1]
    info["best_ckpt"], info["last_ckpt"] = str(victims[1]), str(victims[0])
    torch.save(loaded, work_dir / "epoch_1.pth")
    run_stages(plain(**keep), work_dir, resume="auto")
    assert [victim.read_text() for victim in victims] == ["mine", "mine"]
    assert not (work_dir / "secret.txt").exists()
    assert [path.name for path in work_dir.glob("*.pth")] == ["epoch_2.pth"]


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_lock_that_is_no_file(tmp_path, kind):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    work_dir = tmp_path / "run"
    work_dir.mkdir()
    if kind == "link":
        (work_dir / LOCK).symlink_to(victim)
    else:
        os.mkfifo(work_dir / LOCK)
    with pytest.raises(ValueError, match=f"run/{LOCK}' is {'a link' if kind == 'link' else 'no file'}.*remove it"):
        run_stages(plain(), work_dir)
    assert victim.read_text() == "mine"


def test_a_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ValueError, match="file/run' cannot be used: .*Not a directory"),
        work_dir_lock(tmp_path / "file/run"),
    ):
        pass


def test_links_are_not_written_through(tmp_path):
    victims = [tmp_path / "victim", tmp_path / "victim.py"]
    for victim in victims:
        victim.write_text("mine")
    work_dir = tmp_path / "run"
    run_stages(plain(), work_dir)
    (work_dir / "last_checkpoint").unlink()
    (work_dir / "last_checkpoint").symlink_to(victims[0])
    (work_dir / "toy.py").symlink_to(victims[1])
    cfg = plain(**{"train_cfg.max_epochs": 2})[0].cfg
    (tmp_path / "toy.py").write_text("")
    stages = stage_configs(Config(cfg.to_dict(), filename=str(tmp_path / "toy.py"), format_python_code=False))
    run_stages(stages, work_dir, resume="auto")
    assert [victim.read_text() for victim in victims] == ["mine", "mine"]
    assert (work_dir / "toy.py").is_file() and not (work_dir / "toy.py").is_symlink()
    assert (work_dir / "last_checkpoint").read_text() == str(work_dir / "epoch_2.pth")
    remove_links(Config(dict(model=1)))  # no work_dir


def test_copies_start_from_their_own_files(tmp_path):
    """A stage that trains nothing hands on a checkpoint in the folder of the stage before it."""
    stages = staged(FIRST, MASKS, LAST)
    run_stages(stages, tmp_path / "a")
    marker = json.loads((tmp_path / "a/masks" / MARKER).read_text())
    assert marker["last"] == "../first/epoch_1.pth"
    for kind in ("new", "old"):
        copied = tmp_path / kind
        shutil.copytree(tmp_path / "a", copied)
        shutil.rmtree(copied / "last")
        if kind == "old":  # as it was written before
            marker["last"] = str(tmp_path / "a/first/epoch_1.pth")
            (copied / "masks" / MARKER).write_text(json.dumps(marker))
        changed = torch.load(copied / "first/epoch_1.pth", weights_only=False)
        changed["state_dict"]["head.weight"].fill_(7)
        torch.save(changed, copied / "first/epoch_1.pth")
    shutil.rmtree(tmp_path / "a")
    for kind in ("new", "old"):
        done = run_stages(stages, tmp_path / kind, resume="auto")
        assert done["masks"] == str(tmp_path / kind / "first/epoch_1.pth")
        assert (weights(done["last"]) == 7).all()  # lr=0
    assert absolute_path(tmp_path / "new/masks", "/elsewhere/w.pth") == "/elsewhere/w.pth"
    assert relative_path(tmp_path / "new/masks", "/elsewhere/w.pth") == "/elsewhere/w.pth"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b'{"id": ', "it is no JSON"),
        (b"\xff\xfe\xfa", "it is no JSON"),
        (b"[" * 100000, "it is no JSON"),
        (b"[]", "it holds no object"),
        (b'{"id": "x"}', "it has no stage, previous_id, last, best, config"),
        (b'{"stage": 1, "id": 1, "previous_id": 1, "last": 1, "best": 1, "config": {}}', "something else"),
    ],
)
def test_damaged_markers_are_named(tmp_path, content, words):
    (tmp_path / MARKER).write_bytes(content)
    with pytest.raises(ValueError, match=f"{MARKER}' is damaged: .*{words}.* Delete it, and --resume"):
        read_marker(tmp_path)


def test_errors_of_tools_are_one_line(tmp_path, monkeypatch):
    def fail(error):
        with one_line_errors():
            raise error

    cfg = plain(**{"train_dataloader.batch_size": 5, "train_dataloader.drop_last": True})
    message = "dataset has 4 images, fewer than one batch of 5, and train_dataloader.drop_last=True"
    with pytest.raises(SystemExit, match=f"^ValueError: train_dataloader.{message}") as stopped, one_line_errors():
        run_stages(cfg, tmp_path)
    assert "\n" not in str(stopped.value.code)
    [log] = tmp_path.rglob("*.log")
    assert "Traceback" in log.read_text() and message in log.read_text()
    with pytest.raises(SystemExit, match="^FileNotFoundError: gone"):
        fail(FileNotFoundError("gone"))
    with pytest.raises(KeyError):  # of the program, not of its user
        fail(KeyError("x"))
    monkeypatch.setenv(TRACEBACK_VARIABLE, "1")
    with pytest.raises(ValueError, match="bad"):
        fail(ValueError("bad"))


def test_tools_say_one_line(tool, tmp_path):
    config = tmp_path / "c.py"
    config.write_text("train_cfg = dict(max_epochs=1)\n")
    Path("file").write_text("")
    with pytest.raises(SystemExit, match=r"^ValueError: work directory 'file/run' cannot be used"):
        tool("train.py", config, "--work-dir", "file/run")


def test_paths_of_a_moved_work_directory_are_the_same_settings():
    def text(work_dir, size):
        dataset = dict(mask_root=f"{work_dir}/masks/cache", size=size)
        cfg = dict(work_dir=f"{work_dir}/last", train_dataloader=dict(dataset=dataset, batch_size=size))
        return Config(cfg, format_python_code=False).pretty_text

    before, after = comparable_settings(text("/a/wd", 1), text("/b/copy", 2))
    assert differences(before, after) == ["train_dataloader.dataset.size (1 -> 2)"]
