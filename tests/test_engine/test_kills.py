"""Staged runs that are killed at any point and resumed end with the weights of the uninterrupted run."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio.backends import LocalBackend
from mmengine.logging import HistoryBuffer
from mmengine.registry import METRICS
from toy import StageToyMetric, toy_config

from mmwsol.compat import load_checkpoint_file
from mmwsol.engine.last_checkpoint import drop_optimizer, latest_checkpoint
from mmwsol.engine.stage_markers import MARKER
from mmwsol.engine.stages import run_stages, stage_configs

EPOCHS = 3
KILLS = 30


@METRICS.register_module(force=True)
class KillToyMetric(StageToyMetric):
    """The mean of the outputs: grows, as a rule."""

    def process(self, data_batch, data_samples):
        self.results.extend(float(sample) for sample in data_samples)

    def compute_metrics(self, results):
        return dict(acc=sum(results) / len(results))


def stages(keep=1):
    hook = dict(type="CheckpointHook", interval=1, save_best="toy/acc", rule="greater", max_keep_ckpts=keep)
    safety = dict(resume=dict(type="mmwsol.ResumeHook"), safe_checkpoint=dict(type="mmwsol.SafeCheckpointHook"))
    cfg = toy_config(
        stages=[
            dict(name="first", default_hooks=dict(checkpoint=hook, **safety)),
            dict(name="second", init_from="best", default_hooks=dict(checkpoint=hook, **safety)),
        ]
    )
    cfg.val_evaluator = dict(type="KillToyMetric")
    cfg.train_cfg.max_epochs = EPOCHS
    unformatted = Config(cfg.to_dict(), format_python_code=False)  # the formatter would take most of the time
    return stage_configs(unformatted)


def results(work_dir):
    """The weights of the last and best checkpoints, and which epochs they are of."""
    found = {}
    for stage in ("first", "second"):
        marker = json.loads((work_dir / stage / MARKER).read_text())
        for kind in ("last", "best"):
            loaded = load_checkpoint_file(str(work_dir / stage / marker[kind]))
            found[stage, kind] = (marker[kind], loaded["meta"]["epoch"], loaded["state_dict"])
    return found


def assert_equal(found, expected):
    for place, (name, epoch, weights) in expected.items():
        assert found[place][:2] == (name, epoch), place
        assert all(torch.equal(value, found[place][2][key]) for key, value in weights.items()), place


class Killed(BaseException):
    """Stands in for SIGKILL: nothing catches it, and no further file is written."""


class Points:
    """Counts the moments at which a kill may fall, and kills at one of them."""

    def __init__(self, monkeypatch):
        self.count, self.at, self.dead = 0, None, False
        for owner, name in ((torch.optim.SGD, "step"), (KillToyMetric, "process"), (KillToyMetric, "compute_metrics")):
            self._watch(monkeypatch, owner, name)
        for owner, name in ((Path, "unlink"), (Path, "write_bytes"), (os, "replace"), (os, "remove")):
            self._watch(monkeypatch, owner, name)
        self._watch(monkeypatch, LocalBackend, "put")
        self._watch(monkeypatch, Path, "write_text")

    def _watch(self, monkeypatch, owner, name):
        original = getattr(owner, name)

        def watched(*args, **kwargs):
            if self.dead:
                raise Killed
            self.count += 1
            if self.count == self.at:
                self.dead = True
                if name == "write_bytes":
                    original(args[0], args[1][: len(args[1]) // 2])  # half a file is left
                raise Killed
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    def start(self, at=None):
        HistoryBuffer._statistics_methods.clear()  # as in a new process
        self.count, self.at, self.dead = 0, at, False


def test_kills_at_random_points(tmp_path, monkeypatch):
    points = Points(monkeypatch)
    points.start()
    run_stages(stages(), tmp_path / "whole")
    total, expected = points.count, results(tmp_path / "whole")
    assert total > 60
    choice = random.Random(0)
    for kill in range(KILLS):
        folder = tmp_path / f"kill{kill}"
        for at in (choice.randint(1, total), choice.randint(1, total // 3)):  # two kills, the second in the resumed run
            points.start(at)
            with contextlib.suppress(Killed):
                run_stages(stages(keep=1 + kill % 2), folder, resume="auto")
            points.start()
        run_stages(stages(keep=1 + kill % 2), folder, resume="auto")
        assert_equal(results(folder), expected)
        points.start()
        shutil.rmtree(folder)


def contents(folder):
    """Which checkpoints lie in a folder, and what they hold beside weights."""
    found = {path.name: set(load_checkpoint_file(str(path))) for path in folder.glob("*.pth")}
    return {name: parts - {"meta", "state_dict", "message_hub"} for name, parts in found.items()}


@pytest.mark.parametrize("keep", [1, 2, -1])
def test_what_is_kept(tmp_path, monkeypatch, keep):
    """As many as the config says, none removed before the next is written; of a finished stage, weights alone."""
    put, before = LocalBackend.put, []

    def watched(self, obj, path):
        if Path(path).name in ("epoch_2.pth", "epoch_3.pth") and not Path(path).is_file():
            before.append((path, latest_checkpoint(Path(path).parent)))
        put(self, obj, path)

    monkeypatch.setattr(LocalBackend, "put", watched)
    run_stages(stages(keep), tmp_path)
    assert [Path(last).name for _, last in before] == ["epoch_1.pth", "epoch_2.pth"] * 2
    state = {"optimizer"}  # a toy has no schedule
    numbers = range(1 if keep == -1 else EPOCHS - keep + 1, EPOCHS + 1)
    kept = {f"epoch_{number}.pth": state for number in numbers}
    best = {stage: {Path(results(tmp_path)[stage, "best"][0]).name: set()} for stage in ("first", "second")}
    assert contents(tmp_path / "second") == kept | best["second"]
    assert contents(tmp_path / "first") == kept | {f"epoch_{EPOCHS}.pth": set()} | best["first"]
    last = tmp_path / "first" / f"epoch_{EPOCHS}.pth"
    (tmp_path / "first" / MARKER).unlink()  # nothing goes on from it without a word
    with pytest.raises(ValueError, match="holds weights alone"):
        run_stages(stages(keep), tmp_path, resume=str(last))


def test_a_kept_checkpoint_is_on_the_disk_when_the_older_one_goes(tmp_path, monkeypatch):
    flushed, removed = [], []
    sync, remove = os.fsync, LocalBackend.remove
    monkeypatch.setattr(
        os, "fsync", lambda number: (flushed.append(os.readlink(f"/proc/self/fd/{number}")), sync(number))
    )
    monkeypatch.setattr(LocalBackend, "remove", lambda self, path: (removed.append(str(path)), remove(self, path)))
    run_stages(stages()[:1], tmp_path)
    folder = tmp_path / "first"
    assert removed == [str(folder / f"epoch_{number}.pth") for number in (1, 2)]
    assert flushed == [str(folder / f"epoch_{number}.pth") for number in (2, 3)]


def test_a_full_disk_leaves_the_checkpoint_of_a_finished_stage(tmp_path, monkeypatch):
    run_stages(stages()[:1], tmp_path)
    file = tmp_path / "first" / f"epoch_{EPOCHS}.pth"
    before = file.read_bytes()

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    drop_optimizer(str(file))
    assert file.read_bytes() == before
    monkeypatch.undo()
    drop_optimizer(str(file))
    assert file.stat().st_size < len(before) and not set(load_checkpoint_file(str(file))) & {"optimizer"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_real_kills(tmp_path):
    """SIGKILL of a forked process while it trains, validates or writes."""
    start = time.monotonic()
    run_stages(stages(), tmp_path / "whole")
    seconds, choice, folder = time.monotonic() - start, random.Random(1), tmp_path / "part"
    for _ in range(3):
        process = multiprocessing.get_context("fork").Process(
            target=run_stages, args=(stages(), folder), kwargs=dict(resume="auto")
        )
        process.start()
        process.join(choice.uniform(0.1, 0.6) * seconds)
        process.kill()
        process.join()
    run_stages(stages(), folder, resume="auto")
    assert_equal(results(folder), results(tmp_path / "whole"))


def test_copies_leave_the_original_alone(tmp_path):
    run_stages(stages()[:1], tmp_path / "a")
    before = {file.name: file.read_bytes() for file in (tmp_path / "a/first").glob("*.pth")}
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b/first" / MARKER).unlink()
    assert latest_checkpoint(tmp_path / "b/first").startswith(str(tmp_path / "b"))
    longer = stages()[:1]
    longer[0].cfg.train_cfg.max_epochs = EPOCHS + 2
    run_stages(longer, tmp_path / "b", resume="auto")
    run_stages(longer, tmp_path / "c", resume=str(tmp_path / f"a/first/epoch_{EPOCHS}.pth"))
    assert {file.name: file.read_bytes() for file in (tmp_path / "a/first").glob("*.pth")} == before
    for copied in ("b", "c"):
        assert (tmp_path / copied / "first" / results_of(tmp_path / copied)["best"]).is_file()


def results_of(work_dir):
    return json.loads((work_dir / "first" / MARKER).read_text())


@pytest.mark.parametrize("junk", [b"", b"\0", b"\xff\xfe", b"x" * 5000, b"/", b"..", b"a\nb", b"http://x/y.pth", b"."])
def test_pointers_of_junk(tmp_path, junk):
    torch.save({}, tmp_path / "epoch_1.pth")
    (tmp_path / "last_checkpoint").write_bytes(junk)
    assert latest_checkpoint(tmp_path) == str(tmp_path / "epoch_1.pth")
