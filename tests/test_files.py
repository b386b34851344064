"""Files are written whole or not at all."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from mmengine.fileio.backends import LocalBackend
from mmengine.runner import save_checkpoint

from mmwsol import compat
from mmwsol.files import check_inside, check_writable, write_bytes, write_json, write_torch, writing
from mmwsol.visualization import write_picture


def full_disk(*args, **kwargs):
    raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, [1])
    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    compat.apply()
    for write in (
        lambda: write_json(path, [2]),
        lambda: LocalBackend().put(b"2", path),
        lambda: save_checkpoint({}, str(path)),
        lambda: write_torch(path, {}),
        lambda: write_picture(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8)),
    ):
        with pytest.raises(OSError, match="cannot be written: No space left"):
            write()
    monkeypatch.undo()
    assert path.read_text() == "[\n 1\n]" and [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_json_is_valid_json(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, dict(a=[float("nan"), 1.5, float("-inf")], b=np.float32("nan")), default=float, indent=None)
    assert path.read_text() == '{"a": [null, 1.5, null], "b": null}'


def test_an_error_while_writing_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), writing(tmp_path / "a.npz") as part:
        part.write_bytes(b"half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_links_are_replaced_and_not_followed(tmp_path):
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "other").read_bytes() == b"other" and (tmp_path / "link").read_bytes() == b"new"


def test_folders_that_lead_out_are_refused(tmp_path):
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "out")
    os.symlink(tmp_path / "outside", tmp_path / "real/away")
    os.symlink(tmp_path / "real/sub", tmp_path / "real/within")
    for name in ("a", "sub/a", "new/sub/a", "within/a"):
        check_inside(tmp_path / "out" / name, tmp_path / "out")
    for name in ("away/a", "away/new/a"):
        with pytest.raises(OSError, match="is not written: a link leads out of .*out', to .*outside"):
            check_inside(tmp_path / "out" / name, tmp_path / "out")


def test_places_that_cannot_be_written_are_known_before(tmp_path):
    (tmp_path / "file").write_text("kept")
    check_writable(tmp_path / "new/folder/a.json")
    check_writable(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"
    for path in (tmp_path, tmp_path / "file/a.json", tmp_path / (300 * "x"), "/proc/nowhere/a.json"):
        with pytest.raises(ValueError, match="cannot be written"):
            check_writable(path)
    with pytest.raises(OSError, match="longer than 255 bytes"):
        write_bytes(tmp_path / (200 * "ä"), b"")


def test_checkpoints_are_written_by_mmengine_as_ever(tmp_path):
    save_checkpoint(dict(a=torch.ones(2)), str(tmp_path / "sub/a.pth"))
    assert torch.load(tmp_path / "sub/a.pth")["a"].sum() == 2
