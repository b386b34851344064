"""Files that converters write: inside their folder, whole or not at all."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "tools" / "dataset_converters"


@pytest.fixture
def common(monkeypatch):
    """What the converters share."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("common")
    sys.modules.pop("common", None)


@pytest.fixture
def unpack(common, tmp_path):
    """Unpack two files of a folder to ``out``, or another folder."""
    for name in ("images/d/a.jpg", "images/b.jpg"):
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).write_bytes(name.encode())
    return lambda out="out": common.unpack([tmp_path / "src"], tmp_path / out, common.below("images"))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_that_leads_out_is_refused(common, unpack, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "out/images").mkdir(parents=True)
    (tmp_path / "out/images/d").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="images/d/a.jpg' is not written: a link leads out of .*out', to .*outside'"):
        unpack()
    with pytest.raises(OSError, match="a link leads out of"):
        common.write_text("images/d/list.txt", tmp_path / "out", "text")
    assert not files(tmp_path / "outside")


def test_links_in_the_place_of_files_are_replaced(common, unpack, tmp_path):
    """Of a file, and of its unfinished copy; the output folder itself may be a link."""
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "real/images").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "real")
    (tmp_path / "real/images/b.jpg").symlink_to(tmp_path / "nothing")
    for name in ("images/b.jpg.part", "list.txt", "list.txt.part"):
        (tmp_path / "real" / name).symlink_to(tmp_path / "precious")
    unpack()
    common.write_text("list.txt", tmp_path / "out", "text")
    assert (tmp_path / "precious").read_text() == "mine" and not (tmp_path / "nothing").exists()
    assert (tmp_path / "real/list.txt").read_text() == "text"
    assert files(tmp_path / "real") == ["images/b.jpg", "images/d/a.jpg", "list.txt"]


def test_a_full_disk_is_no_damaged_archive(unpack, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="b.jpg' cannot be written: No space left on device"):
        unpack()
    assert not files(tmp_path / "out")


def test_a_file_that_cannot_be_read_is_named(common, tmp_path):
    def broken():
        raise OSError(5, "Input/output error")

    entry = common.Entry("a.jpg", 5, broken)
    with pytest.raises(common.ConvertError, match="'a.jpg' of 'src' cannot be read: Input/output error"):
        common.place(entry, "a.jpg", tmp_path / "out", Path("src"))
    assert not files(tmp_path / "out")
