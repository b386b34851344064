"""Weights of official releases: names, containers, pretrained starts, errors."""

import pytest
import torch
from mmengine.logging import MMLogger

from mmwsol.registry import MODELS
from mmwsol.utils import convert_official, load_pretrained
from mmwsol.utils.checkpoint import find_checkpoint, guess_source

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)


def model(num_classes=5, img_size=32, **kwargs):
    torch.manual_seed(0)
    backbone = dict(type="mmwsol.TapViT", arch=ARCH, img_size=img_size, patch_size=8)
    head = dict(type="mmwsol.ConvCAMHead", num_classes=num_classes, in_channels=24)
    return MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, **kwargs))


def release(num_classes=1000, tokens=17):
    """A state dict with the names of facebookresearch/deit."""
    torch.manual_seed(1)
    shapes = {"cls_token": (1, 1, 24), "pos_embed": (1, tokens, 24)}
    shapes |= {"patch_embed.proj.weight": (24, 3, 8, 8), "patch_embed.proj.bias": (24,)}
    for i in range(3):
        shapes |= {
            f"blocks.{i}.{name}": shape
            for name, shape in {
                "norm1.weight": (24,),
                "norm1.bias": (24,),
                "attn.qkv.weight": (72, 24),
                "attn.qkv.bias": (72,),
                "attn.proj.weight": (24, 24),
                "attn.proj.bias": (24,),
                "norm2.weight": (24,),
                "norm2.bias": (24,),
                "mlp.fc1.weight": (48, 24),
                "mlp.fc1.bias": (48,),
                "mlp.fc2.weight": (24, 48),
                "mlp.fc2.bias": (24,),
            }.items()
        }
    shapes |= {"norm.weight": (24,), "norm.bias": (24,)}
    if num_classes:
        shapes |= {"head.weight": (num_classes, 24), "head.bias": (num_classes,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def tscam_release(num_classes=5):
    weights = release(num_classes)
    weights["head.weight"] = torch.randn(num_classes, 24, 3, 3)
    return {"epoch": 60, "state_dict": {f"module.{k}": v for k, v in weights.items()}, "best_map": 0.8}


def load_strictly(target, converted):
    missing, unexpected = target.load_state_dict(converted, strict=False)
    assert not unexpected
    assert all(name.startswith("map_to_box.") for name in missing)


def test_tscam_leaves_no_missing_and_no_unexpected_key():
    official = tscam_release()
    target = model()
    load_strictly(target, convert_official(official, "tscam"))
    assert torch.equal(target.head.conv.weight, official["state_dict"]["module.head.weight"])
    fc2 = official["state_dict"]["module.blocks.2.mlp.fc2.weight"]
    assert torch.equal(target.backbone.layers[2].ffn.layers[1].weight, fc2)


@pytest.mark.parametrize("source", ["deit", "dino"])
def test_backbone_releases_fill_the_backbone(source):
    official = release(num_classes=1000 if source == "deit" else 0)
    if source == "dino":  # whole training checkpoint: student, teacher with projection head
        teacher = {f"backbone.{name}": value for name, value in official.items()}
        official = {"student": {}, "teacher": {**teacher, "head.mlp.0.weight": torch.zeros(2, 2)}}
    else:
        official = {"model": official}
    converted = convert_official(official, source)
    backbone = {k.removeprefix("backbone."): v for k, v in converted.items() if k.startswith("backbone.")}
    model().backbone.load_state_dict(backbone, strict=True)


def test_conversion_errors_name_the_problem():
    with pytest.raises(ValueError, match="Unknown source 'deit2'; known: deit, dino, tscam"):
        convert_official({}, "deit2")
    with pytest.raises(ValueError, match=r"unexpected \['layer1.conv.weight'\]"):
        convert_official({"layer1.conv.weight": torch.zeros(1)}, "deit")


def test_sources_are_told_apart():
    assert guess_source(release()) == "deit"
    assert guess_source({k[7:]: v for k, v in tscam_release()["state_dict"].items()}) == "tscam"
    assert guess_source({f"backbone.{k}": v for k, v in release(0).items()}) == "dino"
    assert guess_source(model().state_dict()) is None


def start_from(tmp_path, weights, **kwargs):
    path = tmp_path / "weights.pth"
    torch.save(weights, path)
    target = model(init_cfg=dict(type="Pretrained", checkpoint=str(path)), **kwargs)
    target.init_weights()
    return target


def test_pretrained_start_from_deit(tmp_path):
    official = release()
    target = start_from(tmp_path, {"model": official})
    assert torch.equal(target.backbone.cls_token, official["cls_token"])
    assert torch.equal(target.backbone.layers[0].attn.qkv.weight, official["blocks.0.attn.qkv.weight"])
    bound = (9 * 24) ** -0.5  # the head stays at PyTorch's initialisation
    assert target.head.conv.weight.abs().max() <= bound


@pytest.mark.parametrize("inherit", [True, False])
def test_bias_of_the_classifier_is_inherited_where_class_counts_agree(tmp_path, inherit):
    official = release(num_classes=5)
    head = dict(type="mmwsol.ConvCAMHead", num_classes=5, in_channels=24, inherit_bias=inherit)
    backbone = dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8)
    target = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    path = tmp_path / "deit.pth"
    torch.save(official, path)
    load_pretrained(target, str(path))
    assert torch.equal(target.head.conv.bias, official["head.bias"]) == inherit


def test_pretrained_start_from_our_own_checkpoint(tmp_path):
    other = model(num_classes=9)
    other.init_weights()
    target = start_from(tmp_path, {"state_dict": other.state_dict(), "meta": {}})
    assert torch.equal(target.backbone.pos_embed, other.backbone.pos_embed)
    assert target.head.conv.weight.shape[0] == 5


def test_position_embedding_of_another_size_is_resized_and_reported(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger, "info", lambda self, message, *args: lines.append(str(message)))
    target = start_from(tmp_path, {"model": release(tokens=17)}, img_size=64)
    assert target.backbone.pos_embed.shape == (1, 65, 24)
    assert any("Resize the pos_embed" in line for line in lines)


def test_weights_of_another_architecture_are_refused(tmp_path):
    with pytest.raises(ValueError, match="do not fit the backbone"):
        start_from(tmp_path, {k: v.repeat_interleave(2, -1) for k, v in release().items()})
    with pytest.raises(ValueError, match="only 0 of the backbone's"):
        start_from(tmp_path, {"conv1.weight": torch.zeros(3)})


def test_missing_file_says_what_to_do(tmp_path):
    target = model(init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "none.pth")))
    with pytest.raises(FileNotFoundError, match=r"none.pth.*MMWSOL_CHECKPOINT_ROOT"):
        target.init_weights()


def test_checkpoint_root_replaces_urls(tmp_path, monkeypatch):
    url = "https://example.com/models/deit.pth"
    assert find_checkpoint(url) == url
    monkeypatch.setenv("MMWSOL_CHECKPOINT_ROOT", str(tmp_path))
    assert find_checkpoint(url) == url
    (tmp_path / "deit.pth").touch()
    assert find_checkpoint(url) == str(tmp_path / "deit.pth")
