"""Figures of sweeps and benchmarks."""

from __future__ import annotations

import cv2
from matplotlib.figure import Figure

from mmwsol.visualization.sweep_figure import Line, draw_lines


def test_of_equal_values_the_first_threshold_is_named(tmp_path, monkeypatch):
    """As the metrics report it."""
    legends = []
    save = Figure.savefig

    def look(figure, *args, **kwargs):
        legends.append([text.get_text() for text in figure.legends[0].get_texts()])
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", look)
    lines = [Line("CAM", [0.0, 0.1, 0.2, 0.3], [40.0, 62.5, 62.5, 50.0]), Line("SAT", [0.0, 0.1], [30.0, 20.0])]
    files = draw_lines(lines, "threshold", "box accuracy", tmp_path / "curves")
    assert legends == [["CAM: 62.5 at 0.1", "SAT: 30.0 at 0"]] * 2
    assert [file.name for file in files] == ["curves.png", "curves.pdf"] and cv2.imread(str(files[0])) is not None
