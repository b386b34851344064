"""freeze: names of modules are frozen whole and stay in evaluation mode, patterns stop gradients alone."""

import copy

import pytest
import torch
from torch import nn

from mmwsol.models.freezing import freeze
from mmwsol.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)


def network() -> nn.Module:
    return nn.ModuleDict(
        dict(
            backbone=nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3)),
            head=nn.ModuleDict(dict(fc=nn.Linear(3, 2), decoder=nn.Linear(3, 4))),
        )
    )


def frozen_names(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def localizer(frozen=()):
    backbone = dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8, drop_path_rate=0.5)
    head = dict(type="mmwsol.ConvCAMHead", num_classes=8, in_channels=24)
    return MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, frozen=frozen))


def test_a_module_is_frozen_whole():
    model = network()
    whole = freeze(model, ["backbone", "head.fc"])
    assert whole == [model["backbone"], model["head"]["fc"]]
    assert frozen_names(model) == {name for name, _ in model.named_parameters() if "decoder" not in name}


def test_patterns_stop_gradients_alone():
    model = network()
    assert freeze(model, ["backbone.[0-1].*", "head.?c.weight"]) == []
    assert frozen_names(model) == {"backbone.0.weight", "backbone.0.bias", "head.fc.weight"}


def test_nothing_is_frozen_by_default():
    model = network()
    assert freeze(model, []) == [] and not frozen_names(model)


def test_what_is_frozen_is_logged(capsys):
    freeze(network(), ["head.fc"])
    assert "Frozen: 8 of 42 parameters (19.0 %)." in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["backbon"], "frozen entry 'backbon' matches no parameter and no module.* such as backbone"),
        (["fc.weight"], "'fc.weight' matches no parameter and no module"),  # whole names only
        (["Head.fc"], "'Head.fc' matches no parameter"),  # case counts
        ([""], "'' matches no parameter"),  # the model itself
        (["*"], r"frozen=\['\*'\] freezes every parameter: nothing is left to train"),
        (["backbone", "head"], "freezes every parameter"),
    ],
)
def test_entries_that_cannot_be_meant(patterns, message):
    with pytest.raises(ValueError, match=message):
        freeze(network(), patterns)


def test_frozen_modules_stay_in_evaluation_mode():
    model = localizer(["backbone"])
    assert model.training and model.head.training
    for _ in range(2):
        assert not any(module.training for module in model.backbone.modules())
        assert model.train() is model
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(images), model(images))  # no DropPath
    assert not any(module.training for module in model.eval().modules())
    copied = copy.deepcopy(model).train()
    assert not copied.backbone.training and copied.head.training  # its own, as EMA needs it


def test_modules_of_frozen_parameters_keep_their_mode():
    model = localizer(["backbone.*"])
    assert all(module.training for module in model.train().modules())
    images = torch.randn(2, 3, 32, 32)
    torch.manual_seed(0)
    assert not torch.equal(model(images), model(images))  # DropPath goes on
    assert frozen_names(model) == {f"backbone.{name}" for name, _ in model.backbone.named_parameters()}


def test_head_adds_to_what_the_config_freezes():
    backbone = dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8, out_tokens=(0, -1))
    classifier = dict(num_layers=2, num_heads=2, feedforward_channels=32)
    head = dict(type="mmwsol.LocLocHead", num_classes=6, in_channels=24, classifier=classifier, train_part="classifier")
    frozen = ["head.classifier.blocks.0"]
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, frozen=frozen)).train()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {
        f"head.classifier.{name}"
        for name, _ in model.head.classifier.named_parameters()
        if not name.startswith("blocks.0.")
    }
    classifier = model.head.classifier
    assert not classifier.blocks[0].training and classifier.blocks[1].training
