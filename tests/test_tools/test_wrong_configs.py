"""Settings that the parts of a run do not take end a tool with one line."""

from __future__ import annotations

import re

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@pytest.fixture(scope="module")
def flat(tiny_config):
    config = tiny_config.with_name("flat.py")
    config.write_text("_base_ = 'tiny_shapes.py'\nstages = None\nvisualizer = None\n")
    return config


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("train_cfg.max_epoch=1", "unexpected keyword argument 'max_epoch'; the nearest is 'max_epochs'"),
        ("train_cfg.max_epochs=0", "train_cfg.max_epochs must be a whole number of at least 1, got 0"),
        ("train_cfg.max_epochs=1.5", "train_cfg.max_epochs must be a whole number of at least 1, got 1.5"),
        ("train_cfg.max_epochs=abc", "train_cfg.max_epochs must be a whole number of at least 1, got 'abc'"),
        ("train_cfg=1", "train_cfg must be a dict, got 1"),
        ("default_hooks=3", "default_hooks must be a dict, got 3"),
        (
            "train_dataloader.dataset.num_image=3",
            r"argument 'num_image'; the nearest is 'num_images' \(in mmwsol.Shapes of config '.*flat.py'\)$",
        ),
        (
            "optim_wrapper.optimizer.lr=abc",
            r"^TypeError: .*'str'.* \(in AdamW of config '.*flat.py'; MMWSOL_TR.* shows where\)$",
        ),
        ("optim_wrapper.optimizer.lr=-1", r"^ValueError: .*-1.* \(in AdamW of config '.*flat.py'\)$"),
        ("model=1", r"^TypeError: model should be a .* got 1 \(in config '.*flat.py'\)$"),
        ("model.map_to_box.threshold=abc", r"^TypeError: .* \(in mmwsol.ContourBox of config '.*flat.py'; MMW"),
        ("model.head.type=mmwsol.ConvCAMHed", r"^KeyError: .*did you mean 'mmwsol.ConvCAMHead'.*flat.py'\)$"),
        ("model.head.num_clases=3", r"'num_clases'; the nearest is 'num_classes' \(in mmwsol.ConvCAMHead of config"),
        ("default_hooks.logger.type=LogerHook", "the nearest is 'LoggerHook'"),
        ("stages=1", "stages must be a list of dicts, got 1"),
    ],
)
def test_building(flat, tool, option, message):
    with pytest.raises(SystemExit) as end:
        tool("train.py", flat, "--dry-run", "--cfg-options", option)
    assert "\n" not in end.value.code and re.search(message, end.value.code), end.value.code


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("stages.5.train_cfg.max_epochs=1", "the config has no stages.5; stages.0 is 'warm', stages.1 is 'cam'"),
        ("stages.cam.train_cfg.max_epochs=1", "the config has no stages.cam; stages.0 is 'warm', stages.1 is 'cam'"),
        ("stages=1", "stages must be a list of dicts, got 1"),
        ("stages.1.train_cfg.max_epochs=0", "train_cfg.max_epochs of stage 'cam' must be a whole number"),
    ],
)
def test_stages(tiny_config, tool, option, message):
    with pytest.raises(SystemExit, match=message):
        tool("train.py", tiny_config, "--dry-run", "--cfg-options", option)


def test_words_that_are_no_settings(flat, tool, capsys):
    for word in ("foo", "=3"):
        with pytest.raises(SystemExit):
            tool("train.py", flat, "--cfg-options", word)
        assert f"argument --cfg-options: '{word}' is not KEY=VALUE" in capsys.readouterr().err


def test_no_model(tool, tmp_path):
    (tmp_path / "c.py").write_text("train_cfg = dict(max_epochs=1)\n")
    with pytest.raises(SystemExit, match="^ValueError: config 'c.py' has no model"):
        tool("train.py", "c.py", "--dry-run")


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("visualization/browse_dataset.py", ["--output-dir", "x"]),
        ("visualization/compare_methods.py", ["c.pth", "a.png"]),
        ("misc/print_config.py", []),
        ("pseudo_boxes.py", ["--out", "x.json", "--ground-truth"]),
        ("analysis_tools/benchmark_methods.py", []),
        ("dataset_converters/locloc_masks.py", ["masks.h5", "out"]),
    ],
)
def test_other_tools(tool, tmp_path, script, options):
    (tmp_path / "c.py").write_text("a = foo\n")
    torch.save({}, tmp_path / "c.pth")
    line = r"NameError: name 'foo' is not defined \(in config '.*c.py', line 1\)\n?$"
    with pytest.raises(SystemExit, match=rf"^(measuring the size failed:\n)?{line}"):  # of a child process
        tool(script, "c.py", *options)


def test_errors_of_steps_keep_their_traceback(flat, tool):
    @HOOKS.register_module(force=True)
    class BrokenHook(Hook):
        def before_train(self, runner):
            raise KeyError("x")

    config = flat.with_name("steps.py")
    config.write_text("_base_ = 'flat.py'\ncustom_hooks = [dict(type='BrokenHook')]\n")
    with pytest.raises(KeyError, match="x"):
        tool("train.py", config, "--dry-run")
