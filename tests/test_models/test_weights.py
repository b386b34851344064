"""Official releases of plain networks: names, containers, pretrained starts, errors."""

import runpy
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from mmengine.logging import MMLogger
from mmpretrain.models import ResNet
from releases import (
    cam,
    catr_release,
    conformer,
    conformer_release,
    deit_release,
    loaded,
    localizer,
    tscam_release,
    vgg16_release,
)

from mmwsol.models.backbones import TapViT
from mmwsol.models.weights import (
    Release,
    find_checkpoint,
    guess_source,
    known_releases,
    load_backbone,
    register_release,
    unwrap,
)
from mmwsol.utils import convert_official


@pytest.mark.parametrize("same", [True, False])
def test_linear_classifier_is_inherited_where_class_counts_agree(same, tmp_path):
    official = deit_release(num_classes=5)
    target = localizer(dict(type="mmwsol.ClsTokenHead", num_classes=5 if same else 6))
    before = target.head.fc.weight.clone()
    loaded(target, official, tmp_path)
    assert torch.equal(target.head.fc.weight, official["head.weight"] if same else before)


@pytest.mark.parametrize("source", ["deit", "dino"])
def test_backbone_releases_fill_the_backbone(source):
    official = deit_release(num_classes=1000 if source == "deit" else 0)
    if source == "dino":  # whole training checkpoint: student, teacher with projection head
        teacher = {f"backbone.{name}": value for name, value in official.items()}
        official = {"student": {}, "teacher": {**teacher, "head.mlp.0.weight": torch.zeros(2, 2)}}
    else:
        official = {"model": official}
    converted = convert_official(official, source)
    backbone = {k.removeprefix("backbone."): v for k, v in converted.items() if k.startswith("backbone.")}
    localizer().backbone.load_state_dict(backbone, strict=True)


def test_conversion_errors_name_the_problem():
    with pytest.raises(ValueError, match="Unknown source 'deit2'; known: catr, cdtr, conformer, .*deit, .*tscam"):
        convert_official({}, "deit2")
    with pytest.raises(ValueError, match=r"unexpected \['layer1.conv.weight'\]"):
        convert_official({"layer1.conv.weight": torch.zeros(1)}, "deit")


def test_sources_are_told_apart():
    assert guess_source(deit_release()) == "deit"
    assert guess_source({f"backbone.{k}": v for k, v in deit_release(0).items()}) == "dino"
    assert guess_source(localizer().state_dict()) is None


def test_every_release_is_known_and_methods_are_asked_before_what_they_build_on():
    names = list(known_releases())
    methods = ["catr", "cdtr", "sat", "dips-decoder", "dips-linear", "locloc-classifier", "locloc-generator", "trt"]
    assert sorted(names) == sorted(
        [*methods, "tscam", "conformer", "deit", "dino", "efficientnet-lite0", "resnet50", "vgg16"]
    )
    assert max(map(names.index, ("catr", "cdtr", "sat"))) < names.index("tscam") < names.index("deit")
    assert names.index("tscam") < min(map(names.index, ("conformer", "vgg16")))


def test_no_release_is_taken_for_another_of_its_level():
    vit, conv = torch.zeros(4), torch.zeros(5, 24, 3, 3)
    lite = {f"_blocks.{i}._project_conv.weight": conv for i in range(16)}
    lite |= {"_conv_stem.weight": torch.zeros(32, 3, 3, 3), "_conv_head.weight": torch.zeros(1280, 320, 1, 1)}
    for expected, weights in {
        "deit": deit_release(),
        "dino": {f"backbone.{name}": value for name, value in deit_release(0).items()},
        "conformer": conformer_release(),
        "vgg16": vgg16_release(),
        "resnet50": dict.fromkeys(("conv1.weight", *(f"layer{i}.0.conv1.weight" for i in range(1, 5))), conv),
        "efficientnet-lite0": lite,
        "tscam": tscam_release()["state_dict"],
        "trt": {**deit_release(), "score_layer.norm1.weight": vit},
        "sat": {**deit_release(0), "head.weight": conv, "loc_token": vit},
        "catr": catr_release()["model"],
        "cdtr": catr_release(suffix="_1")["model"],
        "locloc-generator": {"up1.weight": conv, "att_conv2.weight": conv},
        "locloc-classifier": {"blocks_mini.0.attn.qkv.weight": vit, "norm_mini.weight": vit},
    }.items():
        weights = unwrap(weights)
        fitting = [r for r in known_releases().values() if r.recognize is not None and r.recognize(weights)]
        best = max(release.level for release in fitting)
        assert [release.name for release in fitting if release.level == best] == [expected]
        assert guess_source(weights) == expected


def test_backbones_of_openmmlab_are_no_release():
    """Also those whose own names are those of a release: SAT's token beside mmpretrain's layers."""
    assert guess_source({"loc_token": torch.zeros(1, 1, 24), "layers.0.ln1.weight": torch.zeros(24)}) is None


def test_two_releases_of_one_name_are_refused():
    known = known_releases()
    with pytest.raises(ValueError, match="two official releases called 'deit'"):
        register_release(Release("deit", known["dino"].rename, None))
    assert known_releases()["deit"] is known["deit"]


def start_from(tmp_path, weights, **kwargs):
    path = tmp_path / "weights.pth"
    torch.save(weights, path)
    target = localizer(init_cfg=dict(type="Pretrained", checkpoint=str(path)), **kwargs)
    target.init_weights()
    return target


def test_pretrained_start_from_deit(tmp_path):
    official = deit_release()
    target = start_from(tmp_path, {"model": official})
    assert torch.equal(target.backbone.cls_token, official["cls_token"])
    assert torch.equal(target.backbone.layers[0].attn.qkv.weight, official["blocks.0.attn.qkv.weight"])
    bound = (9 * 24) ** -0.5  # the head stays at PyTorch's initialization
    assert target.head.conv.weight.abs().max() <= bound


def test_pretrained_start_from_our_own_checkpoint(tmp_path):
    other = localizer(dict(num_classes=9))
    other.init_weights()
    target = start_from(tmp_path, {"state_dict": other.state_dict(), "meta": {}})
    assert torch.equal(target.backbone.pos_embed, other.backbone.pos_embed)
    assert target.head.conv.weight.shape[0] == 5


def test_position_embedding_of_another_size_is_resized_and_reported(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger, "info", lambda self, message, *args: lines.append(str(message)))
    target = start_from(tmp_path, {"model": deit_release(tokens=17)}, img_size=64)
    assert target.backbone.pos_embed.shape == (1, 65, 24)
    assert any("Resize the pos_embed" in line for line in lines)


def test_weights_of_another_architecture_are_refused(tmp_path):
    wider = timm.create_model("vit_tiny_patch16_224", patch_size=8, img_size=32, embed_dim=48, depth=3, num_heads=2)
    with pytest.raises(ValueError, match=r"does not fit the backbone(.|\n)*choose the arch"):
        start_from(tmp_path, wider.state_dict())
    with pytest.raises(ValueError, match="only 0 of the backbone's"):
        start_from(tmp_path, {"conv1.weight": torch.zeros(3)})


def test_missing_file_says_what_to_do(tmp_path):
    target = localizer(init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "none.pth")))
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


VGG16 = dict(type="mmwsol.VGG16CAM")


def test_imagenet_releases_fill_the_backbones():
    for official, source, backbone, fresh in (
        (conformer_release(), "conformer", conformer().backbone, set()),
        (vgg16_release(), "vgg16", cam(VGG16, 1024).backbone, {"conv6.weight", "conv6.bias"}),
    ):
        converted = convert_official(official, source)
        own = {k.removeprefix("backbone."): v for k, v in converted.items() if k.startswith("backbone.")}
        missing, unexpected = backbone.load_state_dict(own, strict=False)
        assert set(missing) == fresh and not unexpected, source
    with pytest.raises(ValueError, match=r"unexpected \['conv_trans_2.attn.qkv'\]"):
        convert_official({"conv_trans_2.attn.qkv": torch.zeros(1)}, "conformer")


def test_sources_of_other_networks_are_told_apart():
    assert guess_source(conformer_release()) == "conformer"
    assert guess_source(vgg16_release()) == "vgg16"
    assert guess_source(conformer().state_dict()) is None and guess_source(cam(VGG16, 1024).state_dict()) is None


def test_pretrained_start_of_conformer(tmp_path):
    official = conformer_release()
    target = loaded(conformer(), {"model": official}, tmp_path)
    assert torch.equal(target.backbone.trans_1.ln2.weight, official["trans_1.norm2.weight"])
    assert torch.equal(target.backbone.bn1.running_var, official["bn1.running_var"])
    assert not torch.equal(target.head.fc.bias, official["conv_cls_head.bias"][:5])


def test_pretrained_start_of_vgg16(tmp_path):
    official = vgg16_release()
    target = loaded(cam(VGG16, 1024), official, tmp_path)
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
    torch.save(dict(model=deit_release()), tmp_path / "deit.pth")
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
    assert {name for name in weights if "generator" not in name} == set(convert_official(deit_release(), "deit"))
    assert f"Wrote {len(weights)} tensors" in capsys.readouterr().out


NEW_PARTS = {  # backbones with parameters that no file has, and where
    "mmwsol.SATViT": ({}, {"type": "mmwsol.SATHead"}, ("loc_token", "loc_embed")),
    "mmwsol.TRTViT": ({"train_part": "joint"}, {"type": "mmwsol.TRTHead"}, ("tpsm.fc.weight",)),
}


@pytest.mark.parametrize("kind", NEW_PARTS)
@pytest.mark.parametrize("level", ["localizer", "backbone", "list"])
def test_new_parameters_are_drawn_and_the_file_is_kept_wherever_init_cfg_stands(tmp_path, kind, level):
    """OpenMMLab's idiom is ``backbone=dict(init_cfg=...)``; the file may be official, and no draw follows it."""
    official = deit_release()
    torch.save({"model": official}, tmp_path / "deit.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "deit.pth"))
    options, head, new = NEW_PARTS[kind]
    at = dict(init_cfg=init_cfg) if level == "backbone" else {}
    outside = {"localizer": dict(init_cfg=init_cfg), "list": dict(init_cfg=[init_cfg])}.get(level, {})
    model = localizer(head, dict(type=kind, **options, **at), **outside)
    model.init_weights()
    weights = model.backbone.state_dict()
    for name in new:
        assert weights[name].std() > 0, name
    last = "last_block" if kind == "mmwsol.TRTViT" else "layers.2"
    for ours, theirs in {"layers.0.attn.qkv": "blocks.0.attn.qkv", f"{last}.ffn.layers.1": "blocks.2.mlp.fc2"}.items():
        assert torch.equal(weights[f"{ours}.weight"], official[f"{theirs}.weight"]), ours
    assert torch.equal(weights["cls_token"], official["cls_token"])


def test_backbone_of_a_localizer_or_with_a_prefix(tmp_path):
    other = localizer()
    other.init_weights()
    backbone = other.backbone.state_dict()
    for prefix, weights in {None: other.state_dict(), "net.": {f"net.{k}": v for k, v in backbone.items()}}.items():
        torch.save({"state_dict": weights}, tmp_path / "weights.pth")
        init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "weights.pth"))
        if prefix:
            init_cfg["prefix"] = prefix
        target = localizer(backbone=dict(init_cfg=init_cfg))
        target.init_weights()
        assert all(torch.equal(value, backbone[name]) for name, value in target.backbone.state_dict().items())
    with pytest.raises(ValueError, match="only 0 of the backbone's"):
        localizer(backbone=dict(init_cfg=dict(init_cfg, prefix="other."))).init_weights()


@pytest.mark.parametrize("level", ["TimmClassifier", "TIMMBackbone", "plain timm model"])
def test_weights_that_another_library_loaded_are_kept(tmp_path, level):
    """mmengine's ``init_weights`` calls timm's, which draws a ResNet anew and zeroes its last norms."""
    from mmwsol.models.initialization import keep_foreign_weights
    from mmwsol.registry import MODELS

    torch.manual_seed(2)
    release = timm.create_model("resnet10t", num_classes=7)
    with torch.no_grad():
        for value in release.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value))
    torch.save(release.state_dict(), tmp_path / "resnet10t.pth")
    overlay = dict(pretrained=True, pretrained_cfg_overlay=dict(file=str(tmp_path / "resnet10t.pth"), num_classes=7))
    if level == "TimmClassifier":
        model = MODELS.build(dict(type="mmpretrain.TimmClassifier", model_name="resnet10t", num_classes=7, **overlay))
        keep_foreign_weights(model)
        part = model.model
    elif level == "TIMMBackbone":
        backbone = dict(type="mmpretrain.TIMMBackbone", model_name="resnet10t", num_classes=7, **overlay)
        head = dict(type="mmwsol.LinearCAMHead", num_classes=7, in_channels=512)
        model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
        part = model.backbone.timm_model
    else:
        create = timm.create_model
        MODELS.register_module("PlainTimm", module=lambda **kwargs: create("resnet10t", **kwargs), force=True)
        head = dict(type="mmwsol.LinearCAMHead", num_classes=7, in_channels=512)
        backbone = dict(type="PlainTimm", num_classes=7, **overlay)
        model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
        part = model.backbone
    model.init_weights()
    loaded = release.state_dict()
    assert len(part.state_dict()) >= len(loaded) - 2  # TIMMBackbone drops the classifier
    for name, value in part.state_dict().items():
        assert torch.equal(value, loaded[name]), name


def test_weights_of_a_smaller_or_larger_network(tmp_path, caplog):
    """All of their names are the network's, but whole blocks are not there, or not used."""
    small, large = (ResNet(depth, base_channels=8, stem_channels=8) for depth in (18, 34))
    for name, network in (("small", small), ("large", large)):
        torch.save(network.state_dict(), tmp_path / f"{name}.pth")
    with pytest.raises(ValueError, match="is of a smaller network, without layer1.2, layer2.2, layer2.3 of the backb"):
        load_backbone(large, str(tmp_path / "small.pth"))
    MMLogger.get_current_instance().addHandler(caplog.handler)
    load_backbone(small, str(tmp_path / "large.pth"))
    MMLogger.get_current_instance().removeHandler(caplog.handler)
    assert any("is of a larger network: layer1.2, layer2.2" in record.getMessage() for record in caplog.records)
    assert torch.equal(small.layer1[1].conv1.weight, torch.load(tmp_path / "large.pth")["layer1.1.conv1.weight"])

    vit = dict(embed_dims=16, num_heads=2, feedforward_channels=32)
    six, three = (TapViT(dict(vit, num_layers=number), img_size=32, patch_size=8) for number in (6, 3))
    torch.save(three.state_dict(), tmp_path / "three.pth")
    with pytest.raises(ValueError, match="is of a smaller network, without layers.3, layers.4, layers.5 of the backb"):
        load_backbone(six, str(tmp_path / "three.pth"))


def test_weights_of_model_and_backbone(tmp_path):
    """The model's would replace the backbone's without a word."""
    files = [dict(type="Pretrained", checkpoint=str(tmp_path / f"{name}.pth")) for name in ("own", "imagenet")]
    target = localizer(dict(type="mmwsol.ClsTokenHead", num_classes=5))
    target.init_cfg, target.backbone.init_cfg = files[1], files[0]
    with pytest.raises(ValueError, match=r"model.init_cfg loads '.*imagenet.pth' over '.*own.pth' of model.backbone"):
        target.init_weights()
