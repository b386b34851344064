"""A sheet of thresholds, with a localizer whose map is the brightness of the image."""

import bright
import cv2
import numpy as np
import pytest

from mmwsol.__main__ import main
from mmwsol.apis import WSOLInferencer
from mmwsol.apis.threshold_sheet import draw_thresholds


@pytest.fixture
def folder(tmp_path):
    """Eleven pictures that are bright in a small middle and half bright around it, and a broken file."""
    (tmp_path / "photos").mkdir()
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[4:28, 4:28] = 100
    picture[12:20, 12:20] = 250
    for index in range(11):
        cv2.imwrite(str(tmp_path / f"photos/{index:02d}.png"), picture)
    (tmp_path / "photos/05.png").write_bytes(b"broken")
    bright.checkpoint(tmp_path / "epoch_1.pth")
    return tmp_path


def red_columns(picture):
    """The columns that have the red of boxes, in each of the panels of a sheet."""
    red = (picture[:, :, 2] > 180) & (picture[:, :, 1] < 90) & (picture[:, :, 0] < 90)
    return red.any(axis=0)


def test_boxes_shrink_with_the_threshold(folder):
    inferencer = WSOLInferencer(weights=str(folder / "epoch_1.pth"), device="cpu", show_progress=False)
    number = draw_thresholds(inferencer, str(folder / "photos"), [0.2, 0.7], folder / "new/sheet.png", number=20)
    assert number == 10  # the broken one is left out
    sheet = cv2.imread(str(folder / "new/sheet.png"))
    half = sheet.shape[1] // 2
    wide, narrow = red_columns(sheet[:, :half]).nonzero()[0], red_columns(sheet[:, half:]).nonzero()[0]
    assert wide.min() < narrow.min()
    assert draw_thresholds(inferencer, str(folder / "photos"), [0.5], folder / "b.png", number=3) == 3


def test_command(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["infer", "photos", "--weights", "epoch_1.pth", "--thresholds", "0.1", "0.5"]) == 0
    assert "images at 2 thresholds are in found/thresholds.jpg" in capsys.readouterr().out
    assert [path.name for path in (folder / "found").iterdir()] == ["thresholds.jpg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--thresholds", "0.1", "1.5"], "threshold must satisfy 0 <= threshold < 1, got 1.5"),
        (["--thresholds", "0.1", "--format", "coco"], "leave --format and --threshold out"),
        (["--thresholds", "0.1", "--threshold", "0.2"], "leave --format and --threshold out"),
    ],
)
def test_errors(folder, monkeypatch, capsys, options, message):
    monkeypatch.chdir(folder)
    assert main(["infer", "photos", "--weights", "epoch_1.pth", *options]) != 0
    assert message in capsys.readouterr().err
    assert not (folder / "found").exists()
