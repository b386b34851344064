"""tools/make_clip_text_embeddings.py: class lists, prompts, the file it writes, its errors."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmpretrain.datasets.categories import CUB_CATEGORIES, IMAGENET_CATEGORIES

from mmwsol.methods.cdtr.clip_encoders import load_text_embeddings

PATH = Path(__file__).resolve().parents[2] / "tools" / "make_clip_text_embeddings.py"


@pytest.fixture()
def tool():
    spec = importlib.util.spec_from_file_location("make_clip_text_embeddings", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture()
def open_clip(monkeypatch):
    """A text tower in open_clip's place: the features of a prompt are the counts of its letters."""

    def tokenize(texts):
        return torch.tensor([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts])

    class Model(torch.nn.Module):
        def encode_text(self, tokens):
            return tokens.float()

    fake = SimpleNamespace(create_model=lambda name, pretrained: Model(), get_tokenizer=lambda name: tokenize)
    monkeypatch.setitem(sys.modules, "open_clip", fake)
    return tokenize


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


def test_file(tool, open_clip, tmp_path, capsys):
    weights, out = tmp_path / "clip.pt", tmp_path / "clip" / "cub.pt"
    weights.write_bytes(b"weights")
    tool.main(["--classes", "CUB", "--checkpoint", str(weights), "--out", str(out), "--replace-underscore"])
    embeddings, classes = load_text_embeddings(out)
    assert classes == tuple(CUB_CATEGORIES)
    prompts = [f"a photo of {name.replace('_', ' ')}." for name in CUB_CATEGORIES]
    torch.testing.assert_close(embeddings, torch.nn.functional.normalize(open_clip(prompts).float(), dim=1))
    meta = torch.load(out, weights_only=True)
    assert meta["template"] == "a photo of {}." and meta["clip_name"] == "ViT-B-32-quickgelu"
    assert meta["weights_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert "200 classes, 26 dimensions" in capsys.readouterr().out


def test_missing_weights_and_package(tool, tmp_path, monkeypatch):
    monkeypatch.delenv("MMWSOL_CHECKPOINT_ROOT", raising=False)
    with pytest.raises(SystemExit, match="FileNotFoundError: CLIP weights ViT-B-32.pt are not on this machine"):
        tool.main(["--classes", "CUB", "--out", str(tmp_path / "cub.pt")])
    monkeypatch.setitem(sys.modules, "open_clip", None)
    (tmp_path / "clip.pt").write_bytes(b"")
    with pytest.raises(SystemExit, match="ImportError: open_clip is not installed"):
        tool.main(["--classes", "CUB", "--checkpoint", str(tmp_path / "clip.pt"), "--out", str(tmp_path / "cub.pt")])
