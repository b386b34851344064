"""DiPS: conversion of official proposals and weights, and the benchmark of the CRF loss."""

import json
import os
import pickle
import re

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmwsol.apis import init_model
from mmwsol.datasets import offline_cache
from mmwsol.methods.dips import LoadProposals
from mmwsol.methods.dips.proposals import read_proposals
from mmwsol.registry import MODELS
from mmwsol.structures import Frame, LocDataSample
from mmwsol.utils import convert_official

CONVERTER = "dataset_converters/dips_proposals.py"


def entries():
    """What the official code pickles."""
    return {
        "train/n01/a.JPEG": {
            "lst_newbbox_topn": [[[1.5, 2.0, 30.0, 40.0]], [[0.0, 0.0, 10.0, 10.0]]],
            "lst_best_head_topn_index": [3, np.int64(0)],
            "newbbox": [[1.5, 2.0, 30.0, 40.0]],
            "head_index": 3,
        },
        "train/n01/b.JPEG": {
            "lst_newbbox_topn": [np.array([[0.0, 0.0, 0.0, 0.0]])],
            "lst_best_head_topn_index": np.array([0]),
        },
        "area_sucedded_for_n_imgs": 2,
        "area_sucedded_for_n_imgs_percentage": np.float64(100.0),
    }


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_official_proposals(tool, tmp_path, protocol):
    (tmp_path / "proposals.pkl").write_bytes(pickle.dumps(entries(), protocol=protocol))
    tool(CONVERTER, tmp_path / "proposals.pkl", tmp_path / "cache", "--prefix", "train/")
    found = read_proposals(tmp_path / "cache/n01/a.npz")
    assert found.boxes.tolist() == [[1.5, 2, 30, 40], [0, 0, 10, 10]] and found.map_index.tolist() == [3, 0]
    assert np.isnan(found.scores).all()
    load = LoadProposals(str(tmp_path / "cache"), top_k=1)
    image = dict(img=np.zeros((50, 60, 3), np.uint8), ori_shape=(50, 60), frame=Frame.identity((50, 60)))
    state = load(dict(image, img_id="n01/a.JPEG"))
    assert state["proposal_map"] == 3 and state["proposal_mask"].any()
    assert not load(dict(image, img_id="n01/b.JPEG"))["proposal_mask"].any()
    assert load.map_set == "1_4_heads_and_mean"
    assert not load(dict(image, img_id="n01/c.JPEG"))["proposal_mask"].any()  # the official code would die
    load = LoadProposals(str(tmp_path / "cache"))  # converted with a wrong --prefix
    with pytest.raises(ValueError, match=r"none of 20 images .* names of them. It has 'n01/[ab].npz'"):
        for i in range(20):
            load(dict(image, img_id=f"train/n01/{i}.JPEG"))


def official(boxes, maps=(0,)):
    """Pickle the boxes of images by name, each with the same maps."""
    content = {name: {"lst_newbbox_topn": b, "lst_best_head_topn_index": list(maps)} for name, b in boxes.items()}
    return pickle.dumps(content)


class Evil:
    def __reduce__(self):
        return os.system, ("false",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"a.jpg": Evil()}), r"it holds (posix|nt)\.system"),
        (b"no pickle", "is no pickle"),
        (pickle.dumps([1]), "holds a list, not a dict"),
        (pickle.dumps({"a.jpg": {}}), "image 'a.jpg' has no lists of boxes"),
        (pickle.dumps({}), "error: the file holds no images"),
        (pickle.dumps({"area_sucedded_for_n_imgs": 0}), "error: the file holds no images"),
        (official({5: [[0, 0, 1, 1]]}), "the name of an image is 5, not text"),
        (official({b"a.jpg": [[0, 0, 1, 1]]}), "the name of an image is b'a.jpg', not text"),
        (official({"a.jpg": [[0, 0, 1, 1]], "a.png": [[0, 0, 1, 1]]}), "'a.jpg' and 'a.png' have the same place"),
        (official({"../a.jpg": [[0, 0, 1, 1]]}), "has no place in a cache"),
        (official({"a\0.jpg": [[0, 0, 1, 1]]}), "has no place in a cache"),
        (official({"a.jpg": [[0, 0, 1, 1]]}, []), "image 'a.jpg' is wrong: 1 boxes and 0"),
        (official({"a.jpg": [[0, 0, np.nan, 1]]}), "image 'a.jpg' is wrong: a box is not finite"),
        (official({"a.jpg": [[0, 0, 1e300, 1]]}), "image 'a.jpg' is wrong: a box is not finite"),
        (official({"a.jpg": [[5, 5, 1, 1]]}), "image 'a.jpg' is wrong: a box ends before it begins"),
        (official({"a.jpg": [["0", "0", "1", "1"]]}), "image 'a.jpg' is wrong: values of type <U1"),
        (official({"a.jpg": [[0, 0, 1, 1]]}, [10**30]), "image 'a.jpg' is wrong: values of type object"),
        (official({"a.jpg": [[0, 0, 1, 1]]}, [1e30]), "image 'a.jpg' is wrong: map_index is"),
        (official({"a.jpg": [[0, 0, 1, 1]]}, [-1]), "image 'a.jpg' is wrong: map_index is -1"),
        (official({"a.jpg": [[0, 0, 1, 1]]}, [0.5]), "image 'a.jpg' is wrong: the number of a map is not whole"),
        (None, "error: .*No such file"),
    ],
)
def test_bad_pickles_are_refused(tool, tmp_path, content, message):
    if content is not None:
        (tmp_path / "bad.pkl").write_bytes(content)
    with pytest.raises(SystemExit, match=message):
        tool(CONVERTER, tmp_path / "bad.pkl", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_broken_off_conversion_is_no_cache_and_goes_on(tool, tmp_path, monkeypatch):
    source, folder = tmp_path / "proposals.pkl", tmp_path / "cache"
    source.write_bytes(official({f"{i}.jpg": [[0, 0, 9, 9]] for i in range(10)}))

    def killed_after_three(*args):
        if len(list(folder.glob("*.npz"))) == 3:
            raise KeyboardInterrupt
        return write_cached(*args)

    write_cached = offline_cache.write_cached
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(offline_cache, "write_cached", killed_after_three)
        tool(CONVERTER, source, folder)
    with pytest.raises(ValueError, match="is not complete"):
        LoadProposals(str(folder))
    tool(CONVERTER, source, folder)
    assert LoadProposals(str(folder)).files.manifest["num_images"] == 10 and len(list(folder.glob("*.npz"))) == 10
    with pytest.raises(SystemExit, match="was made of something else: choose another folder"):
        tool(CONVERTER, source, folder, "--map-set", "all_heads_and_mean")
    (folder / "manifest.json").unlink()
    with pytest.raises(SystemExit, match="has files but no manifest.json: choose an empty folder"):
        tool(CONVERTER, source, folder)


def test_a_conversion_stays_in_its_folder(tool, tmp_path):
    source, folder, outside = tmp_path / "proposals.pkl", tmp_path / "cache", tmp_path / "outside"
    source.write_bytes(official({"d/a.jpg": [[0, 0, 9, 9]]}))
    tool(CONVERTER, source, folder)
    (folder / "d/a.npz").unlink()
    (folder / "d").rmdir()
    outside.mkdir()
    (folder / "d").symlink_to(outside)
    with pytest.raises(SystemExit, match="a link leads out of"):
        tool(CONVERTER, source, folder)
    assert not list(outside.iterdir())
    source.write_bytes(official({300 * "a" + ".jpg": [[0, 0, 9, 9]]}))
    with pytest.raises(SystemExit, match="its name is longer than 255 bytes"):
        tool(CONVERTER, source, tmp_path / "other")


def test_a_full_disk_leaves_the_earlier_weights(tool, tmp_path):
    resource = pytest.importorskip("resource")
    (tmp_path / "out.pth").write_bytes(b"earlier")
    torch.save({"linear.weight": torch.zeros(3, 4000), "linear.bias": torch.zeros(3)}, tmp_path / "linear.pth")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(SystemExit, match="OSError: .*out.pth' cannot be written: File too large"):
            tool(
                "model_converters/convert_official.py",
                *(tmp_path / "linear.pth", tmp_path / "out.pth", "--source", "dips-linear"),
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "out.pth").read_bytes() == b"earlier" and len(list(tmp_path.glob("*out.pth*"))) == 1


def test_benchmark_of_the_crf(tool, capsys):
    options = ["--size", "32", "--batch-size", "2", "--repeats", "1", "--threads", "1"]
    tool("analysis_tools/benchmark_crf.py", *options)
    printed = capsys.readouterr().out
    assert "2 images of 32x32" in printed and printed.count("ms an image") == 2  # it compares the gradients itself


def test_a_release_in_three_files_is_one_checkpoint(tool, tmp_path):
    """DINO's backbone and linear classifier, and the decoder of DiPS with the convolution that is never called."""
    torch.manual_seed(0)
    arch = dict(embed_dims=16, num_layers=2, num_heads=4, feedforward_channels=32)
    backbone = dict(type="mmwsol.DiPSViT", arch=arch, img_size=32, patch_size=16, num_cls_tokens=2)
    head = dict(type="mmwsol.DiPSHead", num_classes=3, in_channels=16, num_cls_tokens=2, channels=(8, 6, 4))
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    expected = {k: torch.randn(v.shape) if v.is_floating_point() else v + 7 for k, v in model.state_dict().items()}
    names = (
        (r"^backbone\.patch_embed\.projection", "patch_embed.proj"),
        (r"^backbone\.layers\.(\d+)\.ln", r"blocks.\1.norm"),
        (r"^backbone\.layers\.(\d+)\.ffn\.layers\.0\.0", r"blocks.\1.mlp.fc1"),
        (r"^backbone\.layers\.(\d+)\.ffn\.layers\.1", r"blocks.\1.mlp.fc2"),
        (r"^backbone\.layers", "blocks"),
        (r"^backbone\.ln1", "norm"),
        (r"^backbone\.", ""),
        (r"^head\.fc", "module.linear"),
    )
    files = {"dino": {}, "dips-linear": {}, "dips-decoder": {"head.weight": torch.ones(2), "head.bias": torch.ones(2)}}
    for name, value in expected.items():
        new = re.sub(r"^head\.decoder\.(\d)", lambda match: f"decoder{int(match[1]) + 1}", name)
        for pattern, replacement in names:
            new = re.sub(pattern, replacement, new)
        kind = "dips-decoder" if new.startswith("decoder") else "dips-linear" if "linear" in new else "dino"
        files[kind][new] = value
    contents = (files["dino"], {"state_dict": files["dips-linear"]}, {"fusioscore_net": files["dips-decoder"]})
    for i, (source, content) in enumerate(zip(files, contents, strict=True)):
        torch.save(content, tmp_path / "official.pth")
        into = ["--onto", tmp_path / f"{i - 1}.pth"] if i else []
        converter = "model_converters/convert_official.py"
        tool(converter, tmp_path / "official.pth", tmp_path / f"{i}.pth", "--source", source, *into)
    converted = torch.load(tmp_path / "2.pth", weights_only=True)["state_dict"]
    model.load_state_dict(converted, strict=True)
    assert all(torch.equal(converted[name], value) for name, value in expected.items())
    with pytest.raises(ValueError, match="unexpected .*decoder5"):
        convert_official({"decoder5.conv1.0.weight": torch.zeros(1)}, "dips-decoder")


def test_a_release_has_no_threshold_and_the_test_chooses_it_on_val(tool, tiny_config, tmp_path):
    """Converted weights lack what only a validation finds; boxes are refused until there is a threshold."""
    cfg = Config.fromfile(tiny_config)
    rule = dict(type="mmwsol.ContourBox", preset="tscam")
    grid = [0.2, 0.35, 0.5, 0.6, 0.7, 0.8]
    cfg.model.map_to_box = rule
    cfg.val_evaluator = [dict(type="mmwsol.LocAccuracy", map_to_box=rule, threshold=dict(grid=grid, select_on="val"))]
    cfg.test_evaluator = cfg.val_evaluator
    cfg.custom_hooks = [dict(type="mmwsol.ThresholdCalibrationHook")]
    cfg.pop("stages")
    cfg.dump(tmp_path / "calibrated.py")
    torch.manual_seed(1)
    model = MODELS.build(cfg.model)
    torch.nn.init.normal_(model.head.conv.weight)
    released = {name: value for name, value in model.state_dict().items() if name != "map_to_box.threshold"}
    torch.save({"state_dict": released}, "released.pth")

    def test(*options):
        tool("test.py", "calibrated.py", "released.pth", "--out", "results.json", *options)
        return json.loads((tmp_path / "results.json").read_text())

    chosen = test()
    [curve] = chosen["curves"].values()
    best = grid[int(np.argmax(curve["gt_known"]))]
    assert best != 0.5, "the start of an uncalibrated model would pass, too"
    assert chosen["metrics"]["loc/gt_known"] == max(curve["gt_known"])
    given = test("--cfg-options", f"model.map_to_box.threshold={best}")
    assert given["metrics"] == chosen["metrics"] and given["predictions"] == chosen["predictions"]
    model = init_model("calibrated.py", "released.pth", device="cpu")
    with pytest.raises(ValueError, match="has no threshold: give threshold=.* model.map_to_box.threshold=0.5"):
        model(torch.zeros(1, 3, 32, 32), [LocDataSample()], mode="predict")
