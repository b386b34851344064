"""Two runs never share a work directory by accident."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket

import pytest
from toy import toy_config

from mmwsol.engine.stages import run_stages, stage_configs
from mmwsol.engine.work_dir_lock import LOCK, work_dir_lock

FORK = multiprocessing.get_context("fork")


def hold(folder, pipe):
    with work_dir_lock(folder):
        pipe.send("started")
        pipe.poll(60)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=hold, args=(tmp_path, theirs))
    process.start()
    assert ours.recv() == "started"
    yield process
    ours.send("stop")
    process.join(30)


def stages():
    cfg = toy_config()
    cfg.train_cfg.max_epochs = 1
    return stage_configs(cfg)


def test_a_second_run_is_refused(tmp_path, holder, caplog):
    message = f"is in use by process {holder.pid} of {socket.gethostname()}, since .*--force"
    with pytest.raises(ValueError, match=message):
        run_stages(stages(), tmp_path)
    assert not list(tmp_path.rglob("*.pth"))
    run_stages(stages(), tmp_path, force=True)
    assert (tmp_path / "epoch_1.pth").is_file()


def test_a_killed_run_holds_nothing(tmp_path, holder):
    holder.kill()
    holder.join()
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == holder.pid
    with work_dir_lock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert (tmp_path / LOCK).read_text() == ""


@pytest.mark.parametrize("content", ["", "junk", "[]", "{}", '{"host": 1, "pid": "x", "since": null}'])
def test_a_file_of_junk_is_no_holder(tmp_path, content):
    (tmp_path / LOCK).write_text(content)
    with work_dir_lock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_another_host_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / LOCK).write_text(json.dumps(dict(host="node-7", pid=12, since="2026-01-01T00:00:00")))
    said = []
    monkeypatch.setattr("mmwsol.engine.work_dir_lock.print_log", lambda text, *_: said.append(text))
    with work_dir_lock(tmp_path):
        pass
    assert "process 12 of node-7, since 2026-01-01T00:00:00, has not left" in said[0]
