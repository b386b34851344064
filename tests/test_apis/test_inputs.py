"""What inference looks at."""

import pytest
from PIL import Image

from mmwsol.apis.inputs import list_inputs


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jpg", "a_mask.png", "deep/b.png", "deep/b_mask.png", "alone_mask.png", "c_mask.jpg", "c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


def names(paths, folder):
    return [str(path).removeprefix(f"{folder}/") for path in paths]


def test_masks_beside_their_images_are_left_out(folder, monkeypatch):
    said = []
    monkeypatch.setattr("mmwsol.apis.inputs.print_log", lambda text, *args, **kwargs: said.append(text))
    found = list_inputs(str(folder))
    assert names(found, folder) == ["a.jpg", "alone_mask.png", "c.jpg", "c_mask.jpg", "deep/b.png"]
    assert said == [f"'{folder}': 2 masks beside their images are left out, such as '{folder}/a_mask.png'."]
    assert names(list_inputs(f"{folder}/*.png"), folder) == ["a_mask.png", "alone_mask.png"]  # no image was asked for
    assert names(list_inputs(f"{folder}/a[._]*"), folder) == ["a.jpg"]


def test_a_mask_that_is_named_is_an_image(folder):
    assert names(list_inputs([f"{folder}/a.jpg", f"{folder}/a_mask.png"]), folder) == ["a.jpg", "a_mask.png"]
