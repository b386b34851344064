"""A bar in a terminal, few lines elsewhere."""

from __future__ import annotations

import io

from mmwsol.utils import progress
from mmwsol.utils.progress import track


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_log_file(monkeypatch):
    """Nothing for what is quick; a line where ten seconds went by, without carriage returns."""
    stream = io.StringIO()
    assert list(track("abc", "Rendering", 3, "pictures", stream)) == ["a", "b", "c"]
    assert stream.getvalue() == ""
    clock = iter(range(0, 100, 6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    assert list(track(range(4), "Rendering", 4, "pictures", stream)) == [0, 1, 2, 3]
    assert stream.getvalue() == "Rendering: 2 of 4 pictures, 18 s\nRendering: 4 of 4 pictures, 36 s\n"


def test_terminal():
    stream = Terminal()
    assert list(track(iter([1, 2]), "Evaluation", 2, stream=stream)) == [1, 2]
    assert "Evaluation" in stream.getvalue() and "100%" in stream.getvalue()
