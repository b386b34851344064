"""DiPS: decoder, head, what is trained, and its losses."""

import pytest
import torch
from torch import nn

from mmwsol.methods.dips import DiPSDecoder, DiPSHead
from mmwsol.models import Batch, Features
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample

ARCH = dict(embed_dims=16, num_layers=4, num_heads=4, feedforward_channels=32)
CRF = dict(type="mmwsol.DenseCRFLoss", loss_weight=1e-6)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def build(train_part="decoder", **head):
    torch.manual_seed(0)
    backbone = dict(type="mmwsol.DiPSViT", arch=ARCH, img_size=32, patch_size=8, num_cls_tokens=2)
    options = dict(num_classes=3, in_channels=16, num_cls_tokens=2, channels=(8, 4), train_part=train_part)
    head = dict(type="mmwsol.DiPSHead", **{"loss_crf": CRF, **options, **head})
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    model.init_weights()
    return model


def samples(size=32, **fields):
    out = []
    for i in range(2):
        sample = LocDataSample().set_gt_label(i)
        mask = torch.zeros(size, size, dtype=torch.bool)
        mask[4 : 20 + i, 6:25] = True
        sample.set_field(mask, "proposal_mask")
        sample.set_field(i, "proposal_map")
        sample.set_field(torch.randint(0, 256, (3, size, size), dtype=torch.uint8), "raw_img")
        for name, value in fields.items():
            sample.set_field(value, name)
        out.append(sample)
    return out


def batch(data_samples):
    return Batch(torch.cat([sample.gt_label for sample in data_samples]), data_samples)


def test_published_size_and_cost():
    decoder = DiPSDecoder(384)
    assert count(decoder) == 1_308_620
    head = DiPSHead(200, 384)
    assert count(head) == 1_616_020  # Table 1: 1.616 M
    assert count(DiPSHead(1000, 384)) == 2_845_620
    macs, norms = 0, 0

    def note(module, inputs, out):
        nonlocal macs, norms
        macs += module.weight[0].numel() * out[0].numel() if isinstance(module, nn.Conv2d) else 0
        norms += out[0].numel() if isinstance(module, nn.BatchNorm2d) else 0

    for module in decoder.modules():
        module.register_forward_hook(note) if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)) else None
    out = decoder.eval()(torch.randn(2, 384, 14, 14))
    assert out.shape == (2, 2, 224, 224) and out.min() >= 0
    macs, norms = 0, 0
    decoder(torch.randn(1, 384, 14, 14))
    assert macs == 2_386_169_856
    assert macs + head.fc.in_features * head.fc.out_features + 4 * norms == 2_395_709_440  # 2.396 G


def test_decoder_without_last_relu_has_negative_logits():
    decoder = DiPSDecoder(8, (4,), final_relu=False)
    assert decoder(torch.randn(2, 8, 4, 4)).min() < 0
    assert [name for name, _ in decoder[-1].conv2.named_parameters()] == ["0.weight", "0.bias"]


def test_prediction_is_the_probability_of_foreground():
    model = build().eval()
    images = torch.randn(2, 3, 32, 32)
    feats = model.extract_feat(images)
    scores, maps, labels = model.head.predict(feats)
    torch.testing.assert_close(scores, model(images).softmax(1))
    torch.testing.assert_close(maps, model.head.decoder(feats.patch_map).softmax(1)[:, 1:])
    assert maps.shape == (2, 1, 32, 32) and (labels == -1).all()
    model.head.attention_map = 2
    torch.testing.assert_close(model.head.predict(feats).maps[:, 0], feats.cls_attn[:, 0, 1])
    assert build("classifier").head.attention_map == 0


@pytest.mark.parametrize("part", ["classifier", "decoder"])
def test_only_one_part_is_trained(part):
    model = build(part).train()
    other = dict(classifier="head.decoder", decoder="head.fc")[part]
    assert not any(m.training for name, m in model.named_modules() if name.startswith(("backbone", other)))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    losses = model(torch.randn(2, 3, 32, 32), samples(), mode="loss")
    loss, _ = model.parse_losses(losses)
    loss.backward()
    optimizer.step()
    prefix = dict(classifier="head.fc.", decoder="head.decoder.")[part]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, start[name])}
    assert changed == {name for name in start if name.startswith(prefix)}
    assert all(p.grad is None for p in model.backbone.parameters())


def test_crf_is_part_of_the_loss():
    model = build()
    losses = model(torch.randn(2, 3, 32, 32), samples(), mode="loss")
    total, logged = model.parse_losses(losses)
    assert losses["loss_crf"] < 0
    assert total.item() == pytest.approx((losses["loss_seed"] + losses["loss_crf"]).item())
    assert 0 < logged["foreground"] < 1
    without = build(loss_crf=None)
    assert "loss_crf" not in without(torch.randn(2, 3, 32, 32), samples(), mode="loss")


def test_labels_come_from_the_chosen_map_and_box():
    model = build(sampler=dict(num_fg=10**6, num_bg=0, fg_fraction=0.1, kernel_size=1))
    attention = torch.full((2, 4, 4, 4), 0.01)
    attention[0, :, 1, 1] = 0.5  # the mean of image 0
    attention[1, 0, 2, 1] = 0.5  # the first head of image 1
    feats = Features(torch.zeros(2, 16, 4, 4), cls_attn=attention[:, None], cls_tokens=torch.zeros(2, 2, 16))
    given = samples()
    labels = model.head.pseudo_labels(feats, batch(given))
    for label, sample, (row, column) in zip(labels, given, ((12, 12), (20, 12)), strict=True):
        drawn = (label == 1).nonzero().float()
        inside = sample.proposal_mask
        assert len(drawn) == int(0.1 * inside.sum()) and inside[label == 1].all()
        assert (drawn.mean(0) - torch.tensor([row - 0.5, column - 0.5])).abs().max() < 3.5


def test_images_without_object_are_background():
    model = build(background_class=1, sampler=dict(num_fg=9, num_bg=9))
    feats = model.extract_feat(torch.randn(2, 3, 32, 32))
    labels = model.head.pseudo_labels(feats, batch(samples()))
    assert (labels[1] == 0).all() and (labels[0] == 1).any()


def test_a_map_that_the_head_does_not_have_is_refused():
    model = build(map_set="all_heads_and_mean")
    feats = model.extract_feat(torch.randn(2, 3, 32, 32))
    with pytest.raises(ValueError, match="proposal_map is 9, but head.map_set='all_heads_and_mean' has [35] maps"):
        model.head.pseudo_labels(feats, batch(samples(proposal_map=9)))


def test_all_boxes_reach_the_sampler():
    model = build(sampler=dict(exclude_boxes="all", num_bg=10**6, bg_fraction=1.0, num_fg=0, kernel_size=1))
    feats = model.extract_feat(torch.randn(2, 3, 32, 32))
    union = torch.zeros(32, 32, dtype=torch.bool)
    union[:, :16] = True
    labels = model.head.pseudo_labels(feats, batch(samples(all_proposals_mask=union)))
    assert ((labels == 0) == ~union).all()


def test_linear_weights_of_a_release(tmp_path):
    weights = dict(weight=torch.randn(3, 32), bias=torch.randn(3))
    path = tmp_path / "linear.pth"
    torch.save(dict(state_dict={f"module.linear.{name}": value for name, value in weights.items()}), path)
    model = build(fc_weights=str(path))
    assert torch.equal(model.head.fc.weight, weights["weight"]) and torch.equal(model.head.fc.bias, weights["bias"])
    with pytest.raises(ValueError, match=r"is \(3, 32\), the layer \(4, 32\)"):
        build(fc_weights=str(path), num_classes=4)


def test_errors():
    with pytest.raises(ValueError, match="train_part must be one of"):
        DiPSHead(3, 16, train_part="both")
    model = build()
    with pytest.raises(ValueError, match=r"put mmwsol.LoadProposals into the training pipeline"):
        model(torch.randn(1, 3, 32, 32), [LocDataSample().set_gt_label(0)], mode="loss")
    with pytest.raises(ValueError, match=r"one for every factor of 2 of the patch size"):
        build(channels=(8,))(torch.randn(2, 3, 32, 32), samples(), mode="loss")
