"""tools/make_clip_text_embeddings.py with the real open_clip: class lists, prompts, documented commands, errors."""

import hashlib
import importlib.util
import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import small_clip
import torch
import torch.nn.functional as F
from mmpretrain.datasets.categories import CUB_CATEGORIES, IMAGENET_CATEGORIES

from mmwsol.methods.cdtr import SemanticBoostLoss
from mmwsol.methods.cdtr.text_embeddings import load_text_embeddings
from mmwsol.registry import DATASETS
from mmwsol.utils.config import list_configs, load_config

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "tools" / "make_clip_text_embeddings.py"
README = (ROOT / "configs" / "cdtr" / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python (tools/make_clip_text_embeddings\.py .*)$", README, re.MULTILINE)
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.fixture()
def tool():
    spec = importlib.util.spec_from_file_location("make_clip_text_embeddings", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture()
def clip(tmp_path, monkeypatch):
    """A small CLIP in the place of open_clip's ViT-B-32-quickgelu, 'ViT-B-32' being the same with GELU."""
    configs = tmp_path / "configs"
    configs.mkdir()
    quick, plain = small_clip.config(), small_clip.config(quick_gelu=False)
    small_clip.register(configs, monkeypatch, ViT_B_32_quickgelu=quick, ViT_B_32=plain)
    return small_clip.make("ViT-B-32-quickgelu")


def encode_text(model, prompts):
    import open_clip

    tokens = open_clip.get_tokenizer("ViT-B-32-quickgelu")(prompts)
    with torch.no_grad():
        return F.normalize(model.encode_text(tokens), dim=1)


def sba_configs() -> dict[str, str]:
    """Map the text embeddings of every config with SBA to the type of its data set."""
    files = {}
    for path in list_configs().values():
        if path.parent.name == "cdtr":
            cfg = load_config(str(path))
            loss = cfg.model.head.get("map_losses", {}).get("loss_sba")
            if loss:
                files[loss.text_embeddings] = cfg.train_dataloader.dataset.type.removeprefix("mmwsol.")
    return files


def test_class_lists(tool, tmp_path):
    assert tool.read_classes("CUB") == list(CUB_CATEGORIES)
    assert tool.read_classes("ILSVRC") == list(IMAGENET_CATEGORIES)
    file = tmp_path / "classes.txt"
    file.write_text("cat\n\nred owl \n")
    assert tool.read_classes(str(file)) == ["cat", "red owl"]
    file.write_text("cat\ncat\n")
    with pytest.raises(ValueError, match="has a class twice"):
        tool.read_classes(str(file))
    with pytest.raises(ValueError, match="neither a file nor a data set"):
        tool.read_classes("Birds")
    with pytest.raises(ValueError, match="reads its classes from the data"):
        tool.read_classes("TinyImageNet")


def test_prompts(tool):
    names = ["Least_Auklet", "tench, Tinca tinca"]
    assert tool.make_prompts(names, "a photo of {}.") == ["a photo of Least_Auklet.", "a photo of tench, Tinca tinca."]
    assert tool.make_prompts(names, "the {}", True, True) == ["the Least Auklet", "the tench"]
    with pytest.raises(ValueError, match="has no {}"):
        tool.make_prompts(names, "a photo")


@pytest.mark.parametrize("form", small_clip.FORMS)
def test_embeddings_equal_those_of_open_clip(form, tool, clip, tmp_path, capsys):
    """From OpenAI's archive without naming the model, from open_clip's files by its name."""
    weights, out = small_clip.write(clip, form, tmp_path), tmp_path / "clip" / "cub.pt"
    args = ["--classes", "CUB", "--checkpoint", str(weights), "--out", str(out), "--replace-underscore"]
    tool.main(args if form == "archive" else [*args, "--model", "ViT-B-32-quickgelu"])
    embeddings, classes, fingerprint = load_text_embeddings(out)
    assert classes == tuple(CUB_CATEGORIES)
    prompts = [f"a photo of {name.replace('_', ' ')}." for name in CUB_CATEGORIES]
    torch.testing.assert_close(embeddings, encode_text(clip, prompts), rtol=1e-5, atol=1e-6)
    meta = torch.load(out, weights_only=True)
    assert meta["template"] == "a photo of {}." and meta["clip_name"] == "ViT-B-32-quickgelu"
    assert meta["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert meta["fingerprint"] == fingerprint and len(fingerprint) == 64
    assert "200 classes, 16 dimensions" in capsys.readouterr().out


def test_documented_commands_serve_every_config(clip, tmp_path, monkeypatch):
    """As a user runs them, with OpenAI's archive: every data set that a config with SBA trains on has a command."""
    needed = sba_configs()
    assert set(needed.values()) == {"CUB", "ILSVRC", "NEUDET", "BrainTumor", "OpenImages30k"}
    small_clip.write(clip, "archive", tmp_path)
    monkeypatch.setenv("MMWSOL_CHECKPOINT_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        script, *args = shlex.split(command)
        monkeypatch.setattr(sys, "argv", [script, *args])
        runpy.run_path(str(ROOT / script), run_name="__main__")
    for path, dataset in needed.items():
        names = DATASETS.get(f"mmwsol.{dataset}").METAINFO["classes"]
        SemanticBoostLoss(path).check_classes(names)
        embeddings, classes, _ = load_text_embeddings(path)
        shown = [name.replace("_", " ") for name in classes] if dataset == "NEUDET" else classes
        expected = encode_text(clip, [f"a photo of {name}." for name in shown])
        torch.testing.assert_close(embeddings, expected, rtol=1e-5, atol=1e-6)
    assert len(COMMANDS) == len(needed)


def test_activation_is_that_of_the_weights(tool, clip, tmp_path):
    args = ["--classes", "NEUDET", "--out", str(tmp_path / "text.pt"), "--checkpoint"]
    archive, plain = (str(small_clip.write(clip, form, tmp_path)) for form in ("archive", "safetensors"))
    with pytest.raises(SystemExit, match="ValueError: .*ViT-B-32.pt holds weights that were trained with QuickGELU"):
        tool.main([*args, archive, "--model", "ViT-B-32"])
    with pytest.raises(SystemExit, match="does not say whether it is of QuickGELU or of GELU.*: name the model"):
        tool.main([*args, plain])
    (tmp_path / "open_clip_config.json").write_text(json.dumps(dict(model_cfg=small_clip.config(quick_gelu=True))))
    tool.main([*args, plain])
    with pytest.raises(SystemExit, match="trained with QuickGELU, and ViT-B-32 computes GELU"):
        tool.main([*args, plain, "--model", "ViT-B-32"])
    with pytest.raises(SystemExit, match="open_clip has no model 'ViT-C'"):
        tool.main([*args, archive, "--model", "ViT-C"])
    with pytest.raises(SystemExit, match="does not hold the weights of open_clip's RN50"):
        tool.main([*args, archive, "--model", "RN50-quickgelu"])


def test_long_prompts_are_not_cut(tool, clip, tmp_path):
    args = ["--classes", "NEUDET", "--checkpoint", str(small_clip.write(clip, "archive", tmp_path))]
    args += ["--out", str(tmp_path / "text.pt"), "--template"]
    tool.main([*args, "a " * 70 + "{}"])  # 77 with start, end and the 5 of rolled-in_scale
    with pytest.raises(
        SystemExit, match="the prompt 'a .* rolled-in_scale' is longer than the 77 tokens of ViT-B-32-quickgelu"
    ):
        tool.main([*args, "a " * 71 + "{}"])


def test_missing_weights_and_package(tool, tmp_path, monkeypatch):
    monkeypatch.delenv("MMWSOL_CHECKPOINT_ROOT", raising=False)
    with pytest.raises(SystemExit, match="FileNotFoundError: CLIP weights ViT-B-32.pt are not on this machine"):
        tool.main(["--classes", "CUB", "--out", str(tmp_path / "cub.pt")])
    monkeypatch.setitem(sys.modules, "open_clip", None)
    (tmp_path / "clip.pt").write_bytes(b"")
    with pytest.raises(SystemExit, match="ImportError: open_clip is not installed"):
        tool.main(["--classes", "CUB", "--checkpoint", str(tmp_path / "clip.pt"), "--out", str(tmp_path / "cub.pt")])
