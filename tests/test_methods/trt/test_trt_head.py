"""TRTHead: logits, maps and losses of every part, and the official network's numbers on a tiny model."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmwsol.methods.trt import TRTHead
from mmwsol.models import Features, TapViT
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample
from mmwsol.utils import convert_official


def features(train_part="joint"):
    torch.manual_seed(1)
    cls_token, cam_map = torch.randn(2, 24).double(), torch.randn(2, 24, 4, 5).double()
    attn_map = torch.rand(2, 1, 4, 5).double()
    return Features(cls_token=cls_token, attn_map=attn_map, cam_map=None if train_part == "tpsm" else cam_map)


def head(num_classes=7, **kwargs):
    torch.manual_seed(2)
    return TRTHead(num_classes, 24, **kwargs).double()


def test_scores_and_maps():
    feats, model = features(), head()
    gt = torch.tensor([6, 0])
    scores, maps, labels = model.predict(feats, gt)
    torch.testing.assert_close(scores, model.fc(feats.cls_token).softmax(1))
    assert torch.equal(labels[:, :5], scores.topk(5).indices) and torch.equal(labels[:, 5], gt)
    class_maps = model.cam_conv(feats.cam_map)
    for b in range(2):
        for k in range(6):
            torch.testing.assert_close(maps[b, k], class_maps[b, labels[b, k]] * feats.attn_map[b, 0])


@pytest.mark.parametrize("kwargs", [dict(train_part="tpsm"), dict(train_part="cam", fuse_cam=False)])
def test_attention_alone(kwargs):
    feats = features(kwargs["train_part"])
    scores, maps, labels = head(**kwargs).predict(feats, torch.tensor([6, 0]))
    assert torch.equal(maps, feats.attn_map) and labels.tolist() == [[-1], [-1]]
    torch.testing.assert_close(scores.sum(1), torch.ones(2).double())


def test_class_scores_of_the_branches():
    feats = features()
    tpsm, cam, mean = (head(cls_branch=branch)(feats) for branch in ("tpsm", "cam", "mean"))
    model = head()
    torch.testing.assert_close(tpsm, model.fc(feats.cls_token))
    torch.testing.assert_close(cam, model.cam_conv(feats.cam_map).mean((2, 3)))
    torch.testing.assert_close(mean, (tpsm + cam) / 2)
    prediction = head(cls_branch="cam").predict(feats)
    torch.testing.assert_close(prediction.scores, cam.softmax(1))


def test_scores_from_elsewhere_choose_the_classes():
    scores = torch.eye(7).double()[[3, 5]]
    assert head().predict(features(), scores=scores).labels[:, 0].tolist() == [3, 5]


def test_losses_of_the_parts():
    samples = [LocDataSample().set_gt_label(c) for c in (4, 1)]
    target = torch.tensor([4, 1])
    model = head()
    both = model.loss(features(), samples)
    assert list(both) == ["loss_cls", "loss_cam"]
    torch.testing.assert_close(both["loss_cls"], F.cross_entropy(model(features()), target))
    class_logits = model.class_maps(features()).mean((2, 3))
    torch.testing.assert_close(both["loss_cam"], F.cross_entropy(class_logits, target))
    for part, name in (("tpsm", "loss_cls"), ("cam", "loss_cam")):
        losses = head(train_part=part).loss(features(part), samples)
        assert list(losses) == ["loss_cls"]
        torch.testing.assert_close(losses["loss_cls"], both[name])


def test_trained_parameters():
    arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
    backbone = dict(type="mmwsol.TRTViT", arch=arch, img_size=32, patch_size=8)
    for part, names in [("tpsm", {"fc"}), ("cam", {"cam_conv"}), ("joint", {"fc", "cam_conv"})]:
        cfg = dict(type="mmwsol.TRTHead", num_classes=7, in_channels=24, train_part=part)
        model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=cfg))
        assert model.backbone.train_part == part  # said once, to the head
        trained = {name.split(".")[0] for name, p in model.head.named_parameters() if p.requires_grad}
        assert trained == names
    assert "cam_conv" not in dict(head(train_part="tpsm").named_children())
    with pytest.raises(ValueError, match="backbone.train_part='tpsm' contradicts the head's 'joint': remove it"):
        backbone["train_part"] = "tpsm"
        MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=dict(cfg, train_part="joint")))


def test_initialization():
    torch.manual_seed(0)
    model = TRTHead(50, 400)
    model.init_weights()
    assert model.fc.weight.std().item() == pytest.approx(0.02, rel=0.05) and not model.fc.bias.any()
    bound = (9 * 400) ** -0.5  # PyTorch's
    assert 0.99 * bound < model.cam_conv.weight.abs().max() <= bound
    assert 0.8 * bound < model.cam_conv.bias.abs().max() <= bound


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(train_part="both"), "train_part must be one of .* got 'both'"),
        (dict(cls_branch="conv"), "cls_branch must be one of .* got 'conv'"),
        (dict(train_part="tpsm", cls_branch="mean"), "cls_branch='mean' needs class maps"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        head(**kwargs)


def test_backbone_of_another_part_is_named():
    with pytest.raises(ValueError, match="needs 'cam_map' of the features.*train_part='tpsm' has none"):
        head().predict(features("tpsm"))
    unscored = Features(cam_map=features().cam_map)
    with pytest.raises(ValueError, match="needs 'cls_token'.*TRTViT skips it while its train_part='cam' is trained"):
        head()(unscored)
    with pytest.raises(ValueError, match=r"needs 'attn_map'.*train_part='cam' is trained.*: call eval\(\)"):
        head(cls_branch="cam").predict(unscored)


def fill(index: int, shape) -> np.ndarray:
    """Pseudo-random numbers in [-.5, .5) from a sine."""
    j = np.arange(int(np.prod(shape)), dtype=np.float64)
    t = np.sin(12.9898 * (j + 1) + 78.233 * (index + 1)) * 43758.5453
    return (t - np.floor(t) - 0.5).reshape(shape)


def official_shapes(width=24, depth=4, classes=5) -> dict[str, tuple]:
    block = {
        "norm1.weight": (width,),
        "norm1.bias": (width,),
        "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width),
        "attn.proj.bias": (width,),
        "norm2.weight": (width,),
        "norm2.bias": (width,),
        "mlp.fc1.weight": (4 * width, width),
        "mlp.fc1.bias": (4 * width,),
        "mlp.fc2.weight": (width, 4 * width),
        "mlp.fc2.bias": (width,),
    }
    shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 17, width)}
    for prefix in [*(f"blocks.{i}" for i in range(depth)), "score_layer", "camfuse_block.cam_tr"]:
        shapes |= {f"{prefix}.{name}": shape for name, shape in block.items()}
    for name, shape in [
        ("patch_embed.proj", (width, 3, 16, 16)),
        ("head", (classes, width)),
        ("score_head", (1, width)),
        ("camfuse_block.cam_head", (classes, width, 3, 3)),
        *((norm, (width,)) for norm in ("norm", "score_norm", "camfuse_block.cam_norm")),
    ]:
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


M = [0.052687, 0.051366, 0.068783, 0.065131, 0.062088, 0.076375, 0.037344, 0.069110]
M += [0.049191, 0.048025, 0.064674, 0.037852, 0.049499, 0.127077, 0.083222, 0.057575]
M_PRIME = [0.052687, 0.051366, 0.049714, 0.074598, 0.062088, 0.054490, 0.037344, 0.106889]
M_PRIME += [0.049191, 0.048025, 0.134102, 0.037852, 0.049499, 0.086419, 0.048162, 0.057575]


def test_official_network():
    """Numbers of the official network, in double precision, on weights that a formula gives."""
    shapes = official_shapes()
    assert len(shapes) == 88
    weights = {}
    for i, name in enumerate(sorted(shapes)):
        value = fill(i, shapes[name])
        if name not in ("cls_token", "pos_embed"):
            if value.ndim > 1:
                value = value * 2 * np.sqrt(3 / (value.size / len(value)))
            elif name.endswith("weight"):
                value = 1 + 0.2 * value
        weights[name] = torch.from_numpy(value)
    arch = dict(embed_dims=24, num_layers=4, num_heads=3, feedforward_channels=96)
    backbone = dict(type="mmwsol.TRTViT", arch=arch, img_size=64, tpsm=dict(u=0.6))
    head = dict(type="mmwsol.TRTHead", num_classes=5, in_channels=24)
    config = dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head)
    model = MODELS.build(config).double().eval()
    model.load_state_dict(convert_official(weights, "trt"))
    images = torch.from_numpy(4 * fill(999, (2, 3, 64, 64)))
    with torch.no_grad():
        feats = model.backbone(images)
        class_maps = model.head.class_maps(feats)
        logits = model.head(feats)
        inner = TapViT.forward(model.backbone, images)
        scored = model.backbone.tpsm(inner.patch_map.flatten(2).transpose(1, 2), inner.cls_attn)
    keep = ["".join(str(int(k)) for k in row) for row in scored.keep]
    assert keep == ["0011010100100110", "0110001110110001"]
    fused = class_maps * feats.attn_map
    for ours, expected in [
        (logits[0], [2.873634, 0.643712, -1.770945, 1.361211, 0.355685]),
        (logits[1], [3.061977, 0.984437, -1.854288, 1.196972, 0.183318]),
        (class_maps.mean((2, 3))[0], [-0.734372, 0.361791, -0.199233, -0.333709, -0.093740]),
        (class_maps.mean((2, 3))[1], [-0.036172, -0.251561, -0.426753, -0.231847, 0.202045]),
        (scored.attention[0], M),
        (feats.attn_map[0, 0].flatten(), M_PRIME),
        (class_maps[0, 2, 0], [0.428812, -0.701373, -0.125939, -0.887491]),
        (fused[0, 2, 0], [0.022593, -0.036026, -0.006261, -0.066205]),
        (torch.stack([fused.sum(), fused.abs().sum()]), [-1.570807, 6.023229]),
    ]:
        torch.testing.assert_close(ours, torch.tensor(expected).double(), rtol=0, atol=1e-5)
