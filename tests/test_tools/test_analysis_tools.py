"""Tools that evaluate stored maps and analyze results."""

from __future__ import annotations

import csv
import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from data_dir import DATA_DIR, requires_data
from map_case import FRAME, IDS, make_set

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path("analysis_tools")


@pytest.fixture
def case(tmp_path):
    make_set(tmp_path, images=True)
    return tmp_path


def evaluate(tool, case, out, *arguments):
    """Run eval_maps.py and return what it wrote."""
    protocols = () if "--protocol" in arguments else ("--protocol", "wsol_v1", "wsol_v2", "tscam", "--threshold", 0.5)
    tool(
        TOOLS / "eval_maps.py", case / "maps", case / "meta", "--frame", FRAME, "--scores", case / "scores.npz",
        "--image-root", case / "images", "--out", out, *protocols, *arguments,
    )  # fmt: skip
    return json.loads(Path(out).read_text())


# ---- eval_maps ------------------------------------------------------------------------------------

# Image, the box of TS-CAM's rule at .10 (CUB) and .12 (ILSVRC) in the 224 frame, IoU (evaluation.md, c.4).
TRT = """
Bewick_Wren_0121_184765 13 59 124 147 .8720
Black_And_White_Warbler_0085_160110 0 25 187 224 .7358
Black_And_White_Warbler_0128_160803 25 48 210 211 .8149
Black_Footed_Albatross_0002_55 14 59 192 212 .7082
Mourning_Warbler_0025_166608 67 58 168 162 .7731
Pied_Kingfisher_0054_72296 25 25 152 168 .7739
ILSVRC2012_val_00001728 111 27 180 205 .7025
ILSVRC2012_val_00002052 26 23 173 162 .7195
ILSVRC2012_val_00002060 11 109 195 180 .7973
ILSVRC2012_val_00002480 32 48 176 181 .8373
ILSVRC2012_val_00002928 54 70 194 164 .7246
ILSVRC2012_val_00012418 13 75 194 193 .9140
ILSVRC2012_val_00012557 30 44 148 162 .9288
ILSVRC2012_val_00013901 76 33 162 196 .6625
ILSVRC2012_val_00015186 15 14 185 191 .7706
ILSVRC2012_val_00017942 0 14 197 224 .8763
ILSVRC2012_val_00018280 69 55 160 178 .8162
ILSVRC2012_val_00022757 35 44 194 174 .9205
ILSVRC2012_val_00023995 61 11 179 196 .8936
ILSVRC2012_val_00026248 0 27 196 224 .9798
ILSVRC2012_val_00026511 50 35 190 189 .7196
ILSVRC2012_val_00030583 12 20 210 207 .9291
ILSVRC2012_val_00049803 26 48 147 180 .7442
"""


def trt_metadata(dataset: str, folder: Path) -> None:
    """Write wsolevaluation's files for the pictures of one data set.

    The list has integers of the 224 frame. TS-CAM's rule computes x / 224 * 224, which can fall below x: boxes are
    written for an image a hundred times larger, half a frame pixel up.
    """
    folder.mkdir()
    lines: dict[str, list[str]] = {name: [] for name in ("image_ids", "class_labels", "image_sizes", "localization")}
    with open(DATA_DIR / "wsol-photos" / "boxes.csv") as file:
        for row in csv.DictReader(file):
            if row["dataset"] != dataset:
                continue
            box = [100 * int(row[name]) + 50 for name in ("x0", "y0", "x1", "y1")]
            lines["image_ids"].append(row["image"])
            lines["class_labels"].append(f"{row['image']},{row['label']}")
            lines["image_sizes"].append(f"{row['image']},22400,22400")
            lines["localization"].append(",".join([row["image"], *map(str, box)]))
    for name, content in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(content))


@requires_data("wsol-photos")
@pytest.mark.parametrize(
    "dataset, threshold, values, at",
    [
        ("CUB", 0.10, (100, 100, 100), (0.040, 0.048, 0.099)),
        ("ILSVRC", 0.12, (100, 100, 94.11764705882354), (0.020, 0.067, 0.071)),
    ],
)
def test_maps_of_trt(tool, tmp_path, dataset, threshold, values, at):
    trt_metadata(dataset, tmp_path / "meta")
    tool(
        TOOLS / "eval_maps.py", DATA_DIR / "wsol-photos" / "trt_maps", tmp_path / "meta", "--ignore-extra-maps",
        "--protocol", "wsol_v1", "wsol_v2", "tscam", "--threshold", threshold, "--out", "out.json",
    )  # fmt: skip
    results = json.loads(Path("out.json").read_text())
    for percent, value, best in zip((30, 50, 70), values, at, strict=True):
        for key in ("wsol_v1/max_box_acc", "wsol_v2/max_box_acc_v2"):
            assert results["metrics"][f"{key}@{percent}"] == pytest.approx(value, abs=1e-9)
        assert results["metrics"][f"wsol_v2/max_box_acc_v2_threshold@{percent}"] == pytest.approx(best)
    assert results["metrics"]["tscam/gt_known"] == 100
    expected = {name: numbers for name, *numbers in map(str.split, TRT.split("\n")[1:-1])}
    assert len(results["predictions"]) == {"CUB": 6, "ILSVRC": 17}[dataset]
    for record in results["predictions"]:
        *box, iou = map(float, expected[Path(record["img_id"]).stem])
        evaluated = record["evaluated"]["tscam"]
        assert evaluated["frame_bbox"] == box, record["img_id"]
        assert evaluated["bbox"] == pytest.approx([100 * value for value in box]), record["img_id"]
        assert evaluated["iou"] == pytest.approx(iou, abs=5.1e-5), record["img_id"]


def test_eval_maps_writes_what_test_py_writes(tool, case, capsys):
    results = evaluate(tool, case, "out.json")
    assert {"version", "metrics", "protocol", "predictions", "curves"} <= results.keys()
    fields = {"img_id", "img_path", "ori_shape", "gt_label", "gt_bboxes", "pred_label", "pred_score"}
    for record, img_id in zip(results["predictions"], IDS, strict=True):
        assert fields <= record.keys() and record["img_id"] == img_id and Path(record["img_path"]).is_file()
        assert record["img_shape"] == [FRAME, FRAME]
    assert results["predictions"][4]["gt_bboxes"] == [[14, 8, 30, 22], [1, 1, 9, 9]]
    shown = capsys.readouterr().out
    printed = dict(line.split() for line in shown.splitlines() if line.startswith(("wsol", "tscam")))
    assert printed == {key: f"{value:.4f}" for key, value in results["metrics"].items()}
    alone = evaluate(tool, case, "alone.json", "--protocol", "wsol_v2", "--iou-thrs", 0.5)
    assert alone["metrics"]["loc/max_box_acc_v2"] == results["metrics"]["wsol_v2/max_box_acc_v2@50"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--protocol", "tscam"], "ValueError: protocol 'tscam' needs threshold"),
        (["--frame", 224, "--protocol", "cdtr", "tscam", "--threshold", 0.1], "cannot share maps"),
        (["--scores", "none.npz"], "FileNotFoundError: scores 'none.npz'"),
        (["--frame", 4], "must cover the evaluation frame of 4x4"),
    ],
)
def test_eval_maps_errors(tool, case, arguments, message):
    with pytest.raises(SystemExit, match=message):
        evaluate(tool, case, "out.json", *arguments)


# ---- analysis of results --------------------------------------------------------------------------


def test_error_analysis(tool, case, capsys):
    results = evaluate(tool, case, "out.json", "--protocol", "tscam", "--threshold", 0.5)
    tool(TOOLS / "error_analysis.py", "out.json", "--out", "table.csv", "--show-dir", "shown", "--number", 1)
    assert "6 images with boxes" in capsys.readouterr().out
    rows = {row["class"]: row for row in csv.DictReader(Path("table.csv").read_text().splitlines())}
    assert list(rows)[0] == "all" and rows.keys() == {"all", "0", "1", "2"} and rows["1"]["images"] == "2"
    for kind in ("part", "more", "multi_instance", "wrong", "cls"):
        assert float(rows["all"][kind]) == pytest.approx(results["metrics"][f"loc_error/{kind}"]), kind
    assert float(rows["all"]["cls"]) == pytest.approx(100 / 6) and float(rows["2"]["cls"]) == 50
    kinds = {record["evaluated"]["tscam"]["error"] for record in results["predictions"]} - {"right"}
    assert sorted(file.name.rsplit("_0", 1)[0] for file in Path("shown").iterdir()) == sorted(kinds)
    with pytest.raises(SystemExit, match=r"protocol 'wsol'; they have those of \['tscam'\]"):
        tool(TOOLS / "error_analysis.py", "out.json", "--protocol", "wsol")


def test_error_analysis_refuses_all_contours(tool, case):
    evaluate(tool, case, "out.json", "--protocol", "wsol_v2")
    with pytest.raises(SystemExit, match="choose one with a single box"):
        tool(TOOLS / "error_analysis.py", "out.json")


def test_compare_results(tool, case, capsys):
    a = evaluate(tool, case, "a.json", "--protocol", "tscam", "--threshold", 0.5)
    for img_id, shift in ((IDS[0], 4), (IDS[1], 0)):  # a worse map, and a perfect one
        file = case / "maps" / Path(img_id).with_suffix(".npy")
        np.save(file, np.roll(np.load(file), shift, axis=1) * (np.load(file) > 0.6 if shift == 0 else 1))
    b = evaluate(tool, case, "b.json", "--protocol", "tscam", "--threshold", 0.45)
    capsys.readouterr()
    tool(TOOLS / "compare_results.py", "a.json", "b.json", "--out", "c.csv", "--show-dir", "shown", "--number", 2)
    shown = capsys.readouterr().out
    rows = list(csv.DictReader(Path("c.csv").read_text().splitlines()))
    for row, first, second in zip(rows, a["predictions"], b["predictions"], strict=True):
        iou = [record["evaluated"]["tscam"]["iou"] for record in (first, second)]
        assert row["img_id"] == first["img_id"]
        assert [float(row["iou_a"]), float(row["iou_b"])] == iou
        assert float(row["iou_change"]) == iou[1] - iou[0]
        assert [row["hit_a"], row["hit_b"]] == [str(int(value >= 0.5)) for value in iou]
    gained = sum(row["hit_a"] < row["hit_b"] for row in rows)
    lost = sum(row["hit_a"] > row["hit_b"] for row in rows)
    assert lost >= 1 and f"hits gained {gained}, lost {lost}" in shown
    difference = b["metrics"]["loc/gt_known"] - a["metrics"]["loc/gt_known"]
    assert f"{difference:+.4f}" in next(line for line in shown.splitlines() if line.startswith("hits, percent"))
    assert "hit lost" in shown and any(Path("shown").glob("losses_000_*.jpg"))


def test_interval_of_compare_results_is_that_of_resampled_images():
    interval = runpy.run_path(str(ROOT / "tools" / TOOLS / "compare_results.py"))["interval"]
    rng = np.random.default_rng(1)
    right = rng.random((300, 2)) < [0.6, 0.7]
    resampled = right[rng.integers(0, 300, (20_000, 300))].mean(axis=1)
    expected = np.percentile(100 * (resampled[:, 1] - resampled[:, 0]), [2.5, 97.5])
    np.testing.assert_allclose(interval(right), expected, atol=0.4)
    same = np.stack([right[:, 0]] * 2, axis=1)
    assert interval(same) == (0, 0)


def test_compare_results_refuses_other_protocols_and_images(tool, case):
    whole = evaluate(tool, case, "a.json", "--protocol", "tscam", "--threshold", 0.5)

    def compare_with(change):
        other = json.loads(json.dumps(whole))
        change(other)
        Path("b.json").write_text(json.dumps(other))
        tool(TOOLS / "compare_results.py", "a.json", "b.json")

    compare_with(lambda other: other["protocol"]["tscam"].update(threshold=[0.2], prefix="x"))
    with pytest.raises(SystemExit, match="protocol 'tscam' differs in frame_rule: tscam in 'a.json', wsol in"):
        compare_with(lambda other: other["protocol"]["tscam"].update(frame_rule="wsol"))
    with pytest.raises(SystemExit, match=f"1 only in A, 0 only in B, e.g. '{IDS[-1]}' only in A"):
        compare_with(lambda other: other["predictions"].pop())
    with pytest.raises(SystemExit, match=f"image '{IDS[0]}' has other ground truth"):
        compare_with(lambda other: other["predictions"][0].update(gt_bboxes=[[0, 0, 1, 1]]))
    with pytest.raises(SystemExit, match="no per-image boxes of protocol 'tscam'; they have those of \\['wsol_v1'"):
        evaluate(tool, case, "v1.json", "--protocol", "wsol_v1")
        tool(TOOLS / "compare_results.py", "a.json", "v1.json")


def test_compare_results_of_the_model_and_of_its_maps(tool, case):
    """tools/test.py calls the metric LocAccuracy, eval_maps.py by its protocol."""
    maps = evaluate(tool, case, "a.json", "--protocol", "tscam", "--threshold", 0.5)
    model = json.loads(json.dumps(maps).replace('"tscam": ', '"LocAccuracy": '))
    Path("b.json").write_text(json.dumps(model))
    tool(TOOLS / "compare_results.py", "b.json", "a.json", "--out", "c.csv")
    assert {float(row["iou_change"]) for row in csv.DictReader(Path("c.csv").read_text().splitlines())} == {0}


def test_threshold_curve(tool, case):
    results = evaluate(tool, case, "out.json")
    tool(TOOLS / "threshold_curve.py", "out.json", "--out", "curves/first")
    assert Path("curves/first.png").stat().st_size > 10_000
    with np.load("curves/first.npz") as arrays:
        assert arrays["out/wsol_v1/single"].shape == (3, 1000)
        best = arrays["out/wsol_v2/multi"].max(axis=1)
        assert best.mean() == pytest.approx(results["metrics"]["wsol_v2/max_box_acc_v2"])
        at = arrays["out/tscam/threshold"].tolist().index(0.5)
        for key in ("gt_known", "top1"):
            assert arrays[f"out/tscam/{key}"][at] == pytest.approx(results["metrics"][f"tscam/{key}"])
    # The npz again, and the maps themselves, give the same curves.
    tool(
        TOOLS / "threshold_curve.py", "curves/first.npz", "out.json", "--names", "x", "y", "--protocol", "tscam",
        "--out", "second",
    )  # fmt: skip
    tool(
        TOOLS / "threshold_curve.py", case / "maps", "--meta", case / "meta", "--frame", FRAME, "--scores",
        case / "scores.npz", "--protocol", "tscam", "--out", "third",
    )  # fmt: skip
    with np.load("second.npz") as second, np.load("third.npz") as third:
        assert {key.split("/")[0] for key in second.files} == {"x", "y"}
        for name in ("threshold", "gt_known", "top1", "top5"):
            np.testing.assert_array_equal(second[f"x/tscam/{name}"], second[f"y/tscam/{name}"])
            np.testing.assert_allclose(second[f"x/tscam/{name}"], third[f"maps/tscam/{name}"])


def test_threshold_curve_of_test_py(tool, case):
    """Its npz has no input in the keys, and arrays that are no accuracies."""
    grid = np.arange(0, 1, 0.1)
    np.savez("run.npz", **{
        "LocAccuracy/threshold": grid, "LocAccuracy/gt_known": 90 * grid, "LocAccuracy/iou_count": np.arange(10),
        "PxAP/threshold": grid, "PxAP/precision": grid,
    })  # fmt: skip
    tool(TOOLS / "threshold_curve.py", "run.npz", "--out", "curve")
    with np.load("curve.npz") as arrays:
        assert set(arrays.files) == {f"run/LocAccuracy/{name}" for name in ("threshold", "gt_known", "iou_count")}


def test_threshold_curve_has_plain_titles_and_no_nan(tool, case, monkeypatch):
    from matplotlib.figure import Figure

    shown = []

    def savefig(figure, file, **_):
        Path(file).touch()
        shown.append(
            [(axis.get_title(), [text.get_text() for text in axis.get_legend().get_texts()]) for axis in figure.axes]
        )

    monkeypatch.setattr(Figure, "savefig", savefig)
    results = evaluate(tool, case, "out.json")
    nan = dict(threshold=[float("nan")], gt_known=[50.0])
    results["curves"] |= {"LocAccuracy": nan, "LocAccuracy_own": dict(threshold=[0.3], gt_known=[50.0])}
    results["protocol"]["LocAccuracy_own"] = dict(name="cdtr with the model's box rule")
    Path("run.json").write_text(json.dumps(results))
    tool(TOOLS / "threshold_curve.py", "run.json", "--out", "curve")
    tool(TOOLS / "threshold_curve.py", "curve.npz", "--out", "again")
    assert shown[0] == shown[1]
    assert [title for title, _ in shown[0]] == [
        "Box accuracy, protocol wsol_v1", "Box accuracy, protocol wsol_v2", "Localization accuracy, protocol tscam",
        "Localization accuracy, protocol cdtr with the model's box rule, own",
    ]  # fmt: skip
    assert shown[0][3][1] == ["GT-known: 50.00 at 0.3"]
    assert not any("nan" in text for _, texts in shown[0] for text in texts)
    Path("old.json").write_text(json.dumps(results | {"curves": {"LocAccuracy": nan}}))
    with pytest.raises(SystemExit, match="no curves of accuracy against the threshold"):
        tool(TOOLS / "threshold_curve.py", "old.json")


def test_a_full_disk_leaves_the_earlier_files(tool, case, monkeypatch):
    evaluate(tool, case, "out.json")
    arguments = {
        "error_analysis.py": ["out.json", "--out", "errors.csv", "--show-dir", "shown"],
        "compare_results.py": ["out.json", "out.json", "--out", "changes.csv"],
        "threshold_curve.py": ["out.json", "--out", "curve"],
    }
    for name, words in arguments.items():
        tool(TOOLS / name, *words)
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert {Path(name) for name in ("errors.csv", "changes.csv", "curve.png", "curve.npz")} < set(before)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    for name, words in arguments.items():
        with pytest.raises(SystemExit, match="OSError: .* cannot be written: No space left"):
            tool(TOOLS / name, *words)
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_one_panel_a_protocol(tool, case, capsys):
    """Files whose metrics have one title and different protocols, or one protocol under different titles."""
    evaluate(tool, case, "a.json", "--protocol", "wsol_v1")
    evaluate(tool, case, "b.json", "--protocol", "wsol_v2", "wsol_v1")
    panels_of = runpy.run_path(str(ROOT / "tools" / TOOLS / "threshold_curve.py"))["panels_of"]
    curve = dict(threshold=np.linspace(0, 1, 3), single=np.ones((1, 3)), iou_thr=[0.5])
    first, second = dict(curve, protocol_name="wsol_v2"), dict(curve, protocol_name="wsol_v1")
    curves = {"a": {"MaxBoxAcc": first}, "b": {"MaxBoxAcc": second, "MaxBoxAcc_wsol_v2": first}}
    assert panels_of(curves, None) == {
        "Box accuracy, protocol wsol_v2": [("a", "MaxBoxAcc"), ("b", "MaxBoxAcc_wsol_v2")],
        "Box accuracy, protocol wsol_v1": [("b", "MaxBoxAcc")],
    }
    assert list(panels_of(curves, ["wsol_v1"])) == ["Box accuracy, protocol wsol_v1"]
    tool(TOOLS / "threshold_curve.py", "a.json", "b.json", "--protocol", "wsol_v1", "--out", "both")
    assert "1 panel(s) of 2 input(s)" in capsys.readouterr().out
    tool(TOOLS / "compare_results.py", "b.json", "a.json")  # b has another protocol first
    assert "protocol wsol_v1, " in capsys.readouterr().out


def test_threshold_curve_errors(tool, case):
    results = evaluate(tool, case, "out.json", "--protocol", "wsol_v1")
    Path("b").mkdir()
    shutil.copy("out.json", "b/out.json")
    tool(TOOLS / "threshold_curve.py", "out.json", "b/out.json", "--out", "both")
    with np.load("both.npz") as both:
        assert {key.split("/")[0] for key in both.files} == {"out", "b_out"}
    with pytest.raises(SystemExit, match="no curves of protocol 'tscam'; there are those of"):
        tool(TOOLS / "threshold_curve.py", "out.json", "--protocol", "tscam")
    with pytest.raises(SystemExit, match="two inputs are called 'out'"):
        tool(TOOLS / "threshold_curve.py", "out.json", "out.json")
    np.savez("masks.npz", **{"PxAP/threshold": np.arange(3), "PxAP/precision": np.arange(3)})
    for arguments in ([], ["--protocol", "PxAP"]):
        with pytest.raises(SystemExit, match="no curves of accuracy against the threshold"):
            tool(TOOLS / "threshold_curve.py", "masks.npz", *arguments)
    Path("none.json").write_text(json.dumps(results | {"curves": {}}))
    with pytest.raises(SystemExit, match="holds no curves"):
        tool(TOOLS / "threshold_curve.py", "none.json")
    with pytest.raises(SystemExit, match="for maps, give --meta"):
        tool(TOOLS / "threshold_curve.py", case / "maps")


# ---- benchmarks -----------------------------------------------------------------------------------


def test_benchmarks_run(tool, case, capsys):
    tool(TOOLS / "benchmark_box_sweep.py", case / "maps", "--real-maps", 1, "--noise-maps", 1, "--white-maps", 0)
    shown = capsys.readouterr().out
    assert all(kind in shown for kind in ("real (1)", "14x14 noise (1)", "single", "multi"))
    tool(TOOLS / "benchmark_evaluation.py", "--number", 5, "--batch-size", 2)
    assert "5 maps, 1000 thresholds" in capsys.readouterr().out
    tool(TOOLS / "benchmark_evaluation.py", "--number", 5, "--batch-size", 2, "--network-ms", 10)
    assert "5 maps, 10 ms of network a batch of 2" in capsys.readouterr().out


def test_benchmark_methods(shell, tiny_config, tmp_path):
    command = [sys.executable, ROOT / "tools" / TOOLS / "benchmark_methods.py", tiny_config, "--batch-size", 2]
    options = ["--cfg-options", "model.backbone.drop_rate=0.0", "model.backbone.drop_path_rate=0.0"]
    process = shell(*command, *options, "--repeats", 1, "--no-memory", cwd=tmp_path)
    rows = [line.split() for line in process.stdout.splitlines()]
    times = {row[0]: [float(value) for value in row if re.fullmatch(r"[\d.]+", value)] for row in rows[3:]}
    assert list(times) == ["training", "inference"]
    for plain, method, ratio, *_ in times.values():
        assert ratio == pytest.approx(method / plain, rel=0.2) and plain > 0
    if Path("/proc/self/clear_refs").exists():
        process = shell(*command, "--child", "memory", "method", "train", cwd=tmp_path)
        assert float(process.stdout.splitlines()[-1]) > 0
