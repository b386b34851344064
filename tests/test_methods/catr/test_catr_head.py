"""CATRHead: order of the attention maps, its modules by hand, ablations, what acts at test, errors."""

import pytest
import torch

from mmwsol.methods.catr import CATRHead
from mmwsol.methods.catr.head import CategoryAwareStimulation, ObjectAwakening
from mmwsol.methods.sat import MapNormalizationLoss, SATViT
from mmwsol.models import Features, TapViT
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)
SMALL = dict(num_classes=7, in_channels=24, attn_shape=(3, 2), ocm_blocks=2)
SAMPLES = [LocDataSample().set_gt_label(label) for label in (4, 1)]


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def head(**kwargs):
    torch.manual_seed(2)
    return CATRHead(**{**SMALL, **kwargs}).double()


def features(vit=TapViT, **kwargs):
    torch.manual_seed(1)
    model = vit(arch=ARCH, img_size=32, patch_size=8, tap="cls", **kwargs).double()
    model.init_weights()
    return model.eval()(torch.randn(2, 3, 32, 32, dtype=torch.float64) * 3)


def test_parameters_of_the_modules():
    assert count(CategoryAwareStimulation(72, 200, 8)) == 571_936
    assert count(CategoryAwareStimulation(72, 1000, 256)) == 17_953_120
    assert count(ObjectAwakening(range(9), 6)) == 155 and count(ObjectAwakening(range(10), 6)) == 172


@pytest.mark.parametrize(
    ("model", "total"),
    [
        (dict(num_classes=200), 22_929_159),
        (dict(num_classes=1000, c_base=256, ocm_blocks=10), 43_075_960),
    ],
)
def test_parameters_of_the_models(model, total):
    with torch.device("meta"):
        head = MODELS.build(dict(type="mmwsol.CATRHead", in_channels=384, **model))
        assert count(TapViT("deit-small")) + count(head) == total


def test_attention_maps_are_stacked_block_by_block():
    attention = torch.arange(12.0)[:, None] * 10 + torch.arange(6.0)  # a[l, s] = 10 l + s
    attention = attention[None, :, :, None, None].expand(1, -1, -1, 14, 14)
    feats = Features(torch.zeros(1, 24, 14, 14), attention, cls_token=torch.zeros(1, 24))
    model = CATRHead(5, 24)
    seen = []
    model.csm.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    model.encode(feats)
    assert seen[0].shape == (1, 72, 14, 14) and seen[0][0, 13, 0, 0] == 21


def test_sum_and_mean_of_the_heads():
    feats = features()
    total, mean = head().attention(feats), head(head_reduce="mean").attention(feats)
    torch.testing.assert_close(total[:, 0], feats.cls_attn.sum(2).mean(1))
    torch.testing.assert_close(mean, total / 2)
    one_hot = torch.zeros(1, 3, 2, 4, 4).double()
    one_hot[..., 1, 3] = 1
    assert head().attention(Features(torch.zeros(1), one_hot))[0, 0].nonzero().tolist() == [[1, 3]]


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
    without = head(with_csm=False).eval()
    _, maps, labels = without.predict(feats)
    torch.testing.assert_close(maps[0, 0], attention[0] * without.conv(feats.patch_map)[0, labels[0, 0]])


def test_ocm_and_weights_do_nothing_at_test(monkeypatch):
    def stop(*args):
        raise AssertionError("runs in training only")

    feats, model = features(), head().eval()
    before = model.predict(feats)
    model.weighting.lambdas.data.fill_(3)
    monkeypatch.setattr(ObjectAwakening, "forward", stop)
    for ours, same in zip(model.predict(feats), before, strict=True):
        assert torch.equal(ours, same)


@pytest.mark.parametrize(
    ("parts", "names"),
    [("", "cls"), ("csm", "cls csm"), ("ocm", "cls ocm_s ocm_a"), ("csm ocm", "cls csm ocm_s ocm_a")],
)
def test_ablations_weight_their_own_terms(parts, names):
    model, names = head(**{f"with_{part}": part in parts.split() for part in ("csm", "ocm")}), names.split()
    losses = model.loss(features(), SAMPLES)
    assert len(model.weighting.lambdas) == len(names)
    weighted = [f"loss_{name}" for name in names]
    assert list(losses) == [*weighted, *names, *(f"lambda_{name}" for name in names)]
    for name in names:
        torch.testing.assert_close(losses[f"loss_{name}"], losses[name] / 2 + torch.tensor(2.0).log())
        assert not losses[name].requires_grad and not losses[f"lambda_{name}"].requires_grad
    sum(losses[name] for name in weighted).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_terms_by_their_definition():
    model, feats = head(weighting=None), features()
    losses = model.loss(feats, SAMPLES)
    assert list(losses) == ["loss_cls", "loss_csm", "loss_ocm_s", "loss_ocm_a"]
    labels, attention = torch.tensor([4, 1]), feats.cls_attn.sum(2).mean(1)
    csm = model.csm(feats.cls_attn.flatten(1, 2))
    cross_entropy = torch.nn.functional.cross_entropy
    torch.testing.assert_close(losses["loss_cls"], cross_entropy(model.conv(feats.patch_map).mean((2, 3)), labels))
    torch.testing.assert_close(losses["loss_csm"], cross_entropy(csm.mean((2, 3)), labels))
    torch.testing.assert_close(losses["loss_ocm_s"], model.loss_ocm_s(attention))
    torch.testing.assert_close(losses["loss_ocm_a"], model.loss_ocm_a(model.ocm(feats.cls_attn), attention))


def test_total_is_that_of_the_learned_weights():
    """What mmengine adds up is the whole weighted loss, and nothing twice."""
    backbone = dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8, tap_in_train=True)
    model = MODELS.build(
        dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=dict(type="mmwsol.CATRHead", **SMALL))
    )
    model.head.weighting.lambdas.data = torch.tensor([0.5, 1.0, 2.0, 3.0])
    losses = model(torch.randn(2, 3, 32, 32), SAMPLES, mode="loss")
    total, _ = model.parse_losses(losses)
    plain = [losses[name] for name in ("cls", "csm", "ocm_s", "ocm_a")]
    expected = sum(
        value / (2 * weight**2) + torch.tensor(1 + weight**2).log()
        for value, weight in zip(plain, (0.5, 1.0, 2.0, 3.0), strict=True)
    )
    torch.testing.assert_close(total, expected)


def test_map_losses_see_m():
    model = head(map_losses=dict(loss_norm=dict(type="mmwsol.MapNormalizationLoss")))
    feats = features()
    torch.testing.assert_close(
        model.loss(feats, SAMPLES)["loss_norm"], MapNormalizationLoss()(feats.cls_attn.sum(2).mean(1))
    )


def test_label_map_has_gradient_to_the_attention_alone():
    model, feats = head().eval(), features()
    attention = feats.cls_attn.detach().requires_grad_()
    labels = torch.tensor([4, 1])
    encoded = model.encode(feats._replace(cls_attn=attention))
    maps = model.label_map(encoded, labels)
    torch.testing.assert_close(maps, model.localize(encoded, labels[:, None])[:, 0])
    class_maps = model.class_maps(encoded)[[0, 1], labels]
    (grad,) = torch.autograd.grad(maps.sum(), attention)
    torch.testing.assert_close(
        grad, (class_maps / 3)[:, None, None].expand_as(attention)
    )  # sum of heads, mean of blocks
    assert model.label_map(encoded, labels).requires_grad
    for options in (dict(semantic=False), dict(couple=False)):  # these say what is shown, not what is trained
        torch.testing.assert_close(head(**options).eval().label_map(encoded, labels), maps)


def test_spatial_token_takes_the_place_of_the_attention():
    feats = features(SATViT)
    model = head(attn_source="spatial_token").eval()
    torch.testing.assert_close(model.attention(feats), feats.gates.mean(1, keepdim=True))
    assert model.csm(feats.cls_attn.flatten(1, 2)).shape == (2, 7, 4, 4)
    losses = model.train().loss(feats, SAMPLES)
    torch.testing.assert_close(losses["ocm_s"], model.loss_ocm_s(feats.gates.mean(1)))
    alone = head(attn_source="spatial_token", semantic=False).eval().predict(feats)
    torch.testing.assert_close(alone.maps, feats.gates.mean(1, keepdim=True).expand_as(alone.maps))
    with pytest.raises(ValueError, match="needs 'gates' of the features, .* set backbone.type='mmwsol.SATViT'"):
        model.attention(features())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(head_reduce="max"), "head_reduce must be one of"),
        (dict(attn_source="loc"), "attn_source must be one of"),
        (dict(ocm_blocks=4), "ocm_blocks must be 1 to 3 .* got 4"),
        (dict(ocm_blocks=[0, 3]), "ocm_blocks must be 1 to 3"),
        (dict(ocm_blocks=0), "ocm_blocks must be 1 to 3"),
    ],
)
def test_options_are_checked(kwargs, message):
    with pytest.raises(ValueError, match=message):
        head(**kwargs)


def test_attention_options_of_ts_cam_are_unknown():
    with pytest.raises(TypeError, match="attn_reduce"):
        head(attn_reduce="last")


def test_backbone_must_fit():
    with pytest.raises(
        ValueError, match=r"attention of 3 blocks with 2 heads, CATRHead was built for .* set attn_shape=\(3, 2\)"
    ):
        head(attn_shape=(12, 6), ocm_blocks=9).encode(features())
    with pytest.raises(ValueError, match="needs 'cls_attn' .* set tap='cls' in the backbone, and tap_in_train=True"):
        head().encode(Features(torch.zeros(1, 24, 4, 4).double(), cls_token=torch.zeros(1, 24)))
