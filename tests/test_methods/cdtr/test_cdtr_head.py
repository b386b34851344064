"""CDTRHead: SKI by hand, ablations, what acts at test, errors; what it shares with CATR is tested there."""

import pytest
import torch
import torch.nn.functional as F

from mmwsol.methods.catr.head import ObjectAwakening
from mmwsol.methods.cdtr import CDTRHead
from mmwsol.methods.cdtr.head import SemanticKernelIntegrator
from mmwsol.methods.sat import MapNormalizationLoss, SATViT
from mmwsol.models import TapViT
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample
from mmwsol.utils.config import load_config

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)
SMALL = dict(num_classes=7, in_channels=24, attn_shape=(3, 2), ocm_blocks=2)
SAMPLES = [LocDataSample().set_gt_label(label) for label in (4, 1)]


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def head(**kwargs):
    torch.manual_seed(2)
    return CDTRHead(**{**SMALL, **kwargs}).double()


def features(vit=TapViT, **kwargs):
    torch.manual_seed(1)
    model = vit(arch=ARCH, img_size=32, patch_size=8, tap="cls", **kwargs).double()
    model.init_weights()
    return model.eval()(torch.randn(2, 3, 32, 32, dtype=torch.float64) * 3)


def test_parameters_of_the_modules():
    assert count(SemanticKernelIntegrator(200)) == 392_418
    assert count(SemanticKernelIntegrator(1000)) == 9_162_018


@pytest.mark.parametrize(
    ("model", "total"),
    [
        (dict(type="mmwsol.CDTRHead", num_classes=200), 23_321_578),
        (dict(type="mmwsol.CDTRHead", num_classes=1000, c_base=256, ocm_blocks=10), 52_237_979),
        (dict(type="mmwsol.CDTRHead", num_classes=200, with_ski=False), 22_929_159),
        (dict(type="mmwsol.CDTRHead", num_classes=1000, c_base=256, ocm_blocks=10, with_ski=False), 43_075_960),
        (dict(type="mmwsol.LCTRHead", num_classes=200), 25_761_232),
        (dict(type="mmwsol.ConvCAMHead", num_classes=200), 22_357_064),
        (dict(type="mmwsol.ConvCAMHead", num_classes=1000), 25_122_664),
    ],
)
def test_parameters_of_the_models(model, total):
    with torch.device("meta"):
        backbone = TapViT("deit-small")
        assert count(backbone) + count(MODELS.build(dict(model, in_channels=384))) == total


def test_ski_without_offsets_is_a_convolution():
    ski = SemanticKernelIntegrator(5).double()
    features = torch.randn(2, 5, 6, 7, dtype=torch.float64)
    ski.conv_offset.bias.data.zero_()
    torch.testing.assert_close(ski(features, torch.randn_like(features)), F.conv2d(features, ski.weight, padding=1))


@pytest.mark.parametrize(("axis", "pad"), [(0, (1, 1, 0, 2)), (1, (0, 2, 1, 1))])
def test_ski_offsets_are_dy_then_dx(axis, pad):
    ski = SemanticKernelIntegrator(5).double()
    features = torch.randn(2, 5, 6, 7, dtype=torch.float64)
    ski.conv_offset.bias.data = torch.eye(2, dtype=torch.float64)[axis].repeat(9)  # one cell down, or right
    expected = F.conv2d(F.pad(features, pad), ski.weight)
    torch.testing.assert_close(ski(features, torch.zeros_like(features)), expected)


def test_ski_starts_with_small_offsets_and_no_gradient_to_their_map():
    model, feats = head(), features()
    bound = (9 * 7) ** -0.5
    assert not model.ski.conv_offset.weight.any() and 0 < model.ski.conv_offset.bias.abs().max() <= bound
    bound = (6 / (9 * 7)) ** 0.5
    assert 0.9 * bound < model.ski.weight.abs().max() <= bound
    model.plain_terms(model.encode(feats), torch.tensor([4, 1]))["ski"].backward()
    assert not model.conv.weight.grad.any()
    assert model.ski.conv_offset.weight.grad.any() and model.csm.classifier.weight.grad.any()


def test_ski_ocm_and_weights_do_nothing_at_test(monkeypatch):
    def stop(*args):
        raise AssertionError("runs in training only")

    feats, model = features(), head().eval()
    before = model.predict(feats)
    model.weighting.lambdas.data.fill_(3)
    for module in (SemanticKernelIntegrator, ObjectAwakening):
        monkeypatch.setattr(module, "forward", stop)
    for ours, same in zip(model.predict(feats), before, strict=True):
        assert torch.equal(ours, same)


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ("", "cls"),
        ("csm", "cls csm"),
        ("ocm", "cls ocm_s ocm_a"),
        ("csm ocm", "cls csm ocm_s ocm_a"),
        ("csm ocm ski", "cls csm ocm_s ocm_a ski"),
        ("csm ski", "cls csm ski"),
    ],
)
def test_ablations_weight_their_own_terms(parts, names):
    model = head(**{f"with_{part}": part in parts.split() for part in ("csm", "ocm", "ski")})
    losses, names = model.loss(features(), SAMPLES), names.split()
    assert len(model.weighting.lambdas) == len(names)
    weighted = [f"loss_{name}" for name in names]
    assert list(losses) == [*weighted, *names, *(f"lambda_{name}" for name in names)]
    for name in names:
        torch.testing.assert_close(losses[f"loss_{name}"], losses[name] / 2 + torch.tensor(2.0).log())
    sum(losses[name] for name in weighted).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_losses_without_weighting_and_with_losses_of_the_map():
    model = head(weighting=None, map_losses=dict(loss_norm=dict(type="mmwsol.MapNormalizationLoss")))
    feats = features()
    losses = model.loss(feats, SAMPLES)
    assert list(losses) == ["loss_cls", "loss_csm", "loss_ocm_s", "loss_ocm_a", "loss_ski", "loss_norm"]
    terms = model.plain_terms(model.encode(feats), torch.tensor([4, 1]))
    for name, value in terms.items():
        torch.testing.assert_close(losses[f"loss_{name}"], value)
    torch.testing.assert_close(losses["loss_norm"], MapNormalizationLoss()(model.attention(feats)[:, 0]))


@pytest.mark.parametrize("ski_input", ["csm", "out"])
def test_ski_ties_attention_and_both_class_maps(ski_input):
    model, feats = head(ski_input=ski_input), features()
    model.ski.conv_offset.weight.data.normal_()
    out, csm = model.conv(feats.patch_map), model.csm(feats.cls_attn.flatten(1, 2))
    attention = feats.cls_attn.sum(2).mean(1, keepdim=True)
    expected = model.ski(csm, out * attention) if ski_input == "csm" else model.ski(out, csm * attention)
    torch.testing.assert_close(model.integrate(model.encode(feats)), expected)
    without = head(with_ski=False)
    with pytest.raises(ValueError, match="has no SKI"):
        without.integrate(without.encode(feats))


def test_map_scale_acts_on_every_loss_of_the_attention_and_nothing_else():
    feats = features(SATViT)
    area = dict(loss_area=dict(type="mmwsol.BatchAreaLoss", target=0.25))
    model = head(attn_source="spatial_token", map_scale=0.06, map_losses=area).train()
    gates = feats.gates.mean(1)
    encoded = model.encode(feats)
    losses = model.loss(feats, SAMPLES)
    torch.testing.assert_close(losses["ocm_s"], model.loss_ocm_s(0.06 * gates))
    torch.testing.assert_close(losses["ocm_a"], model.loss_ocm_a(model.ocm(feats.cls_attn), 0.06 * gates))
    model.ski.conv_offset.weight.data.normal_()
    expected = model.ski(encoded.csm, encoded.semantic * 0.06 * gates[:, None])
    torch.testing.assert_close(model.integrate(encoded), expected)
    torch.testing.assert_close(losses["loss_area"], (gates.mean() - 0.25).abs())  # gates as they are, in (0, 1)
    torch.testing.assert_close(model.foreground(encoded), gates)


@pytest.mark.parametrize("data", ["cub", "ilsvrc"])
def test_cdtr_sat_is_evaluated_by_the_gates(data):
    """Table XII: SAT's own maps, the same for every class, at SAT's threshold; 'fused' is the product of CDTR."""
    cfg = load_config(f"cdtr-sat_deit-s_{data}").model
    assert cfg.map_to_box == load_config(f"sat_deit-s_{data}").model.map_to_box
    options = {name: cfg.head[name] for name in ("attn_source", "semantic", "map_scale")}
    feats = features(SATViT)
    maps = head(**options).eval().predict(feats).maps
    torch.testing.assert_close(maps, feats.gates.mean(1, keepdim=True).expand_as(maps))
    if data == "cub":
        assert load_config("cdtr-sat_deit-s_cub_fused").model.head.semantic


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(with_csm=False), "with_ski=True needs with_csm=True"),
        (dict(ski_input="both"), "ski_input must be one of"),
    ],
)
def test_options_are_checked(kwargs, message):
    with pytest.raises(ValueError, match=message):
        head(**kwargs)
