"""CLIP's image tower by timm equals the tower written out; weights in every form of file; open_clip; errors."""

import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from mmwsol.methods.cdtr.clip_encoders import OpenCLIP, StandInCLIP, TimmCLIP

WIDTH, HEADS, DEPTH, EMBED = 64, 2, 2, 16


def release():
    """Weights with the names of OpenAI's release, of a narrow tower with 32x32 patches."""
    torch.manual_seed(0)
    shapes = {"class_embedding": (WIDTH,), "positional_embedding": (50, WIDTH), "proj": (WIDTH, EMBED)}
    shapes |= {"conv1.weight": (WIDTH, 3, 32, 32)}
    shapes |= {f"{name}.{kind}": (WIDTH,) for name in ("ln_pre", "ln_post") for kind in ("weight", "bias")}
    for i in range(DEPTH):
        block = f"transformer.resblocks.{i}"
        shapes |= {f"{block}.{name}.{kind}": (WIDTH,) for name in ("ln_1", "ln_2") for kind in ("weight", "bias")}
        for name, out, width in (
            ("attn.in_proj_", 3 * WIDTH, WIDTH),
            ("attn.out_proj.", WIDTH, WIDTH),
            ("mlp.c_fc.", 4 * WIDTH, WIDTH),
            ("mlp.c_proj.", WIDTH, 4 * WIDTH),
        ):
            shapes |= {f"{block}.{name}weight": (out, width), f"{block}.{name}bias": (out,)}
    weights = {f"visual.{name}": 0.2 * torch.randn(shape) for name, shape in shapes.items()}
    return {**weights, "logit_scale": torch.ones(()), "token_embedding.weight": torch.zeros(4, 8)}


def written_out(weights, images):
    """The tower: pre-norm transformer with QuickGELU and eps 1e-5, class token, projection."""
    w = {name.removeprefix("visual."): value for name, value in weights.items()}

    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)

    x = F.conv2d(images, w["conv1.weight"], stride=32).flatten(2).transpose(1, 2)
    x = torch.cat([w["class_embedding"].expand(len(x), 1, -1), x], 1) + w["positional_embedding"]
    x = norm(x, "ln_pre")
    for i in range(DEPTH):
        block = f"transformer.resblocks.{i}."
        h = norm(x, block + "ln_1")
        q, k, v = F.linear(h, w[block + "attn.in_proj_weight"], w[block + "attn.in_proj_bias"]).chunk(3, -1)
        q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in (q, k, v))
        h = ((q @ k.mT * (WIDTH // HEADS) ** -0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + F.linear(h, w[block + "attn.out_proj.weight"], w[block + "attn.out_proj.bias"])
        h = F.linear(norm(x, block + "ln_2"), w[block + "mlp.c_fc.weight"], w[block + "mlp.c_fc.bias"])
        x = x + F.linear(h * torch.sigmoid(1.702 * h), w[block + "mlp.c_proj.weight"], w[block + "mlp.c_proj.bias"])
    return norm(x[:, 0], "ln_post") @ w["proj"]


class Archive(torch.nn.Module):
    """A module whose TorchScript archive has the names of a state dict."""

    def __init__(self, weights):
        super().__init__()
        for name, value in weights.items():
            *path, leaf = name.split(".")
            module = self
            for part in path:
                if not hasattr(module, part):
                    module.add_module(part, torch.nn.Module())
                module = getattr(module, part)
            module.register_buffer(leaf, value)

    def forward(self, x):
        return x


def write(kind, folder, weights):
    path = str(folder / f"clip.{kind}")
    if kind == "safetensors":
        from safetensors.torch import save_file

        save_file(weights, path)
    elif kind == "script":
        torch.jit.trace(Archive({k: v.half() for k, v in weights.items()}), torch.zeros(1)).save(path)
    else:
        torch.save({"state_dict": weights} if kind == "pth" else weights, path)
    return path


def narrow(path):
    return TimmCLIP(path, feat_dim=EMBED, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS).eval()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["pt", "pth", "safetensors", "script"])
def test_timm_tower_equals_the_tower_written_out(kind, tmp_path):
    weights = release()
    images = torch.randn(2, 3, 224, 224)
    if kind == "script":  # OpenAI stores half precision
        expected = written_out({k: v.half().float() for k, v in weights.items()}, images)
    else:
        expected = written_out(weights, images)
    torch.testing.assert_close(narrow(write(kind, tmp_path, weights))(images), expected, rtol=1e-4, atol=1e-4)


def test_weights_lie_in_the_checkpoint_root(tmp_path, monkeypatch):
    write("pt", tmp_path, release())
    monkeypatch.setenv("MMWSOL_CHECKPOINT_ROOT", str(tmp_path))
    assert narrow("https://example.com/models/clip.pt").embed_dim == EMBED


def test_missing_and_wrong_weights(tmp_path, monkeypatch):
    monkeypatch.delenv("MMWSOL_CHECKPOINT_ROOT", raising=False)
    with pytest.raises(FileNotFoundError, match=r"Download https://openaipublic.*loss_sba=None"):
        narrow(str(tmp_path / "none.pt"))
    with pytest.raises(FileNotFoundError, match="Download https://example.com/clip.pt and give"):
        narrow("https://example.com/clip.pt")
    with pytest.raises(ValueError, match="does not hold the weights of timm's vit_base_patch32_clip_quickgelu_224"):
        TimmCLIP(write("pt", tmp_path, release()), feat_dim=EMBED, embed_dim=32, depth=1, num_heads=2)


def test_open_clip_is_an_extra(tmp_path, monkeypatch):
    path = write("pt", tmp_path, release())
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ImportError, match=r"pip install 'mmwsol\[clip\]'"):
        OpenCLIP(path)


def test_open_clip_gives_its_image_tower(tmp_path, monkeypatch):
    path = write("pt", tmp_path, release())
    tower = torch.nn.Flatten()
    tower.output_dim, tower.image_size = 12, (8, 8)
    calls = []

    def create_model(name, pretrained):
        calls.append((name, pretrained))
        return SimpleNamespace(visual=tower)

    monkeypatch.setitem(sys.modules, "open_clip", SimpleNamespace(create_model=create_model))
    encoder = OpenCLIP(path)
    assert (encoder.embed_dim, encoder.input_size) == (12, 8)
    assert calls == [("ViT-B-32-quickgelu", path)]
    assert encoder(torch.zeros(2, 3, 2, 2)).shape == (2, 12)


def test_stand_in_is_deterministic_and_linear():
    first, second = StandInCLIP(4, 32, 8), StandInCLIP(4, 32, 8)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(first(images), second(images))
    assert not torch.equal(first(images), StandInCLIP(4, 32, 8, seed=1)(images))
    torch.testing.assert_close(first(2 * images) - first.bias, 2 * (first(images) - first.bias))
    with pytest.raises(ValueError, match="patch_size=5 does not divide input_size=32"):
        StandInCLIP(4, 32, 5)
