"""Every documented way to start from weights, in every form of release, by values: tensors and class scores."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
import torchvision
from mmengine.config import Config
from mmengine.runner import Runner
from releases import localizer
from weight_forms import FORMS, write, write_refused

from mmwsol.apis import init_model
from mmwsol.integrations import FeatureMaps
from mmwsol.methods.dips import ProposalWriter
from mmwsol.models import TimmViT
from mmwsol.registry import MODELS

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
VIT = dict(patch_size=8, img_size=32, embed_dim=24, depth=3, num_heads=2, mlp_ratio=2)


def spread(network):
    """Give a network weights that no initialization would, norms and statistics too."""
    torch.manual_seed(2)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value))
    return network.eval()


@pytest.fixture(scope="module")
def vit():
    return spread(timm.create_model("vit_tiny_patch16_224", num_classes=5, **VIT))


@pytest.fixture(scope="module")
def resnet():
    return spread(timm.create_model("resnet10t", num_classes=7))


@pytest.fixture(scope="module")
def resnet18():
    return spread(torchvision.models.resnet18(num_classes=7))


def pretrained(path, **options):
    return dict(type="Pretrained", checkpoint=path, **options)


def cam(backbone, init_cfg=None):
    head = dict(type="mmwsol.LinearCAMHead", num_classes=7, in_channels=512)
    model = dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, init_cfg=init_cfg)
    model = MODELS.build(model)
    model.init_weights()
    return model.eval()


def timm_backbone(**options):
    return dict(type="mmpretrain.TIMMBackbone", model_name="resnet10t", **options)


def assert_same(network, original):
    """Compare weights; a network may lack the classifier."""
    own, expected = network.state_dict(), original.state_dict()
    assert len(own) >= len(expected) - 2
    for name, value in own.items():
        assert torch.equal(value, expected[name]), name


@torch.no_grad()
def assert_scores(model, network):
    """Compare class logits; sums may be in another order (measured: up to 2e-6)."""
    torch.testing.assert_close(model(IMAGES), network(IMAGES), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_transformer_of_timm_at_the_localizer(vit, form, tmp_path):
    model = localizer(dict(type="mmwsol.ClsTokenHead"), init_cfg=pretrained(write(vit, form, tmp_path)))
    model.init_weights()
    assert torch.equal(model.head.fc.weight, vit.head.weight)
    # mmpretrain's norms have eps 1e-6, as timm's
    assert_scores(model.eval(), vit)


@pytest.mark.parametrize("form", ["state_dict", "safetensors", "traced"])
def test_network_of_torchvision_at_the_localizer(resnet18, form, tmp_path):
    model = cam(dict(type="mmpretrain.ResNet", depth=18), pretrained(write(resnet18, form, tmp_path)))
    assert_same(model.backbone, resnet18)
    assert torch.equal(model.head.fc.weight, resnet18.fc.weight)
    assert_scores(model, resnet18)


@pytest.mark.parametrize("form", ["legacy", "model", "safetensors", "scripted"])
def test_network_of_timm_at_the_localizer(resnet, form, tmp_path):
    model = cam(timm_backbone(), pretrained(write(resnet, form, tmp_path)))
    assert_same(model.backbone.timm_model, resnet)
    assert_scores(model, resnet)


@pytest.mark.parametrize("form", ["model", "safetensors"])
def test_files_at_the_backbone(resnet, resnet18, vit, form, tmp_path):
    """Weights alone; mmengine would leave a backbone of mmpretrain random, without an error, where nothing fits."""
    init_cfg = pretrained(write(resnet18, form, tmp_path))
    assert_same(cam(dict(type="mmpretrain.ResNet", depth=18, init_cfg=init_cfg)).backbone, resnet18)
    init_cfg = pretrained(write(resnet, form, tmp_path))
    assert_same(cam(timm_backbone(init_cfg=init_cfg)).backbone.timm_model, resnet)
    with pytest.raises(ValueError, match="only 0 of the backbone's 120 tensors.*'deit', another"):
        cam(dict(type="mmpretrain.ResNet", depth=18, init_cfg=pretrained(write(vit, form, tmp_path))))


@pytest.mark.parametrize("level", ["localizer", "backbone"])
def test_vgg_of_torchvision_draws_its_new_layer(level, tmp_path):
    layers = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    path = str(tmp_path / "vgg.pth")
    torch.save({f"features.{name}": value for name, value in layers.state_dict().items()}, path)
    head = dict(type="mmwsol.LinearCAMHead", num_classes=7, in_channels=1024)
    at = {level: dict(init_cfg=pretrained(path))}
    backbone = dict(type="mmwsol.VGG16CAM", **at.get("backbone", {}))
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, **at.get("localizer", {})))
    model.init_weights()
    own = model.backbone.features.state_dict()
    assert all(torch.equal(own[k], v) for k, v in layers.state_dict().items())
    deviation = (2 / (9 * 1024)) ** 0.5  # N(0, sqrt(2 / (k^2 out)))
    assert model.backbone.conv6.weight.detach().std() == pytest.approx(deviation, rel=0.01)


@pytest.mark.parametrize("form", FORMS)
def test_overlay_of_timm_vit(vit, form, tmp_path):
    overlay = dict(file=write(vit, form, tmp_path), num_classes=5)
    model = TimmViT("vit_tiny_patch16_224", pretrained=True, pretrained_cfg_overlay=overlay, **VIT)
    model.init_weights()
    assert_same(model.model, vit)
    assert not model.model.pretrained_cfg.get("state_dict")  # not kept twice


def test_overlay_takes_averaged_weights_as_timm_does(resnet, tmp_path):
    weights = resnet.state_dict()
    other = {name: torch.zeros_like(value) for name, value in weights.items()}
    torch.save({"state_dict": other, "state_dict_ema": weights}, tmp_path / "ema.pth")
    overlay = dict(pretrained=True, pretrained_cfg_overlay=dict(file=str(tmp_path / "ema.pth"), num_classes=7))
    assert_same(cam(timm_backbone(num_classes=7, **overlay)).backbone.timm_model, resnet)


def dips():
    return localizer(dict(type="mmwsol.DiPSHead", num_cls_tokens=1))


@pytest.mark.parametrize("level", ["overlay", "init_cfg"])
def test_scorer_of_dips(resnet, level, tmp_path):
    path = write(resnet, "traced", tmp_path)
    options = dict(init_cfg=pretrained(path))
    if level == "overlay":
        options = dict(pretrained=True, pretrained_cfg_overlay=dict(file=path, num_classes=7))
    scorer = dict(type="mmpretrain.TimmClassifier", model_name="resnet10t", num_classes=7, **options)
    writer = ProposalWriter(scorer=scorer)
    writer.setup(SimpleNamespace(model=dips()))
    assert_same(writer.scorer.model, resnet)
    assert_scores(writer.scorer, resnet)


def test_scorer_of_dips_takes_torchvision_and_refuses_half_a_classifier(resnet18, tmp_path):
    parts = dict(backbone=dict(type="mmpretrain.ResNet", depth=18), neck=dict(type="mmpretrain.GlobalAveragePooling"))
    parts["head"] = dict(type="mmpretrain.LinearClsHead", num_classes=7, in_channels=512)
    init_cfg = pretrained(write(resnet18, "safetensors", tmp_path))
    writer = ProposalWriter(scorer=dict(type="mmpretrain.ImageClassifier", init_cfg=init_cfg, **parts))
    writer.setup(SimpleNamespace(model=dips()))
    assert_scores(writer.scorer, resnet18)
    weights = {name: value for name, value in resnet18.state_dict().items() if not name.startswith("fc.")}
    torch.save(weights, tmp_path / "half.pth")
    init_cfg = pretrained(str(tmp_path / "half.pth"))
    writer = ProposalWriter(scorer=dict(type="mmpretrain.ImageClassifier", init_cfg=init_cfg, **parts))
    with pytest.raises(ValueError, match=r"half.pth' lacks 2 tensors of the classifier, such as head.fc"):
        writer.setup(SimpleNamespace(model=dips()))


@pytest.mark.parametrize("form", ["state_dict", "module", "model", "safetensors"])
def test_own_weights_by_load_from_and_in_python(form, tmp_path):
    """A Runner's ``load_from`` is also how ``tools/test.py`` loads; ``init_model`` is under ``mmwsol infer``."""
    trained = spread(localizer())
    path = write(trained, form, tmp_path)
    assert_same(runner(path, tmp_path).model, trained)
    backbone = dict(type="mmwsol.TapViT", arch=dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48))
    backbone.update(img_size=32, patch_size=8)
    head = dict(type="mmwsol.ConvCAMHead", num_classes=5, in_channels=24)
    cfg = Config(dict(model=dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head)))
    assert_same(init_model(cfg, path, device="cpu"), trained)


def runner(path, folder):
    built = Runner(localizer(), str(folder / "run"), load_from=path, experiment_name=Path(path).stem + folder.name)
    built.load_or_resume()
    return built


def test_load_from_refuses_what_fits_nothing(vit, tmp_path):
    """mmengine would say so in the log, and train or test a random network."""
    with pytest.raises(ValueError, match="an official release .'deit'.*model.init_cfg"):
        runner(write(vit, "safetensors", tmp_path), tmp_path)
    with pytest.raises(ValueError, match="no weights of a localizer, but of another network: bias, weight"):
        runner(write(torch.nn.Linear(2, 2), "model", tmp_path), tmp_path)


WAYS = {
    "localizer": lambda path: cam(timm_backbone(), pretrained(path)),
    "backbone": lambda path: cam(timm_backbone(init_cfg=pretrained(path))),
    "overlay": lambda path: TimmViT("vit_tiny_patch16_224", pretrained=True, pretrained_cfg_overlay=dict(file=path)),
    "init_model": lambda path: init_model(Config(dict(model=dict())), path),
    "fc_weights": lambda path: MODELS.build(
        dict(type="mmwsol.DiPSHead", num_classes=3, in_channels=16, fc_weights=path)
    ).init_weights(),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_says_what_is_wrong_with_a_file(resnet, way, tmp_path):
    for kind, message in {"page": "is a web page", "network": "could run code", "truncated": "incomplete"}.items():
        with pytest.raises(ValueError, match=message):
            WAYS[way](write_refused(resnet, kind, tmp_path))


def test_converter_takes_forms_and_says_what_is_wrong(vit, resnet, tmp_path, monkeypatch):
    tool = str(Path(__file__).resolve().parents[2] / "tools" / "model_converters" / "convert_official.py")

    def convert(path, *options):
        arguments = [tool, path, str(tmp_path / "out.pth"), "--source", "deit", *options]
        monkeypatch.setattr("sys.argv", arguments)
        runpy.run_path(tool, run_name="__main__")
        return torch.load(tmp_path / "out.pth", weights_only=True)["state_dict"]

    for form in ("safetensors", "traced"):
        assert torch.equal(convert(write(vit, form, tmp_path))["head.fc.weight"], vit.head.weight)
    with pytest.raises(SystemExit, match="is a web page, not weights"):
        convert(write_refused(vit, "page", tmp_path))
    with pytest.raises(SystemExit, match="names of a 'deit' release"):
        convert(write(resnet, "state_dict", tmp_path))


def test_detector_keeps_what_timm_loaded(resnet, tmp_path):
    """A plain network of timm under mmdet: mmengine would call its ``init_weights``, which draws it anew."""
    overlay = dict(pretrained=True, pretrained_cfg_overlay=dict(file=write(resnet, "state_dict", tmp_path)))
    options = dict(num_classes=7, pretrained_cfg_overlay={**overlay["pretrained_cfg_overlay"], "num_classes": 7})
    build = timm.create_model
    MODELS.register_module("TimmUnderDetector", module=lambda **kwargs: build("resnet10t", **kwargs), force=True)
    model = FeatureMaps(dict(type="TimmUnderDetector", pretrained=True, **options))
    model.init_weights()
    assert_same(model.backbone, resnet)


def test_timm_vit_says_where_its_weights_stand():
    with pytest.raises(ValueError, match="TimmViT has no init_cfg.*pretrained_cfg_overlay"):
        TimmViT("vit_tiny_patch16_224", init_cfg=pretrained("vit.pth"))
