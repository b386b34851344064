"""CLIP's image towers: timm's equals the tower written out and open_clip's; files in every released form; errors."""

import json
import sys

import pytest
import small_clip
import timm
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from small_clip import DEPTH, EMBED, FORMS, HEADS, TIMM, WIDTH

from mmwsol.methods.cdtr import SemanticBoostLoss
from mmwsol.methods.cdtr.clip_encoders import (
    FrozenEncoder,
    OpenCLIP,
    StandInCLIP,
    TimmCLIP,
    load_clip_weights,
)
from mmwsol.methods.cdtr.text_embeddings import save_text_embeddings

QUICK, PLAIN = "vit_base_patch32_clip_quickgelu_224", "vit_base_patch32_clip_224"
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


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
    return TimmCLIP(path, model_name=QUICK, **TIMM).eval()


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
        TimmCLIP(write("pt", tmp_path, release()), QUICK, feat_dim=EMBED, embed_dim=32, depth=1, num_heads=2)


def test_open_clip_is_an_extra(tmp_path, monkeypatch):
    path = write("pt", tmp_path, release())
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ImportError, match=r"pip install 'mmwsol\[clip\]'"):
        OpenCLIP(path)


@pytest.fixture()
def clip(tmp_path, monkeypatch):
    """A small CLIP of open_clip, called 'small' there, and 'small-gelu' with the other activation."""
    configs = tmp_path / "configs"
    configs.mkdir()
    plain, large = small_clip.config(quick_gelu=False), small_clip.config(patch_size=16)
    small_clip.register(configs, monkeypatch, small=small_clip.config(), small_gelu=plain, small_16=large)
    return small_clip.make("small")


@pytest.mark.parametrize("form", FORMS)
def test_both_towers_equal_that_of_open_clip(form, clip, tmp_path):
    path = str(small_clip.write(clip, form, tmp_path))
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = clip.encode_image(images)
        for encoder in (OpenCLIP(path, "small"), TimmCLIP(path, QUICK, **TIMM)):
            torch.testing.assert_close(encoder.eval()(images), expected, rtol=1e-4, atol=1e-5)
            assert (encoder.embed_dim, encoder.input_size) == (EMBED, 224)
            assert encoder.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
            assert encoder.std == pytest.approx((0.26862954, 0.26130258, 0.27577711))


@pytest.mark.parametrize("prefix", ["", "visual.trunk."])
def test_towers_in_the_names_of_timm(prefix, tmp_path):
    torch.manual_seed(0)
    tower = timm.create_model(QUICK, num_classes=EMBED, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS).eval()
    weights = {prefix + name: value for name, value in tower.state_dict().items()}
    if prefix:  # a tower of timm in a model of open_clip: the projection is its own, without bias
        torch.nn.init.zeros_(tower.head.bias)
        del weights["visual.trunk.head.bias"]
        weights["visual.head.proj.weight"] = weights.pop("visual.trunk.head.weight")
    torch.save(weights, tmp_path / "timm.pt")
    images = torch.randn(2, 3, 224, 224)
    torch.testing.assert_close(narrow(str(tmp_path / "timm.pt"))(images), tower(images))


def test_activation_of_the_weights(clip, tmp_path):
    """OpenAI's archive is known to be of QuickGELU; other files need a name, or the config of open_clip beside them."""
    archive = str(small_clip.write(clip, "archive", tmp_path))
    assert load_clip_weights(archive).quick_gelu
    assert isinstance(TimmCLIP(archive, **TIMM).tower.blocks[0].mlp.act, timm.layers.QuickGELU)
    for build in (lambda: TimmCLIP(archive, PLAIN, **TIMM), lambda: OpenCLIP(archive, "small-gelu")):
        with pytest.raises(
            ValueError, match="trained with QuickGELU, and .* computes GELU.*name with 'quickgelu' in it"
        ):
            build()
    plain = small_clip.make("small-gelu")
    hub = str(small_clip.write(plain, "safetensors", tmp_path / "hub"))
    for build in (lambda: TimmCLIP(hub, **TIMM), lambda: OpenCLIP(hub)):
        with pytest.raises(ValueError, match="does not say whether it is of QuickGELU or of GELU.*: name the model"):
            build()
    (tmp_path / "hub" / "open_clip_config.json").write_text(json.dumps(dict(model_cfg=small_clip.config(False))))
    for build in (lambda: TimmCLIP(hub, QUICK, **TIMM), lambda: OpenCLIP(hub, "small")):
        with pytest.raises(ValueError, match="trained with GELU, and .* computes QuickGELU.*without 'quickgelu'"):
            build()
    with pytest.raises(ValueError, match="is of GELU, and with the wrong one"):
        TimmCLIP(hub, **TIMM)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        for encoder in (OpenCLIP(hub, "small-gelu"), TimmCLIP(hub, PLAIN, **TIMM)):
            torch.testing.assert_close(encoder(images), plain.encode_image(images), rtol=1e-4, atol=1e-5)


def test_other_patches_and_sizes_are_not_resampled(clip, tmp_path):
    fine = str(small_clip.write(small_clip.make("small-16"), "state_dict", tmp_path))
    with pytest.raises(ValueError, match=r"patches of \(16, 16\) pixels and 197 positions.* has \(32, 32\) and 50"):
        TimmCLIP(fine, QUICK, **TIMM)
    with pytest.raises(ValueError, match="(?s)does not hold the weights of open_clip's small: .*conv1"):
        OpenCLIP(fine, "small")
    coarse = str(small_clip.write(clip, "state_dict", tmp_path))
    with pytest.raises(ValueError, match="50 positions, timm's .* at input_size=256 has .* and 65"):
        TimmCLIP(coarse, QUICK, input_size=256, **TIMM)
    with pytest.raises(ValueError, match="open_clip has no model 'none'"):
        OpenCLIP(coarse, "none")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="list.pt' holds no weights by name"):
        OpenCLIP(str(tmp_path / "list.pt"), "small")


def test_texts_and_images_are_of_one_clip(clip, tmp_path):
    """The loss from real towers; texts of another CLIP, which cannot be compared, are refused."""
    fingerprints = set()
    for form in FORMS:
        path = str(small_clip.write(clip, form, tmp_path))
        fingerprints |= {TimmCLIP(path, QUICK, **TIMM).fingerprint, OpenCLIP(path, "small").fingerprint}
    (fingerprint,) = fingerprints
    text = tmp_path / "text.pt"
    tower = dict(type="mmwsol.TimmCLIP", checkpoint=path, model_name=QUICK, **TIMM)
    save_text_embeddings(text, torch.randn(3, EMBED), ["a", "b", "c"], fingerprint=fingerprint)
    loss = SemanticBoostLoss(str(text), clip=tower)
    maps = torch.rand(2, 1, 7, 7, requires_grad=True)
    torch.stack(loss.similarities(torch.randn(2, 3, 224, 224), maps, torch.tensor([0, 2]))).sum().backward()
    assert maps.grad.any()

    other = str(small_clip.write(small_clip.make("small", seed=1), "state_dict", tmp_path / "other"))
    loss = SemanticBoostLoss(str(text), clip=dict(tower, checkpoint=other))
    with pytest.raises(ValueError, match="was made with another CLIP than the image tower of mmwsol.TimmCLIP"):
        loss.load()
    assert MODELS.build(dict(tower, checkpoint=other)).fingerprint != fingerprint


def test_stand_in_is_deterministic_and_linear():
    first, second = StandInCLIP(4, 32, 8), StandInCLIP(4, 32, 8)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(first(images), second(images))
    assert not torch.equal(first(images), StandInCLIP(4, 32, 8, seed=1)(images))
    torch.testing.assert_close(first(2 * images) - first.bias, 2 * (first(images) - first.bias))
    with pytest.raises(ValueError, match="patch_size=5 does not divide input_size=32"):
        StandInCLIP(4, 32, 5)


def test_an_encoder_that_does_not_say_what_it_takes_is_refused():
    with pytest.raises(ValueError, match="clip must be a ClipEncoder, such as mmwsol.TimmCLIP, got Linear"):
        FrozenEncoder(torch.nn.Linear(2, 2))
