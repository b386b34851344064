"""LocLoc's head: sizes, gradients, modes, start of the classifier, official names."""

from __future__ import annotations

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmwsol.engine import CPUDistributedDataParallel
from mmwsol.methods.locloc import LocLocHead
from mmwsol.methods.locloc.networks import LocalFeatureDigging, PPDGenerator, UNetGenerator
from mmwsol.models import Features, TapViT
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample
from mmwsol.utils import convert_official, load_pretrained

SMALL = dict(num_layers=2, num_heads=2, feedforward_channels=32)
ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def features(batch: int = 2, width: int = 16, side: int = 8) -> Features:
    generator = torch.Generator().manual_seed(0)
    tokens = tuple(torch.randn(batch, 1 + side * side, width, generator=generator) for _ in range(2))
    patch_map = tokens[1][:, 1:].transpose(1, 2).unflatten(2, (side, side)) / 10
    return Features(patch_map, cls_token=tokens[1][:, 0], tokens=tokens)


def head(**options) -> LocLocHead:
    options = {"classifier": SMALL, "generator": dict(deconv_channels=8), **options}
    return LocLocHead(num_classes=6, in_channels=16, **options)


def samples(side: int = 64, labels=(1, 4)) -> list[LocDataSample]:
    out = [LocDataSample().set_gt_label(label) for label in labels]
    for i, sample in enumerate(out):
        sample.pseudo_mask = torch.zeros(side, side, dtype=torch.bool)
        sample.pseudo_mask[: 8 + i] = True
    return out


def localizer(**options) -> nn.Module:
    torch.manual_seed(0)
    backbone = dict(
        type="mmwsol.TapViT",
        arch=ARCH,
        img_size=32,
        patch_size=4,
        out_tokens=(0, -1),
        drop_path_rate=0.5,
    )
    return MODELS.build(
        dict(
            type="mmwsol.ImageLocalizer",
            backbone=backbone,
            head=dict(type="mmwsol.LocLocHead", num_classes=6, in_channels=16, classifier=SMALL, **options),
            map_to_box=dict(type="mmwsol.ContourBox", preset="locloc", threshold=0.5),
        )
    )


def test_parameters_of_the_official_models():
    assert count(UNetGenerator(384)) == 4_052_738
    assert count(PPDGenerator(384)) == 17_569_537
    assert count(LocalFeatureDigging(1000, 384)) == 26_079_824
    assert count(TapViT("deit-small")) == 21_665_664


def test_sizes_of_maps():
    x = torch.randn(2, 16, 14, 14)
    assert UNetGenerator(16, deconv_channels=8)(x).shape == (2, 1, 112, 112)
    assert PPDGenerator(16, 8, 8)(x).shape == (2, 1, 56, 56)
    # grids on which the official code fails
    for side in (12, 20, 24):
        assert UNetGenerator(16, deconv_channels=8)(x[:, :, :1, :1].expand(2, 16, side, side)).shape[2] == 8 * side


def test_border_pooling_weights():
    module = LocalFeatureDigging(1, 16, **SMALL)
    maps = torch.zeros(3, 1, 14, 14)
    for i, (row, column) in enumerate(((0, 0), (0, 5), (6, 6))):
        maps[i, 0, row, column] = 1
    module.class_maps = lambda x: maps
    logits = module(torch.zeros(3, 197, 16), (14, 14))
    torch.testing.assert_close(logits[:, 0], torch.tensor([4 / 9, 6 / 9, 1.0]) / 196)
    module.border_pooling = False
    torch.testing.assert_close(module(torch.zeros(3, 197, 16), (14, 14))[:, 0], torch.full((3,), 1 / 196))


@pytest.mark.parametrize("relu", [True, False])
def test_final_relu(relu):
    torch.manual_seed(0)
    logits = LocalFeatureDigging(50, 16, **SMALL, final_relu=relu).eval()(torch.randn(4, 65, 16), (8, 8))
    assert (logits < 0).any() != relu


def test_linear_head_reads_the_class_token_alone():
    torch.manual_seed(0)
    module = LocalFeatureDigging(5, 16, **SMALL, conv_head=False).eval()
    module.blocks = nn.ModuleList()
    tokens = torch.randn(2, 65, 16)
    other = torch.cat([tokens[:, :1], torch.randn(2, 64, 16)], dim=1)
    torch.testing.assert_close(module(tokens, (8, 8)), module(other, (8, 8)))


def test_unused_level_of_the_unet():
    for fix in (False, True):
        model = localizer(generator=dict(deconv_channels=8, fix_unet_skip=fix)).train()
        generator = model.head.generator
        frozen = {name for name, p in generator.named_parameters() if not p.requires_grad}
        generator.requires_grad_(True)
        model(torch.randn(2, 3, 32, 32), samples(), mode="loss")["loss_loc"].backward()
        without = {name for name, p in generator.named_parameters() if p.grad is None}
        assert len(without) == (0 if fix else 12)
        assert all(name.startswith(("down3.", "up1.")) for name in without)
        assert frozen == without


def test_loss_is_half_the_squared_error_to_the_reduced_mask():
    module, feats = head(), features()
    ones = samples(4, labels=(0,))
    for value, expected in ((0.0, 0.5), (1.0, 0.0)):
        module.localize = lambda encoded, labels, value=value: torch.full((1, 1, 2, 2), value)
        ones[0].pseudo_mask[:] = True
        assert module.loss(feats, ones)["loss_loc"] == expected
    corner = samples(4, labels=(0,))
    corner[0].pseudo_mask = torch.zeros(4, 4, dtype=torch.bool)
    corner[0].pseudo_mask[0, 0] = corner[0].pseudo_mask[1, 1] = True  # its quarter becomes .5
    module.localize = lambda encoded, labels: torch.zeros(1, 1, 2, 2)
    assert module.loss(feats, corner)["loss_loc"] == pytest.approx(0.5 * 0.25 / 4)
    assert head(loss_weight=1.0).loss_weight == 1.0


@pytest.mark.parametrize("part", ["generator", "classifier"])
def test_one_part_trains_and_the_rest_stays(part):
    model = localizer(train_part=part)
    model.init_weights()
    model.train()
    other = {"generator": "classifier", "classifier": "generator"}[part]
    modes = {name: module.training for name, module in model.named_modules()}
    frozen = ("backbone", f"head.{other}")
    assert not any(mode for name, mode in modes.items() if name.startswith(frozen))
    unused = ("head.generator.down3", "head.generator.up1")  # of the U-Net
    trained = {name: mode for name, mode in modes.items() if name.startswith(f"head.{part}")}
    assert all(mode != name.startswith(unused) for name, mode in trained.items())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    losses = model(torch.randn(2, 3, 32, 32), samples(), mode="loss")
    assert set(losses) == {"loss_loc" if part == "generator" else "loss_cls"}
    sum(losses.values()).backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith(f"head.{part}.") for name in changed)


@pytest.mark.parametrize("part", ["generator", "classifier"])
def test_no_trained_parameter_is_unused(part, tmp_path):
    """DistributedDataParallel complains of unused parameters in the second step."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    model = localizer(train_part=part)
    optim = build_optim_wrapper(model, dict(optimizer=dict(type="SGD", lr=0.1)))
    wrapped = CPUDistributedDataParallel(model).train()
    pictures = list(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    for _ in range(2):
        wrapped.train_step(dict(inputs=pictures, data_samples=samples(32)), optim)
    torch.distributed.destroy_process_group()


def test_predict_gives_one_class_agnostic_map_and_box():
    model = localizer().eval()
    with torch.no_grad():
        out = model(torch.randn(2, 3, 32, 32), mode="predict")
    for sample in out:
        assert sample.pred_maps.maps.shape == (1, 64, 64) and sample.pred_maps.labels.tolist() == [-1]
        assert sample.pred_instances.bboxes.shape == (1, 4)
        assert sample.pred_score.shape == (6,)


def test_classifier_starts_as_a_copy_of_the_backbone(tmp_path):
    model = localizer()
    torch.manual_seed(1)
    weights = {f"backbone.{name}": torch.randn(value.shape) for name, value in model.backbone.state_dict().items()}
    torch.save(dict(state_dict=weights), tmp_path / "backbone.pth")
    model.load_state_dict(dict(weights), strict=False)  # as a stage loads the one before
    other = localizer()
    load_pretrained(other, str(tmp_path / "backbone.pth"))
    for loaded in (model, other):
        classifier = loaded.head.classifier.state_dict()
        for name, value in weights.items():
            for source, target in (("backbone.layers.", "blocks."), ("backbone.ln1.", "norm.")):
                if name.startswith(source):
                    assert torch.equal(classifier[target + name.removeprefix(source)], value), name
    # a trained classifier is not overwritten
    trained = {name: torch.randn(value.shape) for name, value in model.state_dict().items() if value.ndim}
    model.load_state_dict(dict(trained), strict=False)
    name = "head.classifier.blocks.0.attn.qkv.weight"
    assert torch.equal(model.state_dict()[name], trained[name])


def test_official_names_and_a_head_of_1000_classes():
    """A released classifier with 1000 outputs works on 200 classes: the other logits can only be wrong."""
    module = LocalFeatureDigging(1000, 16, **SMALL)
    official = {}
    for name, value in module.state_dict().items():
        for ours, theirs in (
            ("conv1.", "conv."),
            ("conv2.", "classifier."),
            ("norm.", "norm_mini."),
            ("blocks.", "blocks_mini."),
            (".ln1.", ".norm1."),
            (".ln2.", ".norm2."),
            (".ffn.layers.0.0.", ".mlp.fc1."),
            (".ffn.layers.1.", ".mlp.fc2."),
        ):
            if name.startswith(ours) or ours.startswith("."):
                name = name.replace(ours, theirs, 1)
        official[f"module.{name}"] = value
    converted = convert_official({"state_dict": official, "epoch": 3}, "locloc-classifier")
    assert set(converted) == {f"head.classifier.{name}" for name in module.state_dict()}
    other = LocalFeatureDigging(1000, 16, **SMALL)
    other.load_state_dict({name.removeprefix("head.classifier."): value for name, value in converted.items()})
    tokens = torch.randn(2, 65, 16)
    torch.testing.assert_close(other.eval()(tokens, (8, 8)), module.eval()(tokens, (8, 8)))
    with pytest.raises(ValueError, match="do not have the names of a 'locloc-generator' release"):
        convert_official({"state_dict": official}, "locloc-generator")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(train_part="both"), "train_part must be one of .* got 'both'"),
        (dict(generator=dict(type="gan")), "generator.type must be one of .* got 'gan'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        head(**options)


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="have no 'pseudo_mask': put mmwsol.LoadPseudoMask into the training"):
        head().loss(features(), [LocDataSample().set_gt_label(0)] * 2)
    with pytest.raises(ValueError, match=r"set backbone.out_tokens=\(0, -1\)"):
        head()(features()._replace(tokens=()))
    with pytest.raises(ValueError, match="needs 'patch_map' of the features"):
        head()(features()._replace(patch_map=None))
