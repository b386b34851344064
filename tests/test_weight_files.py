"""One reader for all forms of release: every tensor of real networks of timm and torchvision, and no code of a file."""

import pickle
import re
import time
import zipfile
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from weight_forms import FORMS, REFUSED, write, write_refused

from mmwsol import weight_files
from mmwsol.compat import load_checkpoint_file
from mmwsol.weight_files import read_script


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return timm.create_model("resnet10t", num_classes=7).eval()


@pytest.mark.parametrize("form", FORMS)
def test_forms_give_the_same_tensors(resnet, form, tmp_path):
    loaded = load_checkpoint_file(write(resnet, form, tmp_path))["state_dict"]
    expected = resnet.state_dict()
    loaded = {name.removeprefix("module."): value for name, value in loaded.items()}
    assert loaded.keys() == expected.keys()
    for name, value in expected.items():
        assert loaded[name].dtype == value.dtype and torch.equal(loaded[name], value), name


@pytest.mark.parametrize("kind", REFUSED)
def test_other_files_are_refused_with_what_to_do(resnet, kind, tmp_path):
    path = write_refused(resnet, kind, tmp_path)
    with pytest.raises(ValueError, match=f"(?s){REFUSED[kind]}") as error:
        load_checkpoint_file(path)
    advice = "weights_only" in str(error.value) or "TRUST" in str(error.value)
    assert advice == (kind == "network")


def test_damage_is_never_said_to_be_code(tmp_path):
    """Anywhere in a file, of the form with checksums and of that without, where the numbers are not noticed."""
    small = torch.nn.Linear(3, 3)
    for form in ("state_dict", "legacy"):
        good = Path(write(small, form, tmp_path)).read_bytes()
        for place in range(0, len(good), 7 if form == "legacy" else 29):
            content = bytearray(good)
            content[place] ^= 1 << place % 8
            (tmp_path / "flipped.pth").write_bytes(content)
            try:
                load_checkpoint_file(str(tmp_path / "flipped.pth"))
            except ValueError as error:
                assert not re.search("TRUST|weights_only|could run", str(error)), (form, place, error)


def test_other_protocols_and_files_without_checksums(tmp_path):
    weights = torch.nn.Linear(2, 2).state_dict()
    torch.save(weights, tmp_path / "new.pth", pickle_protocol=4)
    with pytest.raises(ValueError, match="holds the instruction FRAME of pickle.*MMWSOL_TRUST_CHECKPOINTS=1"):
        load_checkpoint_file(str(tmp_path / "new.pth"))
    content = bytearray(Path(write(torch.nn.Linear(2, 2), "state_dict", tmp_path)).read_bytes())
    for part in zipfile.ZipFile(tmp_path / "state_dict.pth").infolist():
        crc = part.CRC.to_bytes(4, "little")
        content = content.replace(crc, bytes(4))
    (tmp_path / "none.pth").write_bytes(content)
    assert len(load_checkpoint_file(str(tmp_path / "none.pth"))["state_dict"]) == 2


@pytest.mark.parametrize("length", [0x8B1F, 0x4D42, 0x5A4D, 0x4B50])
def test_lengths_of_safetensors_are_no_other_file(length, tmp_path):
    """The first two bytes of a file with a header of this length are those of gzip, a bitmap, a program, a zip."""
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2)}, tmp_path / "a", metadata={"x": "y"})
    size = int.from_bytes((tmp_path / "a").read_bytes()[:8], "little")
    content = (tmp_path / "a").read_bytes()
    padded = length.to_bytes(8, "little") + content[8 : 8 + size].ljust(length) + content[8 + size :]
    (tmp_path / "b").write_bytes(padded)
    assert load_checkpoint_file(str(tmp_path / "b"))["state_dict"]["w"].tolist() == [1, 1]


def test_whole_networks_of_trusted_authors_load(resnet, tmp_path, monkeypatch):
    monkeypatch.setenv("MMWSOL_TRUST_CHECKPOINTS", "1")
    for content in (resnet, {"epoch": 1, "model": resnet}):
        torch.save(content, tmp_path / "network.pth")
        loaded = load_checkpoint_file(str(tmp_path / "network.pth"))["state_dict"]
        assert all(torch.equal(loaded[name], value) for name, value in resnet.state_dict().items())


class Types(torch.nn.Module):
    """Weights of every type, views of one storage, a shared layer, a constant that is no weight."""

    def __init__(self):
        super().__init__()
        whole = torch.arange(12.0)
        self.upper, self.lower = torch.nn.Parameter(whole[:6].view(2, 3).T), torch.nn.Parameter(whole[6:])
        for name in ("half", "bfloat16", "double", "int8", "uint8", "int16", "int32", "int64", "bool"):
            self.register_buffer(f"as_{name}", torch.arange(3).to(getattr(torch, name)))
        self.register_buffer("nothing", torch.zeros(0))
        self.first = self.second = torch.nn.Linear(2, 2)
        self.constant = torch.ones(3)

    def forward(self, x):
        return self.second(self.first(x)) + self.constant.sum() + self.upper.sum() + self.lower.sum()


def test_scripts_are_read_as_torch_reads_them(tmp_path):
    for number, network in enumerate((Types(), torchvision.models.mobilenet_v3_small(num_classes=3))):
        path = str(tmp_path / f"{number}.pt")
        torch.jit.script(network).save(path)
        expected, weights = torch.jit.load(path).state_dict(), read_script(path)
        assert weights.keys() == expected.keys()
        for name, value in expected.items():
            assert weights[name].dtype == value.dtype and torch.equal(weights[name], value), name


def script_archive(path, network, code=""):
    """Write an archive of objects that are named as TorchScript's classes are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps(network, 2).replace(b"test_weight_files\n", b"__torch__\n"))
        archive.writestr("a/constants.pkl", b"")
        archive.writestr("a/code/__torch__.py", code)
    return str(path)


class Part:
    """A network in such an archive."""


def test_small_scripts_take_no_time(tmp_path, monkeypatch):
    Part.__module__ = "test_weight_files"
    network = Part()
    network.training = True
    for _ in range(40):
        outer = Part()
        outer.a = outer.b = network
        network = outer
    monkeypatch.setattr(weight_files, "_MOST_ATTRIBUTES", 10**4)
    with pytest.raises(ValueError, match="more than 10,000 attributes"):
        read_script(script_archive(tmp_path / "shared.pt", network))
    parts = Part()
    vars(parts).update({f"part{number}": Part() for number in range(2000)})
    for part in vars(parts).values():
        part.training = True
    code = "class Part(Module):\n  __buffers__ = []\n" + " " * 5 * 10**6
    start = time.perf_counter()
    assert read_script(script_archive(tmp_path / "code.pt", parts, code)) == {}
    assert time.perf_counter() - start < 5  # 10 s where the code is read for every part
    monkeypatch.setattr(weight_files, "_MOST_CODE", 10**6)
    with pytest.raises(ValueError, match="more than 1,000,000 bytes of code"):
        read_script(str(tmp_path / "code.pt"))


class Forged(torch.nn.Module):
    """TorchScript that writes a file when it is loaded."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))

    def forward(self, x):
        return x

    @torch.jit.export
    def __getstate__(self):
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]):
        torch.save(state[0], "forged-script.bin")
        self.weight = state[0]
        self.training = state[1]


def test_code_of_scripts_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.jit.script(Forged()).save("forged.pt")
    with pytest.raises(ValueError, match="cannot be read without running its code .*Forged has a __setstate__"):
        load_checkpoint_file("forged.pt")
    assert not (tmp_path / "forged-script.bin").exists()
    torch.jit.load("forged.pt")  # the danger is real
    assert (tmp_path / "forged-script.bin").exists()
