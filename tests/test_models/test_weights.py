"""Weights of official releases: names, containers, pretrained starts, errors."""

import functools
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from mmengine.logging import MMLogger

from mmwsol.methods.sat.losses import nsig_kernel
from mmwsol.models.weights import find_checkpoint, guess_source
from mmwsol.registry import MODELS
from mmwsol.utils import convert_official, load_pretrained

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


def cdtr_release(suffix="_1", num_classes=5):
    """A state dict with the names of zhiweichen0012/CDTR or, without the suffix and SKI, CATR: two blocks in OCM."""

    def norm(channels):
        affine = {name: torch.randn(channels) for name in ("weight", "bias", "running_mean")}
        return {**affine, "running_var": torch.rand(channels), "num_batches_tracked": torch.tensor(3)}

    def double_conv(prefix, inputs, outputs):
        named = {f"{prefix}.0.weight": torch.randn(outputs, inputs, 3, 3)}
        named[f"{prefix}.3.weight"] = torch.randn(outputs, outputs, 3, 3)
        return named | {f"{prefix}.{i}.{name}": value for i in (1, 4) for name, value in norm(outputs).items()}

    weights = release(0)
    weights |= {"head.weight": torch.randn(num_classes, 24, 3, 3), "head.bias": torch.randn(num_classes)}
    weights |= double_conv(f"att_layer.down{suffix}.1.UConv", 6, 8)
    weights |= double_conv(f"att_layer.up{suffix}.conv.UConv", 14, num_classes)
    weights["att_cls.weight"] = torch.randn(num_classes, num_classes, 1, 1)
    for k in range(2):
        weights[f"block{k}.0.weight"] = torch.randn(1, 2, 1, 1)
        weights |= {f"block{k}.1.{name}": value for name, value in norm(1).items()}
    weights["block_catconv.weight"] = torch.randn(1, 2, 3, 3)
    weights |= {f"block_catbn.{name}": value for name, value in norm(1).items()}
    if suffix:
        weights["dnc_att_layer.conv_offset.weight"] = torch.randn(18, num_classes, 3, 3)
        weights["dnc_att_layer.conv_offset.bias"] = torch.randn(18)
        weights["dnc_att_layer.deform_conv.weight"] = torch.randn(num_classes, num_classes, 3, 3)
    weights["AutomaticWeightedLoss.params"] = torch.rand(5 if suffix else 4)
    return {"epoch": 109, "model": weights, "model_ema": None}


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


def trt_release(stage, num_classes=5):
    """A checkpoint of su-hui-zz/ReAttentionTransformer."""
    weights = release(num_classes)
    block = {k.removeprefix("blocks.0."): v for k, v in weights.items() if k.startswith("blocks.0.")}
    layers = {"score_norm": (24,), "score_head": (1, 24)}
    blocks = ["score_layer"]
    if stage == 2:
        layers |= {"camfuse_block.cam_norm": (24,), "camfuse_block.cam_head": (num_classes, 24, 3, 3)}
        blocks.append("camfuse_block.cam_tr")
    for name, shape in layers.items():
        weights |= {f"{name}.weight": torch.randn(shape), f"{name}.bias": torch.randn(shape[:1])}
    for name in blocks:
        weights |= {f"{name}.{k}": torch.randn_like(v) for k, v in block.items()}
    return {"epoch": 30, "state_dict": {f"module.{k}": v for k, v in weights.items()}, "best_map": 0.9}


@pytest.mark.parametrize(("stage", "part"), [(1, "tpsm"), (2, "cam")])
def test_trt_leaves_no_missing_and_no_unexpected_key(stage, part, tmp_path):
    official = trt_release(stage)
    backbone = dict(type="mmwsol.TRTViT", arch=ARCH, img_size=32, patch_size=8, train_part=part)
    head = dict(type="mmwsol.TRTHead", num_classes=5, in_channels=24, train_part=part)
    target = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    load_strictly(target, convert_official(official, "trt"))
    weights = {k.removeprefix("module."): v for k, v in official["state_dict"].items()}
    assert guess_source(weights) == "trt"
    assert torch.equal(target.head.fc.weight, weights["head.weight"])
    assert torch.equal(target.backbone.tpsm.block.ffn.layers[1].weight, weights["score_layer.mlp.fc2.weight"])
    assert torch.equal(target.backbone.last_block.ln2.bias, weights["blocks.2.norm2.bias"])
    if stage == 2:
        assert torch.equal(target.backbone.cam.block.attn.qkv.bias, weights["camfuse_block.cam_tr.attn.qkv.bias"])
        assert torch.equal(target.head.cam_conv.weight, weights["camfuse_block.cam_head.weight"])
    torch.save(official, tmp_path / "trt.pth")
    again = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    load_pretrained(again, str(tmp_path / "trt.pth"))
    for name, value in target.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    with pytest.raises(ValueError, match=r"unexpected \['score_layer.norm3.weight'\]"):
        convert_official({"score_layer.norm3.weight": torch.zeros(1)}, "trt")


@pytest.mark.parametrize("same", [True, False])
def test_linear_classifier_is_inherited_where_class_counts_agree(same, tmp_path):
    official = release(num_classes=5)
    backbone = dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8)
    head = dict(type="mmwsol.ClsTokenHead", num_classes=5 if same else 6, in_channels=24)
    target = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    torch.save(official, tmp_path / "deit.pth")
    before = target.head.fc.weight.clone()
    load_pretrained(target, str(tmp_path / "deit.pth"))
    assert torch.equal(target.head.fc.weight, official["head.weight"] if same else before)


@pytest.mark.parametrize(("source", "suffix"), [("cdtr", "_1"), ("catr", "")])
def test_cdtr_and_catr_leave_no_missing_and_no_unexpected_key(source, suffix, tmp_path):
    official = cdtr_release(suffix)
    head = dict(type="mmwsol.CDTRHead", num_classes=5, in_channels=24, attn_shape=(3, 2), c_base=4, ocm_blocks=2)
    backbone = dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8)
    cfg = dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=dict(head, with_ski=bool(suffix)))
    target = MODELS.build(cfg)
    converted = convert_official(official, source)
    target.load_state_dict(converted, strict=True)
    weights = official["model"]
    assert torch.equal(target.head.csm.decoder[3].weight, weights[f"att_layer.up{suffix}.conv.UConv.3.weight"])
    assert torch.equal(target.head.ocm.blocks[1][1].running_var, weights["block1.1.running_var"])
    assert torch.equal(target.head.weighting.lambdas, weights["AutomaticWeightedLoss.params"])
    assert guess_source(weights) == source
    other = "catr" if suffix else "cdtr"
    with pytest.raises(ValueError, match="unexpected.*att_layer.*Check --source"):
        convert_official(official, other)
    torch.save(official, tmp_path / "release.pth")
    again = MODELS.build(cfg)
    load_pretrained(again, str(tmp_path / "release.pth"))
    assert all(torch.equal(value, converted[name]) for name, value in again.state_dict().items())


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


def sat_release(num_classes=5):
    weights = {**release(), "loc_token": torch.randn(1, 1, 24), "loc_embed": torch.randn(1, 1, 24)}
    weights |= {"head.weight": torch.randn(num_classes, 24, 3, 3), "head.bias": torch.randn(num_classes)}
    weights["weight"] = nsig_kernel(3, 6).float()[None, None]
    return {"model": {f"module.{k}": v for k, v in weights.items()}, "best_thr": 0.4, "epoch": 29}


def sat_model():
    backbone = dict(type="mmwsol.SATViT", arch=ARCH, img_size=32, patch_size=8)
    head = dict(type="mmwsol.SATHead", num_classes=5, in_channels=24)
    return MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))


def test_sat_leaves_no_missing_and_no_unexpected_key(tmp_path):
    official, target = sat_release(), sat_model()
    target.load_state_dict(convert_official(official, "sat"), strict=True)
    assert torch.equal(target.head.conv.weight, official["model"]["module.head.weight"])
    assert torch.equal(target.backbone.loc_embed, official["model"]["module.loc_embed"])
    official["model"]["module.weight"][0, 0, 1, 1] += 1e-4
    with pytest.raises(ValueError, match="smoothing kernel 'weight' of these SAT weights"):
        convert_official(official, "sat")


def test_sat_starts_from_deit_and_from_its_own_release(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger, "info", lambda self, message, *args: lines.append(str(message)))
    for name, official in (("deit", {"model": release()}), ("sat", sat_release())):
        torch.save(official, tmp_path / f"{name}.pth")
        target = sat_model()
        load_pretrained(target, str(tmp_path / f"{name}.pth"))
        weights = {k.removeprefix("module."): v for k, v in official["model"].items()}
        assert torch.equal(target.backbone.pos_embed, weights["pos_embed"])
        assert torch.equal(target.backbone.layers[2].attn.qkv.weight, weights["blocks.2.attn.qkv.weight"])
        fresh = [line for line in lines if line.startswith("Left at their initialisation")]
        expected = "backbone.loc_embed, backbone.loc_token, head.conv.bias, head.conv.weight"
        assert fresh == ([f"Left at their initialisation: {expected}."] if name == "deit" else [])
        lines.clear()


def test_conversion_errors_name_the_problem():
    with pytest.raises(ValueError, match="Unknown source 'deit2'; known: catr, cdtr, conformer, .*deit, .*tscam"):
        convert_official({}, "deit2")
    with pytest.raises(ValueError, match=r"unexpected \['layer1.conv.weight'\]"):
        convert_official({"layer1.conv.weight": torch.zeros(1)}, "deit")


def test_sources_are_told_apart():
    assert guess_source(release()) == "deit"
    assert guess_source({k[7:]: v for k, v in tscam_release()["state_dict"].items()}) == "tscam"
    assert guess_source({f"backbone.{k}": v for k, v in release(0).items()}) == "dino"
    assert guess_source({k[7:]: v for k, v in sat_release()["model"].items()}) == "sat"
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


@pytest.mark.parametrize("num_classes", [5, 4])
def test_cdtr_inherits_the_bias_of_the_classifier_too(tmp_path, num_classes):
    official = release(num_classes=5)
    head = dict(type="mmwsol.CDTRHead", num_classes=num_classes, in_channels=24, attn_shape=(3, 2), ocm_blocks=2)
    backbone = dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8)
    target = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    torch.save(official, tmp_path / "deit.pth")
    load_pretrained(target, str(tmp_path / "deit.pth"))
    assert torch.equal(target.head.conv.bias, official["head.bias"][:num_classes]) == (num_classes == 5)


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
    assert find_checkpoint("nowhere/deit.pth") == find_checkpoint("deit.pth") == str(tmp_path / "deit.pth")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "deit.pth").touch()
    assert find_checkpoint(str(tmp_path / "own" / "deit.pth")) == str(tmp_path / "own" / "deit.pth")


# --- Conformer, VGG16 and ResNet-50 -----------------------------------------------------------------------------------

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "tscam"
CONFORMER_ARCH = dict(embed_dims=48, depths=6, num_heads=3, channel_ratio=1)


@functools.cache
def official_tensors(case):
    """Random weights with the names and shapes of an official model, as golden data lists them."""
    torch.manual_seed(1)
    with np.load(GOLDEN / f"{case}.npz") as arrays:
        tensors = json.loads(str(arrays["meta"]))["tensors"]
    return {name: torch.randn(shape) if shape else torch.tensor(7) for name, shape in tensors}


def conformer_imagenet():
    """A state dict with the names of pengzhiliang/Conformer: both classifiers are linear."""
    heads = {"trans_cls_head.weight": (1000, 48), "trans_cls_head.bias": (1000,)}
    heads |= {"conv_cls_head.weight": (1000, 256), "conv_cls_head.bias": (1000,)}
    return official_tensors("conformer_narrow") | {name: torch.randn(shape) for name, shape in heads.items()}


def vgg16_imagenet():
    """A state dict with torchvision's names; the fully connected layers are cut short."""
    weights = {k: v for k, v in official_tensors("vgg16_cam_96").items() if k.startswith("features.")}
    return weights | {f"classifier.{i}.{kind}": torch.zeros(2) for i in (0, 3, 6) for kind in ("weight", "bias")}


def conformer(num_classes=5, **kwargs):
    backbone = dict(type="mmwsol.TapConformer", arch=CONFORMER_ARCH)
    head = dict(type="mmwsol.ConformerCAMHead", num_classes=num_classes, in_channels=48, conv_channels=256, **kwargs)
    return MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))


def cam(backbone, in_channels, num_classes=6):
    head = dict(type="mmwsol.LinearCAMHead", num_classes=num_classes, in_channels=in_channels)
    return MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))


def vgg16():
    return cam(dict(type="mmwsol.VGG16CAM"), 1024)


def loaded(target, weights, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(weights, path)
    load_pretrained(target, str(path))
    return target


@pytest.mark.parametrize(("case", "make"), [("conformer_narrow", conformer), ("vgg16_cam_96", vgg16)])
def test_tscam_releases_of_other_networks_leave_no_key(case, make):
    official = official_tensors(case)
    target = make()
    converted = convert_official({"state_dict": {f"module.{k}": v for k, v in official.items()}}, "tscam")
    assert len(converted) == len(official)
    load_strictly(target, converted)
    if make is conformer:
        fc2 = official["conv_trans_6.trans_block.mlp.fc2.weight"]
        assert torch.equal(target.backbone.conv_trans_6.trans_block.ffn.layers[1].weight, fc2)
        assert torch.equal(target.head.conv.weight, official["trans_cls_head.weight"])
        assert torch.equal(target.head.fc.bias, official["conv_cls_head.bias"])
    else:
        assert torch.equal(target.backbone.features[28].weight, official["features.28.weight"])
        assert torch.equal(target.head.fc.weight, official["fc.weight"])


def test_imagenet_releases_fill_the_backbones():
    for official, source, backbone, fresh in (
        (conformer_imagenet(), "conformer", conformer().backbone, set()),
        (vgg16_imagenet(), "vgg16", vgg16().backbone, {"conv6.weight", "conv6.bias"}),
    ):
        converted = convert_official(official, source)
        own = {k.removeprefix("backbone."): v for k, v in converted.items() if k.startswith("backbone.")}
        missing, unexpected = backbone.load_state_dict(own, strict=False)
        assert set(missing) == fresh and not unexpected, source
    with pytest.raises(ValueError, match=r"unexpected \['conv_trans_2.attn.qkv'\]"):
        convert_official({"conv_trans_2.attn.qkv": torch.zeros(1)}, "conformer")


def test_sources_of_other_networks_are_told_apart():
    assert guess_source(conformer_imagenet()) == "conformer"
    assert guess_source(official_tensors("conformer_narrow")) == "tscam"
    assert guess_source(vgg16_imagenet()) == "vgg16"
    assert guess_source(official_tensors("vgg16_cam_96")) == "tscam"
    assert guess_source(conformer().state_dict()) is None and guess_source(vgg16().state_dict()) is None


def test_pretrained_start_of_conformer(tmp_path):
    official = conformer_imagenet()
    target = loaded(conformer(), {"model": official}, tmp_path)
    assert torch.equal(target.backbone.trans_1.ln2.weight, official["trans_1.norm2.weight"])
    assert torch.equal(target.backbone.bn1.running_var, official["bn1.running_var"])
    assert not torch.equal(target.head.fc.bias, official["conv_cls_head.bias"][:5])


@pytest.mark.parametrize("inherit", [True, False])
def test_conformer_inherits_classifiers_where_class_counts_agree(tmp_path, inherit):
    official = conformer_imagenet()
    target = loaded(conformer(1000, inherit_bias=inherit), official, tmp_path)
    assert torch.equal(target.head.fc.weight, official["conv_cls_head.weight"])
    assert torch.equal(target.head.conv.bias, official["trans_cls_head.bias"]) == inherit
    again = loaded(
        conformer(1000, inherit_bias=inherit), target.state_dict(), tmp_path
    )  # our own checkpoint: everything
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in target.state_dict().items())


def test_convolution_alone_never_takes_the_bias_of_the_cnn_branch(tmp_path):
    official = conformer_imagenet()
    backbone = dict(type="mmwsol.TapConformer", arch=CONFORMER_ARCH)
    head = dict(type="mmwsol.ConvCAMHead", num_classes=1000, in_channels=48)
    target = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    assert torch.equal(loaded(target, official, tmp_path).head.conv.bias, official["trans_cls_head.bias"])


def test_pretrained_start_of_vgg16(tmp_path):
    official = vgg16_imagenet()
    target = loaded(vgg16(), official, tmp_path)
    assert torch.equal(target.backbone.features[0].weight, official["features.0.weight"])


def test_pretrained_start_of_resnet50(tmp_path):
    official = torchvision.models.resnet50().state_dict()
    backbone = dict(type="mmpretrain.ResNet", depth=50, strides=(1, 2, 1, 1))
    target = loaded(cam(backbone, 2048, num_classes=1000), official, tmp_path)
    assert guess_source(official) == "resnet50" and len(convert_official(official, "resnet50")) == len(official)
    own = target.backbone.state_dict()
    assert all(torch.equal(own[name], value) for name, value in official.items() if not name.startswith("fc."))
    assert torch.equal(target.head.fc.weight, official["fc.weight"])  # wsolevaluation keeps the classifier on ILSVRC


def test_releases_in_parts_become_one_checkpoint(tmp_path, monkeypatch, capsys):
    """LocLoc's generator, onto DeiT's weights."""
    tools = Path(__file__).resolve().parents[2] / "tools" / "model_converters"
    torch.save(dict(model=release()), tmp_path / "deit.pth")
    names = ("up1.weight", "bn3.running_var", "att_conv2.weight", "att_layer4.up_2.conv.UConv.4.bias")
    torch.save(dict(state_dict={name: torch.ones(2) for name in names}), tmp_path / "generator.pth")
    for src, dst, *options in (
        ("deit.pth", "half.pth", "--source", "deit"),
        ("generator.pth", "whole.pth", "--source", "locloc-generator", "--onto", str(tmp_path / "half.pth")),
    ):
        arguments = ["convert_official.py", str(tmp_path / src), str(tmp_path / dst), *options]
        monkeypatch.setattr("sys.argv", arguments)
        runpy.run_path(str(tools / "convert_official.py"), run_name="__main__")
    weights = torch.load(tmp_path / "whole.pth", weights_only=True)["state_dict"]
    generator = {"deconv.0.weight", "deconv.7.running_var", "out.0.weight", "up2.4.bias"}
    assert {name.removeprefix("head.generator.") for name in weights if "generator" in name} == generator
    assert {name for name in weights if "generator" not in name} == set(convert_official(release(), "deit"))
    assert f"Wrote {len(weights)} tensors" in capsys.readouterr().out
