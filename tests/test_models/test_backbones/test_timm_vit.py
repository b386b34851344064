"""TimmViT: timm's own features, attention rows equal to timm's attention without fusion, every head on every family."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from mmwsol.methods.cam import LinearCAMHead
from mmwsol.methods.ts_cam import ConvCAMHead
from mmwsol.models import ClsTokenHead, TimmViT
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample

WIDTH, HEADS, DEPTH = 48, 4, 2
SMALL = dict(embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS)
# Name, further arguments, image size, tokens before the patches, query.
FAMILIES = {
    "deit": ("deit_tiny_patch16_224", {}, 64, 1, "cls"),
    "deit-distilled": ("deit_tiny_distilled_patch16_224", {}, 64, 2, "cls"),
    "clip": ("vit_base_patch16_clip_224", {}, 64, 1, "cls"),
    "qk-norm": ("vit_small_patch16_224", dict(qk_norm=True), 64, 1, "cls"),
    "dinov2": ("vit_small_patch14_dinov2", dict(init_values=0.5), 70, 1, "cls"),
    "dinov2-registers": ("vit_small_patch14_reg4_dinov2", dict(init_values=0.5), 70, 5, "cls"),
    "registers-without-class": ("vit_medium_patch16_reg4_gap_256", {}, 64, 4, "mean"),
    "eva02-separate-qkv": ("eva02_tiny_patch14_224", dict(qkv_fused=False), 70, 1, "cls"),
    "eva02-fused-qkv": ("eva02_small_patch14_224", dict(qkv_fused=True), 70, 1, "cls"),
    "eva-without-rotation": ("eva_giant_patch14_224", {}, 70, 1, "cls"),
    "eva02-post-norm": ("eva02_tiny_patch14_224", dict(use_post_norm=True), 70, 1, "cls"),
    "grouped-query": ("eva02_tiny_patch14_224", dict(attn_type="rope", qkv_fused=False, num_kv_heads=2), 70, 1, "cls"),
    "dinov3": ("vit_small_patch16_dinov3", {}, 64, 5, "cls"),
    "perception-encoder": ("vit_pe_core_base_patch16_224", {}, 64, 1, "cls"),
    "rotary-by-block": ("vit_small_patch16_rope_mixed_224", {}, 64, 1, "cls"),
    "post-norm": ("vit_small_patch16_224", dict(block_fn="ResPostBlock"), 64, 1, "cls"),
    "siglip": ("vit_base_patch16_siglip_224", {}, 64, 0, "pool"),
    "siglip-mean": ("vit_base_patch16_siglip_224", dict(query="mean"), 64, 0, "mean"),
}


def build(family, **kwargs):
    name, options, size, _, _ = FAMILIES[family]
    options = dict(options)
    if "block_fn" in options:
        options["block_fn"] = getattr(timm.models.vision_transformer, options["block_fn"])
    torch.manual_seed(0)
    model = TimmViT(name, **{**SMALL, "img_size": size, **options, **kwargs})
    model.init_weights()
    with torch.no_grad():
        for parameter in model.parameters():  # no bias, scale or token is trivial
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def images(family, count=2):
    torch.manual_seed(1)
    size = FAMILIES[family][2]
    return torch.randn(count, 3, size, size)


class Recorder(nn.Module):
    """Stands where timm drops out attention weights; keeps them."""

    def __init__(self):
        super().__init__()
        self.p, self.weights = 0.0, []

    def forward(self, x):
        self.weights.append(x)
        return x


def unfused_attention(model, x):
    """Attention (B, L, H, T, T) that timm computes itself without fusion."""
    recorder = Recorder()
    for block in model.model.blocks:
        block.attn.fused_attn, block.attn.attn_drop = False, recorder
    model.model.forward_features(x)
    return torch.stack(recorder.weights, dim=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_timms_and_fused(family, monkeypatch):
    model, x = build(family).double(), images(family).double()
    assert model.query == FAMILIES[family][4] and model.num_prefix_tokens == FAMILIES[family][3]
    fused = []
    attend = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: fused.append(1) or attend(*a, **k))
    with torch.no_grad():
        feats = model(x)
        assert len(fused) == DEPTH + (model.query == "pool")
        tokens = model.model.fc_norm(model.model.forward_features(x))
        patches = tokens[:, model.num_prefix_tokens :]
        expected = dict(cls=tokens[:, 0], mean=patches.mean(1), pool=model.model.forward_head(tokens, pre_logits=True))
    grid = FAMILIES[family][2] // model.model.patch_embed.patch_size[0]
    assert feats.patch_map.shape == (2, WIDTH, grid, grid)
    torch.testing.assert_close(feats.patch_map.flatten(2).transpose(1, 2), patches, rtol=0, atol=1e-12)
    torch.testing.assert_close(feats.cls_token, expected[model.query], rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "siglip"])
def test_rows_equal_timms_attention(family):
    model, x = build(family).double(), images(family).double()
    prefix = FAMILIES[family][3]
    with torch.no_grad():
        rows = model(x).cls_attn
        attention = unfused_attention(model, x)
    if model.query == "cls":
        expected = attention[:, :, :, 0]
    else:  # the logits of the mean query are the mean of the patches' logits
        expected = attention.log()[:, :, :, prefix:].mean(3).softmax(-1)
    assert rows.shape[:3] == (2, DEPTH, HEADS)
    torch.testing.assert_close(rows.flatten(3), expected[..., prefix:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", ["siglip", "perception-encoder"])
def test_row_of_the_attention_pool(family, monkeypatch):
    model, x = build(family, query="pool").double(), images(family).double()
    seen = []
    attend = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda q, k, v, **kw: seen.append((q, k)) or attend(q, k, v))
    with torch.no_grad():
        feats = model(x)
    query, key = seen[-1]  # what timm's pool attends with
    expected = (query @ key.transpose(-2, -1) * key.shape[-1] ** -0.5).softmax(-1)[:, None, :, 0, -16:]
    torch.testing.assert_close(feats.cls_attn.flatten(3), expected, rtol=0, atol=1e-12)
    whole = model.model.forward_head(model.model.forward_features(x), pre_logits=True)
    torch.testing.assert_close(feats.cls_token, whole)


@pytest.mark.parametrize("family", ["deit", "dinov2-registers", "eva02-fused-qkv"])
def test_whole_attention_without_registers(family):
    model, x = build(family, tap="full").double(), images(family).double()
    with torch.no_grad():
        feats = model(x)
        attention = unfused_attention(model, x)
    keep = [0, *range(FAMILIES[family][3], attention.shape[-1])]
    torch.testing.assert_close(feats.full_attn, attention[:, :, :, keep][..., keep], rtol=0, atol=1e-12)
    assert torch.equal(feats.cls_attn.flatten(3), feats.full_attn[:, :, :, 0, 1:])
    assert (
        ConvCAMHead(5, WIDTH, attn_reduce="rollout").double().predict(feats).maps.shape[2:] == feats.patch_map.shape[2:]
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", [ConvCAMHead, ClsTokenHead, LinearCAMHead])
def test_every_head_trains_and_predicts(family, head):
    model, head = build(family).train(), head(6, WIDTH)
    samples = [LocDataSample().set_gt_label(c) for c in (4, 1)]
    head.loss(model(images(family)), samples)["loss_cls"].backward()
    if model.query != "pool" or isinstance(head, ClsTokenHead):  # no other loss reaches the pool
        without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not without
    with torch.no_grad():
        prediction = head.predict(model.eval()(images(family)), torch.tensor([0, 5]))
    assert prediction.scores.shape == (2, 6) and torch.isfinite(prediction.maps).all()


def test_frozen_pool():
    name, _, size, _, _ = FAMILIES["siglip"]
    backbone = dict(type="mmwsol.TimmViT", model_name=name, img_size=size, **SMALL)
    head = dict(type="mmwsol.ConvCAMHead", num_classes=6, in_channels=WIDTH)
    frozen = ["backbone.model.attn_pool"]
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, frozen=frozen)).train()
    untrained = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert untrained == {f"{frozen[0]}.{name}" for name, _ in model.backbone.model.attn_pool.named_parameters()}
    losses = model(images("siglip"), [LocDataSample().set_gt_label(c) for c in (4, 1)], mode="loss")
    losses["loss_cls"].backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert build("siglip", query="mean").model.attn_pool is None


@pytest.mark.parametrize("family", ["dinov2-registers", "eva02-separate-qkv", "siglip"])
def test_any_image_size(family):
    """Position embeddings are those that timm makes for the size."""
    model = build(family)
    patch = model.model.patch_embed.patch_size[0]
    x = torch.randn(1, 3, 3 * patch, 6 * patch)
    with torch.no_grad():
        feats = model(x)
        assert feats.patch_map.shape[2:] == feats.cls_attn.shape[3:] == (3, 6)
        model.model.set_input_size((3 * patch, 6 * patch))
        torch.testing.assert_close(model(x).patch_map, feats.patch_map, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="is not a multiple of the patch size"):
        model(torch.randn(1, 3, 3 * patch, patch + 1))


def test_tap_layers_and_out_tokens():
    x = images("dinov2-registers")
    everything = build("dinov2-registers")(x).cls_attn
    model = build("dinov2-registers", tap_layers=[-1], out_tokens=[0, -1])
    feats = model(x)
    assert torch.equal(feats.cls_attn, everything[:, [1]])
    assert [t.shape for t in feats.tokens] == [(2, 26, WIDTH)] * 2
    torch.testing.assert_close(model.model.norm(feats.tokens[1])[:, 0], feats.cls_token)
    tokens = build("siglip", out_tokens=[1])(images("siglip")).tokens[0]
    torch.testing.assert_close(tokens[:, 0], tokens[:, 1:].mean(1))


def test_no_attention_in_training_unless_asked():
    x = images("deit")
    assert build("deit").train()(x).cls_attn is None
    assert build("deit", tap_in_train=True).train()(x).cls_attn is not None
    assert build("deit", tap="none")(x).cls_attn is None


def test_attention_stays_float32_under_autocast():
    for family in ("eva02-separate-qkv", "siglip"):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert build(family)(images(family)).cls_attn.dtype == torch.float32


def test_weights_that_timm_set_stay():
    model = TimmViT("deit_tiny_patch16_224", img_size=64, **SMALL)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.init_weights()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("no_such_vit", {}, "has no model 'no_such_vit'"),
        ("swin_tiny_patch4_window7_224", {}, "SwinTransformer"),
        ("beit_base_patch16_224", {}, "Beit"),
        ("resnet18", {}, "ResNet"),
        ("vit_base_patch16_xp_224", SMALL, "does not know ParallelScalingBlock"),
        ("vit_small_patch16_224", dict(SMALL, attn_layer="diff"), "does not know DiffAttention"),
        ("vit_small_patch16_224", dict(SMALL, width=3), "unexpected keyword argument 'width'"),
        ("vit_small_patch16_224", dict(SMALL, patch_drop_rate=0.5), "patch_drop_rate"),
        ("vit_small_patch16_224", dict(SMALL, tap="rows"), "tap must be one of"),
        ("vit_small_patch16_224", dict(SMALL, tap_layers=[2]), "tap_layers has 2"),
        ("vit_small_patch16_224", dict(SMALL, query="max"), "query must be one of"),
        ("vit_small_patch16_224", dict(SMALL, query="pool"), "nothing for query='pool'; possible are 'cls', 'mean'"),
        (
            "vit_base_patch16_siglip_224",
            dict(SMALL, query="cls"),
            "nothing for query='cls'; possible are 'mean', 'pool'",
        ),
        ("vit_base_patch16_siglip_224", dict(SMALL, tap="full"), "tap='full' needs a class token"),
    ],
)
def test_what_does_not_fit_is_refused(name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        TimmViT(name, **kwargs)


def test_pretrained_weights_from_a_file(tmp_path):
    """Timm loads them, and resizes the position embedding."""
    torch.manual_seed(0)
    theirs = timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=70, **SMALL)
    torch.save(theirs.state_dict(), tmp_path / "dinov2.pth")
    overlay = dict(file=str(tmp_path / "dinov2.pth"))
    model = TimmViT("vit_small_patch14_dinov2", pretrained=True, img_size=98, pretrained_cfg_overlay=overlay, **SMALL)
    model.init_weights()
    own = model.model.state_dict()
    assert own["pos_embed"].shape == (1, 50, WIDTH)
    for name, value in theirs.state_dict().items():
        if name != "pos_embed":
            assert torch.equal(own[name], value), name
