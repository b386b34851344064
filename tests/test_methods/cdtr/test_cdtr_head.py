"""CDTRHead: order of the attention maps, its modules by hand, ablations, what acts at test, errors."""

import pytest
import torch
import torch.nn.functional as F

from mmwsol.methods.cdtr import CDTRHead
from mmwsol.methods.cdtr.head import CategoryAwareStimulation, ObjectAwakening, SemanticKernelIntegrator
from mmwsol.methods.sat import MapNormalizationLoss, SATViT
from mmwsol.models import TapViT, ViTFeatures
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample

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
    assert count(CategoryAwareStimulation(72, 200, 8)) == 571_936
    assert count(CategoryAwareStimulation(72, 1000, 256)) == 17_953_120
    assert count(ObjectAwakening(range(9), 6)) == 155 and count(ObjectAwakening(range(10), 6)) == 172
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


def test_attention_maps_are_stacked_block_by_block():
    attention = torch.arange(12.0)[:, None] * 10 + torch.arange(6.0)  # a[l, s] = 10 l + s
    attention = attention[None, :, :, None, None].expand(1, -1, -1, 14, 14)
    feats = ViTFeatures(torch.zeros(1, 24, 14, 14), torch.zeros(1, 24), attention)
    model = CDTRHead(5, 24)
    seen = []
    model.csm.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    model.maps(feats)
    assert seen[0].shape == (1, 72, 14, 14) and seen[0][0, 13, 0, 0] == 21


def test_sum_and_mean_of_the_heads():
    feats = features()
    total, mean = head().attention(feats), head(head_reduce="mean").attention(feats)
    torch.testing.assert_close(total[:, 0], feats.cls_attn.sum(2).mean(1))
    torch.testing.assert_close(mean, total / 2)
    one_hot = torch.zeros(1, 3, 2, 4, 4).double()
    one_hot[..., 1, 3] = 1
    assert head().attention(ViTFeatures(torch.zeros(1), torch.zeros(1), one_hot))[0, 0].nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize("side", [14, 15])
def test_csm_keeps_the_grid(side):
    csm = CategoryAwareStimulation(72, 11, 4)
    attention = torch.rand(2, 72, side, side)
    assert csm.encode(attention).shape == (2, 8, 7, 7)
    assert csm(attention).shape == (2, 11, side, side)


def test_csm_decoder_has_the_attention_before_the_encoding():
    csm = CategoryAwareStimulation(6, 5, 2).eval()
    attention, encoded = torch.rand(2, 1, 6, 4, 4), torch.rand(2, 1, 4, 2, 2)
    csm.decoder[0].weight.data[:, :6] = 0
    assert torch.equal(csm.decode(attention[0], encoded[0]), csm.decode(attention[1], encoded[0]))
    assert not torch.allclose(csm.decode(attention[0], encoded[0]), csm.decode(attention[0], encoded[1]))


def test_pseudo_map_reads_the_blocks_it_is_told():
    model, feats = head(ocm_blocks=[2]), features()
    pseudo = model.ocm(feats.cls_attn)
    assert pseudo.shape == (2, 4, 4) and (pseudo > 0).all() and (pseudo < 1).all()
    changed = feats.cls_attn.clone()
    changed[:, :2] = 0
    assert torch.equal(model.ocm(changed), pseudo)
    assert head(ocm_blocks=2).ocm.indices == (0, 1)


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
    model.terms(feats, model.maps(feats), torch.tensor([4, 1]))["ski"].backward()
    assert not model.conv.weight.grad.any()
    assert model.ski.conv_offset.weight.grad.any() and model.csm.classifier.weight.grad.any()


def test_ski_by_mmcv_equals_torchvision():
    pytest.importorskip("mmcv.ops", reason="compiled mmcv")
    for batch in (3, 48):  # mmcv's own module refuses 48
        features, other = torch.randn(2, batch, 5, 6, 7)
        ours = SemanticKernelIntegrator(5)
        ours.conv_offset.weight.data.normal_()
        theirs = SemanticKernelIntegrator(5, "mmcv")
        theirs.load_state_dict(ours.state_dict())
        torch.testing.assert_close(theirs(features, other), ours(features, other))


def test_fused_maps_and_scores():
    feats, model = features(), head().eval()
    gt = torch.tensor([6, 0])
    scores, maps, labels = model.predict(feats, gt)
    out = model.conv(feats.patch_map)
    csm = model.csm(feats.cls_attn.flatten(1, 2))
    torch.testing.assert_close(scores, out.mean((2, 3)).softmax(1))
    attention = feats.cls_attn.sum(2).mean(1)
    for b in range(2):
        for k, label in enumerate(labels[b].tolist()):
            torch.testing.assert_close(maps[b, k], attention[b] * (out + csm)[b, label])
    without = head(with_csm=False, with_ski=False).eval()
    _, maps, labels = without.predict(feats)
    torch.testing.assert_close(maps[0, 0], attention[0] * without.conv(feats.patch_map)[0, labels[0, 0]])


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
    losses = model.loss(features(), SAMPLES)
    assert len(model.weighting.lambdas) == len(names.split())
    assert list(losses) == ["loss_terms", *names.split(), *(f"lambda_{name}" for name in names.split())]
    terms = torch.stack([losses[name] for name in names.split()])
    torch.testing.assert_close(losses["loss_terms"], (terms / 2 + torch.tensor(2.0).log()).sum())
    losses["loss_terms"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_losses_without_weighting_and_with_losses_of_the_map():
    model = head(weighting=None, loss_maps=dict(loss_norm=dict(type="mmwsol.MapNormalizationLoss")))
    feats = features()
    losses = model.loss(feats, SAMPLES)
    terms = [losses[name] for name in ("cls", "csm", "ocm_s", "ocm_a", "ski")]
    torch.testing.assert_close(losses["loss_terms"], torch.stack(terms).sum())
    torch.testing.assert_close(losses["loss_norm"], MapNormalizationLoss()(model.attention(feats)[:, 0]))
    assert not any(name.startswith("lambda") for name in losses)


def test_spatial_token_takes_the_place_of_the_attention():
    feats = features(SATViT)
    model = head(attn_source="spatial_token").eval()
    torch.testing.assert_close(model.attention(feats), feats.gates.mean(1, keepdim=True))
    assert model.csm(feats.cls_attn.flatten(1, 2)).shape == (2, 7, 4, 4)
    losses = model.train().loss(feats, SAMPLES)
    torch.testing.assert_close(losses["ocm_s"], model.loss_ocm_s(feats.gates.mean(1)))
    alone = head(attn_source="spatial_token", semantic=False).eval().predict(feats)
    torch.testing.assert_close(alone.maps, feats.gates.mean(1, keepdim=True).expand_as(alone.maps))
    with pytest.raises(ValueError, match="needs backbone.type='mmwsol.SATViT'"):
        model.attention(features())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(with_csm=False), "with_ski=True needs with_csm=True"),
        (dict(head_reduce="max"), "head_reduce must be one of"),
        (dict(attn_source="loc"), "attn_source must be one of"),
        (dict(ski_input="both"), "ski_input must be one of"),
        (dict(deform_backend="dcn"), "deform_backend must be one of"),
        (dict(sba_map="csm"), "sba_map must be one of"),
        (dict(ocm_blocks=4), "ocm_blocks must be 1 to 3 .* got 4"),
        (dict(ocm_blocks=[0, 3]), "ocm_blocks must be 1 to 3"),
        (dict(ocm_blocks=0), "ocm_blocks must be 1 to 3"),
        (dict(attn_reduce="last"), "CDTRHead has no attn_reduce"),
        (dict(loss_maps=dict(area=dict(type="mmwsol.BatchAreaLoss", target=0.2))), "must start with 'loss_'"),
    ],
)
def test_options_are_checked(kwargs, message):
    with pytest.raises(ValueError, match=message):
        head(**kwargs)


def test_backbone_must_fit():
    with pytest.raises(ValueError, match=r"attention of 3 blocks with 2 heads.*set attn_shape=\(3, 2\)"):
        head(attn_shape=(12, 6), ocm_blocks=9).maps(features())
    with pytest.raises(ValueError, match="set tap='cls' and tap_in_train=True"):
        head().maps(ViTFeatures(torch.zeros(1, 24, 4, 4).double(), torch.zeros(1, 24)))
