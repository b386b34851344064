"""One reader for all forms of release: every tensor of real networks of timm and torchvision, and no code of a file."""

import pytest
import timm
import torch
import torchvision
from weight_forms import FORMS, REFUSED, write, write_refused

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
    with pytest.raises(ValueError, match=f"(?s){REFUSED[kind]}"):
        load_checkpoint_file(path)


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
