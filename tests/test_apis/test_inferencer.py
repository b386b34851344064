"""Inference, with a localizer whose map is the brightness of the image."""

from __future__ import annotations

import errno
import json
import logging
import os

import bright
import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from mmwsol.apis import WSOLInferencer
from mmwsol.structures import LocDataSample

BOX = (20, 10, 60, 40)
CLASSES = ["dark", "bright", "odd"]


@pytest.fixture
def inferencer(tmp_path):
    return WSOLInferencer(weights=bright.checkpoint(tmp_path / "epoch_1.pth"), device="cpu", show_progress=False)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "photos"
    (path / "sub").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "sub/a.png"):
        cv2.imwrite(str(path / name), bright.picture())
    (path / "notes.txt").write_text("no image")
    return path


def test_box_and_map_are_in_pixels_of_the_image(inferencer, folder):
    result = inferencer(str(folder / "a.png"))
    [record] = result["predictions"]
    assert record["img_path"] == str(folder / "a.png") and record["ori_shape"] == [50, 80]
    assert (record["pred_label"], record["pred_class"]) == (1, "bright")
    assert record["pred_score"]["classes"] == ["bright", "odd", "dark"]
    assert record["pred_score"]["scores"] == pytest.approx([0.7, 0.2, 0.1])
    assert record["bbox_labels"] == [1, 2, 0] and record["bbox_scores"] == pytest.approx([0.7, 0.2, 0.1])
    # 80 x 50 pixels became 32 x 32: a cell is 2.5 x 1.6 pixels
    assert np.abs(np.array(record["bboxes"][0]) - BOX).max() <= 2.5
    assert record["map"].shape == (50, 80) and record["map"].dtype == np.float32
    assert record["map"][25, 40] > 0.95 and record["map"][5, 5] < 0.05
    assert result["visualization"] is None and result["failed"] == []


def test_every_kind_of_input_gives_the_same(inferencer, folder):
    path, array = folder / "a.png", bright.picture()
    expected = inferencer(str(path))["predictions"][0]["bboxes"]
    kinds = [path, array, array[:, :, 0], Image.open(path), dict(img_path=str(path))]
    for kind in [*kinds, [path], [array]]:
        predictions = inferencer(kind)["predictions"]
        assert [record["bboxes"] for record in predictions] == [expected], kind
    everything = inferencer(kinds, batch_size=3)["predictions"]  # a batch of three and one of two
    assert [record["bboxes"] for record in everything] == [expected] * 5
    assert inferencer(array)["predictions"][0]["img_path"] is None
    with pytest.raises(ValueError, match=r"input 0 must be .* uint8, got \(50, 80, 3\) float64"):
        inferencer(array / 255)
    with pytest.raises(TypeError, match="input 0 must be a path, an array or a PIL image, got int"):
        inferencer(3)
    with pytest.raises(ValueError, match=r"input 0 must be .* uint8, got \(0, 80, 3\) uint8"):
        inferencer(array[:0])
    with pytest.raises(ValueError, match=r"input 0 has no 'img_path', only \['path'\]"):
        inferencer(dict(path="a.png"))
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        inferencer(array, batch_size=0)


def test_sixteen_bit_images_are_the_same_opened_and_as_files(inferencer, tmp_path):
    cv2.imwrite(str(tmp_path / "deep.png"), bright.picture()[:, :, 0].astype(np.uint16) * 257)
    opened = inferencer(Image.open(tmp_path / "deep.png"))["predictions"][0]["bboxes"]
    assert opened == inferencer(tmp_path / "deep.png")["predictions"][0]["bboxes"]
    assert np.abs(np.array(opened[0]) - BOX).max() <= 2.5


def test_folder_and_glob(inferencer, folder):
    def names(inputs):
        return [record["img_path"][len(str(folder)) + 1 :] for record in inferencer(inputs)["predictions"]]

    assert names(str(folder)) == ["a.png", "b.jpg", "sub/a.png"]
    assert names(f"{folder}/*.png") == ["a.png"]
    assert names(f"{folder}/**/*.png") == ["a.png", "sub/a.png"]
    assert names([f"{folder}/sub", f"{folder}/b.jpg"]) == ["sub/a.png", "b.jpg"]
    with pytest.raises(ValueError, match=r"no image in '.*\*.gif'"):
        names(f"{folder}/*.gif")
    with pytest.raises(ValueError, match="the list is empty"):
        inferencer([])
    # A missing file with brackets in its name is missing, not an empty glob.
    result = inferencer([str(folder / "a.png"), str(folder / "x[1].png")])
    assert len(result["predictions"]) == 1
    assert [entry["error"] for entry in result["failed"]] == [f"image '{folder}/x[1].png' does not exist"]


def test_images_of_different_sizes_share_a_call(tmp_path):
    """Without a resize in the pipeline they cannot share a batch."""
    cfg = bright.config()
    del cfg.test_dataloader.dataset.pipeline[1]
    inferencer = WSOLInferencer(cfg, bright.checkpoint(tmp_path / "epoch_1.pth"), "cpu", show_progress=False)
    pictures = [bright.picture(), bright.picture((30, 20, 60, 40), (90, 70)), bright.picture()]
    predictions = inferencer(pictures, batch_size=3)["predictions"]
    assert [record["bboxes"][0] for record in predictions] == [list(BOX), [30, 20, 60, 40], list(BOX)]


def test_exif_orientation_is_ignored_as_in_training(inferencer, tmp_path):
    image = Image.fromarray(bright.picture())
    exif = image.getexif()
    exif[0x0112] = 6  # a camera that was turned: viewers show 50 x 80
    image.save(tmp_path / "turned.png", exif=exif)
    result = inferencer(tmp_path / "turned.png", return_vis=True)
    [record] = result["predictions"]
    assert record["ori_shape"] == [50, 80] and np.abs(np.array(record["bboxes"][0]) - BOX).max() <= 2.5
    assert result["visualization"][0].shape[1] == 2 * 80 * 5  # two panels, not turned, enlarged five times


def test_exif_turns_images_where_it_is_asked_for(tmp_path):
    image = Image.fromarray(bright.picture())
    exif = image.getexif()
    exif[0x0112] = 6  # shown turned by 90 degrees: x' = 50 - y, y' = x
    (tmp_path / "photos").mkdir()
    image.save(tmp_path / "photos/turned.png", exif=exif)
    weights = bright.checkpoint(tmp_path / "epoch_1.pth")
    shown = WSOLInferencer(weights=weights, device="cpu", show_progress=False, exif=True)
    result = shown(tmp_path / "photos", return_vis=True, out_dir=tmp_path / "out", formats=["voc", "csv"])
    [record] = result["predictions"]
    assert record["ori_shape"] == [80, 50] and np.abs(np.array(record["bboxes"][0]) - [10, 20, 40, 60]).max() <= 2.5
    assert record["map"].shape == (80, 50)
    assert "<width>50</width>" in "".join((tmp_path / "out/voc/turned.xml").read_text().split())
    stored = WSOLInferencer(weights=weights, device="cpu", show_progress=False)
    [again] = stored(tmp_path / "photos", out_dir=tmp_path / "other")["predictions"]
    assert again["ori_shape"] == [50, 80]


def test_unreadable_files_are_reported_and_skipped(inferencer, folder, capsys):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a jpeg")
    (folder / "empty.png").touch()
    result = inferencer([str(folder), str(folder / "gone.png")], batch_size=2, return_vis=True, out_dir=folder / "out")
    assert len(result["predictions"]) == len(result["visualization"]) == 3
    assert [entry["input"].rsplit("/", 1)[1] for entry in result["failed"]] == ["broken.jpg", "empty.png", "gone.png"]
    text = capsys.readouterr().out
    assert "cannot be decoded" in text and "is empty (0 bytes)" in text and "gone.png' does not exist" in text
    assert "3 of 6 images failed and were skipped." in text
    written = json.loads((folder / "out/predictions.json").read_text())
    assert len(written["predictions"]) == 3 and written["failed"] == result["failed"]
    with pytest.raises(ValueError, match="none of 1 image.* gave a prediction. Most often .1 times.: .*empty.png"):
        inferencer(folder / "empty.png")
    for index in range(3):
        (folder / f"broken{index}.jpg").write_bytes(b"\xff\xd8 not a jpeg")
    images = [str(folder / name) for name in ("empty.png", "broken0.jpg", "broken1.jpg", "broken2.jpg")]
    with pytest.raises(
        ValueError, match="none of 4 image.*Most often .3 times.: image '.*broken0.jpg' cannot be decoded"
    ):
        inferencer(images)


def test_pictures_and_json(inferencer, folder, tmp_path):
    out = tmp_path / "out"
    result = inferencer(str(folder), return_vis=True, out_dir=out, batch_size=2)
    cv2.imwrite(str(folder / "a.jpg"), bright.picture())
    assert sorted(p.name for p in out.iterdir()) == ["a.jpg", "b.jpg", "predictions.json", "review.csv", "sub_a.jpg"]
    records = json.loads((out / "predictions.json").read_text())["predictions"]
    assert [record["picture"] for record in records] == ["a.jpg", "b.jpg", "sub_a.jpg"]
    assert "map" not in records[0] and records[0]["bboxes"] == result["predictions"][0]["bboxes"]
    stored = cv2.imread(str(out / "a.jpg"))
    assert np.abs(stored[:, :, ::-1].astype(int) - result["visualization"][0]).mean() < 8  # RGB, and JPEG's loss
    inferencer([str(folder / "a.png"), str(folder / "a.jpg")], out_dir=tmp_path / "same")
    assert sorted(p.name for p in (tmp_path / "same").iterdir()) == [
        "a_0.jpg",
        "a_1.jpg",
        "predictions.json",
        "review.csv",
    ]


def test_pictures_are_never_written_over_images_nor_read_as_such(inferencer, folder):
    before = (folder / "b.jpg").read_bytes()
    with pytest.raises(ValueError, match="'b.jpg' in .* is one of the images: choose another out_dir"):
        inferencer(str(folder), out_dir=folder)
    assert (folder / "b.jpg").read_bytes() == before and not (folder / "predictions.json").exists()
    for _ in range(2):
        assert len(inferencer(str(folder), out_dir=folder / "found")["predictions"]) == 3
    assert len(inferencer(str(folder / "found"), out_dir=folder / "found/again")["predictions"]) == 3


def test_every_picture_has_a_file_of_its_own(inferencer, tmp_path):
    names = ["a.jpg", "a.png", "a_0.png", "long" * 60 + ".png", "long" * 60 + "!.png"]
    for name in names:
        cv2.imwrite(str(tmp_path / name), bright.picture())
    no_text = bytes(tmp_path) + b"/caf\xe9.png"  # a name that is not UTF-8
    with open(no_text, "wb") as file:
        file.write((tmp_path / "a.png").read_bytes())
    result = inferencer([str(tmp_path / name) for name in names] + [os.fsdecode(no_text)], out_dir=tmp_path / "out")
    pictures = [record["picture"] for record in result["predictions"]]
    assert len(set(pictures)) == 6 and pictures[:3] == ["a_0.jpg", "a_1.jpg", "a_0_.jpg"] and pictures[5] == "caf.jpg"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*pictures, "predictions.json", "review.csv"}


@pytest.mark.parametrize("size", [(20000, 100), (400, 1), (1, 5000), (2, 3000)])  # width, height
def test_panoramas_and_slivers_have_pictures(inferencer, tmp_path, size):
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    [picture] = inferencer(image, return_vis=True, out_dir=tmp_path / "out")["visualization"]
    assert cv2.imread(str(tmp_path / "out/array_0000.jpg")).shape == picture.shape
    assert 2 <= picture.shape[1] <= 8000 and picture.shape[0] <= 720 + 22


def test_classes_without_a_name(tmp_path):
    path = bright.checkpoint(tmp_path / "epoch_1.pth", dataset_meta=dict(classes=["dark"]))
    result = WSOLInferencer(weights=path, device="cpu")(bright.picture(), return_vis=True)
    assert result["predictions"][0]["pred_class"] == "1" and len(result["visualization"]) == 1


def test_loader_that_ignores_broken_files(tmp_path, folder):
    cfg = bright.config()
    cfg.test_dataloader.dataset.pipeline[0].ignore_empty = True
    inferencer = WSOLInferencer(cfg, bright.checkpoint(tmp_path / "epoch_1.pth"), "cpu", show_progress=False)
    (folder / "empty.png").touch()
    result = inferencer(str(folder))
    assert len(result["predictions"]) == 3 and [entry["input"] for entry in result["failed"]] == [f"{folder}/empty.png"]


def test_data_samples_and_ground_truth(inferencer, folder):
    item = dict(img_path=str(folder / "a.png"), gt_label=2, gt_bboxes_ori=np.array([BOX], np.float32))
    result = inferencer([item], return_datasamples=True, return_vis=True)
    [sample] = result["predictions"]
    assert isinstance(sample, LocDataSample) and int(sample.gt_label) == 2
    assert sample.pred_maps.maps.shape == (3, 32, 32)
    without = inferencer([item["img_path"]], return_vis=True)["visualization"][0]
    assert (result["visualization"][0] == (60, 220, 80)).all(-1).any()  # the ground truth's green
    assert not (without == (60, 220, 80)).all(-1).any()


def test_window(inferencer, monkeypatch):
    shown = []
    monkeypatch.setattr(type(inferencer.visualizer), "show", lambda self, image, name, wait: shown.append((name, wait)))
    inferencer(bright.picture(), show=True, wait_time=0.5)
    assert shown == [("array_0000", 0.5)]


def test_no_display(inferencer, monkeypatch):
    monkeypatch.setattr("matplotlib.get_backend", lambda: "agg")
    with pytest.raises(ValueError, match="no display to show pictures on"):
        inferencer(bright.picture(), show=True)


def test_where_the_model_comes_from(tmp_path):
    path = bright.checkpoint(tmp_path / "epoch_1.pth")
    config = tmp_path / "mine.py"
    config.write_text(bright.CONFIG)
    for arguments in ([str(path)], [None, str(path)], [str(config), path], [bright.config(), str(path)]):
        inferencer = WSOLInferencer(*arguments, device="cpu")
        assert inferencer(bright.picture())["predictions"][0]["pred_class"] == "bright"
    with pytest.raises(ValueError, match="no trained weights of 'trt_deit-b_cub'.*Train it.*convert_official"):
        WSOLInferencer("trt_deit-b_cub")
    with pytest.raises(FileNotFoundError, match="nearest.*trt_deit-b_cub"):
        WSOLInferencer("trt_deit-b_cubs")
    with pytest.raises(ValueError, match="give a config, the name of one, or a checkpoint"):
        WSOLInferencer()
    cfg = bright.config()
    with pytest.raises(ValueError, match="there are no weights: pass weights="):
        WSOLInferencer(cfg)
    cfg.load_from = str(path)
    assert WSOLInferencer(cfg, device="cpu")(bright.picture())["predictions"][0]["pred_class"] == "bright"
    with pytest.raises(ValueError, match="device 'xpu:9' cannot be used"):
        WSOLInferencer(weights=path, device="xpu:9")


def test_progress_bar(inferencer, capsys, monkeypatch):
    """A bar in a terminal; in a log file lines, and none for a short run."""
    inferencer.show_progress = True
    inferencer([bright.picture()] * 3)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("mmwsol.utils.progress.PROGRESS_SECONDS", -1.0)
    inferencer([bright.picture()] * 3)
    text = capsys.readouterr().out
    assert "Inference: 2 of 3 batches" in text and "\r" not in text and len(text) < 200
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    inferencer([bright.picture()] * 3)
    assert "Inference" in capsys.readouterr().out


def refuse_dark(inferencer, monkeypatch):
    """Let the network refuse batches with a black image."""
    forward = inferencer.forward

    def picky(batch):
        if any(not image.any() for image in batch["inputs"]):
            raise RuntimeError("no map of nothing")
        return forward(batch)

    monkeypatch.setattr(inferencer, "forward", picky)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_an_image_that_fails_is_named_and_the_others_are_written(inferencer, folder, tmp_path, monkeypatch, batch_size):
    cv2.imwrite(str(folder / "aa.png"), np.zeros((50, 80, 3), np.uint8))
    refuse_dark(inferencer, monkeypatch)
    result = inferencer(str(folder), out_dir=tmp_path / "out", batch_size=batch_size, return_vis=True)
    assert len(result["predictions"]) == len(result["visualization"]) == 3
    [failed] = result["failed"]
    assert failed["input"].endswith("aa.png") and "aa.png' failed: no map of nothing" in failed["error"]
    content = json.loads((tmp_path / "out/predictions.json").read_text())
    assert content["failed"] == [failed] and all(
        (tmp_path / "out" / p["picture"]).is_file() for p in content["predictions"]
    )
    with pytest.raises(ValueError, match="none of 1 image.*aa.png.*no map of nothing"):
        inferencer(str(folder / "aa.png"))


def test_a_killed_run_goes_on(inferencer, folder, tmp_path, monkeypatch):
    out, forward, seen = tmp_path / "out", inferencer.forward, []

    class Killed(BaseException):
        """Nothing catches it."""

    def killed(batch):
        seen.append(batch["data_samples"][0].img_path)
        if len(seen) == 2 and not (out / "predictions.json").exists():
            raise Killed
        return forward(batch)

    monkeypatch.setattr(inferencer, "forward", killed)
    with pytest.raises(Killed):
        inferencer(str(folder), out_dir=out, return_maps=False)
    assert not (out / "predictions.json").exists() and len(list(out.glob("*.jpg"))) == 1
    with open(out / "predictions.partial.jsonl", "a") as file:
        file.write('{"img_path": "cut')
    result = inferencer(str(folder), out_dir=out, return_maps=False)
    assert len(result["predictions"]) == 3 and len(seen) == 4  # two more, the first is there
    assert sorted(path.name for path in out.iterdir()) == [
        "a.jpg",
        "b.jpg",
        "predictions.json",
        "review.csv",
        "sub_a.jpg",
    ]
    seen.clear()
    inferencer(str(folder), out_dir=out, return_maps=False)
    assert len(seen) == 3


def test_files_of_others_are_not_overwritten(inferencer, folder, tmp_path):
    out = tmp_path / "holiday"
    out.mkdir()
    (out / "a.jpg").write_bytes(b"mine")
    with pytest.raises(ValueError, match="'a.jpg' in .* is there already"):
        inferencer(str(folder / "a.png"), out_dir=out)
    (out / "b.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(ValueError, match="'b.jpg' in .* is there already"):
        inferencer(str(folder / "b.jpg"), out_dir=out)
    for content in ('{"mine": 1}', "[]", "no json", '{"predictions": [1]}'):
        (out / "predictions.json").write_text(content)
        with pytest.raises(ValueError, match="predictions.json' is there and not of an earlier inference"):
            inferencer(str(folder / "sub"), out_dir=out)
        assert (out / "predictions.json").read_text() == content
    assert (out / "a.jpg").read_bytes() == b"mine" and not (tmp_path / "elsewhere.jpg").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        inferencer(str(folder), out_dir=tmp_path / "file/out")


def test_large_images_are_an_option(tmp_path):
    Image.new("RGB", (300, 200)).save(tmp_path / "large.png")
    options = dict(weights=bright.checkpoint(tmp_path / "epoch_1.pth"), device="cpu", show_progress=False)
    small = WSOLInferencer(max_pixels=50_000, **options)
    with pytest.raises(ValueError, match=r"large.png' has 300x200 .* more than 50,000: .*--max-pixels N"):
        small(str(tmp_path / "large.png"))
    enough = WSOLInferencer(max_pixels=60_000, **options)
    assert enough(str(tmp_path / "large.png"))["predictions"][0]["ori_shape"] == [200, 300]


def killed_after(inferencer, monkeypatch, number, *args, **options):
    """Run inference that is killed before its image ``number``."""
    forward, seen = inferencer.forward, []

    class Killed(BaseException):
        pass

    def forward_or_die(batch):
        seen.append(batch)
        if len(seen) > number:
            raise Killed
        return forward(batch)

    with monkeypatch.context() as patch:
        patch.setattr(inferencer, "forward", forward_or_die)
        with pytest.raises(Killed):
            inferencer(*args, return_maps=False, **options)


def test_a_killed_run_does_not_leak_into_another(inferencer, folder, tmp_path, monkeypatch):
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    cv2.imwrite(str(other / "a.png"), bright.picture())
    cv2.imwrite(str(other / "c.png"), bright.picture())
    killed_after(inferencer, monkeypatch, 2, str(folder), out_dir=out)
    paths = [record["img_path"] for record in inferencer(str(other), out_dir=out, return_maps=False)["predictions"]]
    assert paths == [str(other / "a.png"), str(other / "c.png")]


def test_images_that_were_replaced_are_predicted_again(inferencer, folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    killed_after(inferencer, monkeypatch, 2, str(folder), out_dir=out)
    cv2.imwrite(str(folder / "a.png"), np.zeros((40, 30, 3), np.uint8))
    result = inferencer(str(folder), out_dir=out, return_maps=False)["predictions"]
    shapes = {record["img_path"]: record["ori_shape"] for record in result}
    assert shapes[str(folder / "a.png")] == [40, 30] and len(result) == 3


def test_another_threshold_begins_anew(folder, tmp_path, monkeypatch):
    out, weights = tmp_path / "out", bright.checkpoint(tmp_path / "epoch_1.pth")
    first = WSOLInferencer(weights=weights, device="cpu", show_progress=False)
    killed_after(first, monkeypatch, 2, str(folder), out_dir=out)
    changed = bright.CONFIG.replace("threshold=0.5", "threshold=0.9")
    assert changed != bright.CONFIG
    (tmp_path / "other.py").write_text(changed)
    second = WSOLInferencer(tmp_path / "other.py", weights, device="cpu", show_progress=False)
    kept = [record["bboxes"] for record in second(str(folder), out_dir=out, return_maps=False)["predictions"]]
    assert kept == [record["bboxes"] for record in second(str(folder))["predictions"]]


def test_a_kill_between_picture_and_prediction(inferencer, folder, tmp_path, monkeypatch):
    from mmwsol.apis import output_folder

    out, write = tmp_path / "out", output_folder.write_picture

    class Killed(BaseException):
        pass

    def write_and_die(path, picture):
        write(path, picture)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(output_folder, "write_picture", write_and_die)
        with pytest.raises(Killed):
            inferencer(str(folder), out_dir=out, return_maps=False)
    assert len(inferencer(str(folder), out_dir=out, return_maps=False)["predictions"]) == 3


def test_into_the_folder_of_the_images(inferencer, folder):
    for _ in range(2):  # pictures of the first run are no images of the second
        result = inferencer(str(folder / "sub"), out_dir=folder / "sub")
        assert [record["img_path"] for record in result["predictions"]] == [str(folder / "sub/a.png")]


def test_addresses_of_unknown_kinds_are_failed_images(inferencer, folder):
    result = inferencer([str(folder / "a.png"), "s3://bucket/x.jpg", "file:///gone.jpg"])
    assert len(result["predictions"]) == 1
    assert [entry["input"] for entry in result["failed"]] == ["s3://bucket/x.jpg", "file:///gone.jpg"]


def test_a_full_disk_stops_the_run(inferencer, folder, tmp_path, monkeypatch):
    from mmwsol.apis import output_folder

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output_folder, "write_picture", full)
    with pytest.raises(OSError, match="No space left"):
        inferencer(str(folder), out_dir=tmp_path / "out")
    assert not (tmp_path / "out/predictions.json").exists()


def test_a_pipe_in_the_place_of_the_results(inferencer, folder, tmp_path):
    os.mkfifo(tmp_path / "predictions.json")
    with pytest.raises(ValueError, match="not of an earlier inference"):
        inferencer(str(folder), out_dir=tmp_path)


def test_what_is_left_out_is_named(inferencer, folder, caplog):
    (folder / "phone.heic").write_bytes(b"x")
    said = []
    logger = logging.Handler()
    logger.emit = lambda record: said.append(record)
    current = MMLogger.get_current_instance()
    current.addHandler(logger)
    inferencer(str(folder))
    current.removeHandler(logger)
    assert any(record.levelno >= logging.WARNING and "heic" in record.getMessage() for record in said)


@pytest.mark.parametrize(
    ("old", "new"),
    [("threshold=0.5", "threshold='x'"), ("pipeline=[", "pipeline='abc', x=["), ("type='mmwsol.ImageLocalizer',", "")],
)
def test_malformed_stored_configs_are_told_in_words(tmp_path, old, new):
    assert old in bright.CONFIG
    weights = bright.checkpoint(tmp_path / "epoch_1.pth", bright.CONFIG.replace(old, new))
    with pytest.raises(ValueError, match=r"epoch_1.pth|test_dataloader.dataset.pipeline"):
        WSOLInferencer(weights=weights, device="cpu")
