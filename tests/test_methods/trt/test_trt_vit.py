"""TRTViT: scoring between the last two blocks, the CAM branch, what is frozen, and loading plain transformers."""

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict

from mmwsol.methods.trt import TRTViT
from mmwsol.methods.trt.token_scoring import run_block
from mmwsol.models import TapViT
from mmwsol.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=4, num_heads=2, feedforward_channels=48)


def vit(cls=TRTViT, **kwargs):
    torch.manual_seed(0)
    model = cls(arch=ARCH, img_size=32, patch_size=8, **kwargs)
    model.init_weights()
    return model.eval()


def plain_and_trt(**kwargs):
    """A plain transformer and one of TRT with its weights, in float64."""
    plain = vit(TapViT, out_tokens=range(5)).double()
    ours = vit(**kwargs).double()
    ours.load_state_dict(plain.state_dict(), strict=False)
    return plain, ours


def images(size=(32, 32), dtype=torch.float64):
    return torch.randn(2, 3, *size, dtype=dtype, generator=torch.Generator().manual_seed(5))


def test_features_are_made_of_the_tokens_of_the_plain_transformer():
    plain, ours = plain_and_trt()
    x = images((32, 48))  # not square
    with torch.no_grad():
        feats, expected = ours(x), plain(x)
        tokens = expected.tokens  # z_0 to z_4
        scored = ours.tpsm(tokens[3][:, 1:], expected.cls_attn[:, :3])
        fused = (scored.weights[..., None] * tokens[3][:, 1:]).sum(1)
        pair = run_block(plain.layers[3], torch.stack([tokens[3][:, 0], fused], 1))
        cam = plain.ln1(run_block(plain.layers[3], tokens[2]))[:, 1:]
    torch.testing.assert_close(feats.cls_token, plain.ln1(pair)[:, 0])
    torch.testing.assert_close(feats.attn_map.flatten(1), scored.re_attention)
    assert feats.attn_map.shape == (2, 1, 4, 6) and feats.cam_map.shape == (2, 24, 4, 6)
    torch.testing.assert_close(feats.cam_map.flatten(2).transpose(1, 2), cam)


def test_cam_layer_and_block():
    plain, last = plain_and_trt(cam_layer=-1)
    x = images()
    with torch.no_grad():
        expected = plain(x)
        # the branch on the tokens before the last block starts as the whole plain transformer
        torch.testing.assert_close(last(x).cam_map, expected.patch_map)
        _, norm_only = plain_and_trt(cam_layer=-1, cam_block=False)
        tokens = plain.ln1(expected.tokens[3])[:, 1:]
        torch.testing.assert_close(norm_only(x).cam_map.flatten(2).transpose(1, 2), tokens)
        _, first = plain_and_trt(cam_layer=-4, cam_block=False)
        torch.testing.assert_close(first(x).cam_map.flatten(2).transpose(1, 2), plain.ln1(expected.tokens[0])[:, 1:])


def test_tap_layers_choose_the_attention():
    plain, ours = plain_and_trt(tap_layers=[0, -2], tpsm=dict(reattention=False))
    with torch.no_grad():
        total = plain(images()).cls_attn[:, [0, 2]].mean(2).sum(1)
        expected = total / total.sum((1, 2), keepdim=True)
        torch.testing.assert_close(ours(images()).attn_map[:, 0], expected)


def test_empty_selection():
    feats = vit(tpsm=dict(u=1e-9))(images(dtype=torch.float32))
    assert torch.isfinite(feats.cls_token).all()
    unscored = vit(tpsm=dict(reattention=False))(images(dtype=torch.float32))
    assert torch.equal(feats.attn_map, unscored.attn_map)


@pytest.mark.parametrize("load", [torch.nn.Module.load_state_dict, load_state_dict], ids=["torch", "mmengine"])
def test_plain_weights_fill_every_block(load):
    plain, ours = vit(TapViT), vit()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.normal_()
    fresh = ours.tpsm.fc.weight.clone()
    weights = plain.state_dict()
    names = list(weights)
    load(ours, weights, strict=False)
    assert list(weights) == names  # the caller's dict is left alone
    for block in (ours.last_block, ours.tpsm.block, ours.cam.block):
        for name, value in plain.layers[3].state_dict().items():
            assert torch.equal(block.state_dict()[name], value)
    for norm in (ours.ln1, ours.tpsm.norm, ours.cam.norm):
        assert torch.equal(norm.weight, plain.ln1.weight)
    assert torch.equal(ours.layers[2].attn.qkv.weight, plain.layers[2].attn.qkv.weight)
    assert torch.equal(ours.tpsm.fc.weight, fresh)


def test_weights_of_the_scoring_stage_leave_the_cam_branch_alone():
    """The CAM branch starts from ImageNet's last block, not from the one that the first stage trained."""
    first, second = vit(train_part="tpsm"), vit(train_part="cam")
    assert first.cam is None
    before = {name: value.clone() for name, value in second.cam.state_dict().items()}
    missing, unexpected = second.load_state_dict(first.state_dict(), strict=False)
    assert not unexpected and all(name.startswith("cam.") for name in missing)
    for name, value in second.cam.state_dict().items():
        assert torch.equal(value, before[name])


def localizer(train_part="joint", **kwargs):
    """TRT whole: the head says which part is trained, the localizer freezes the rest."""
    torch.manual_seed(0)
    backbone = dict(type="mmwsol.TRTViT", arch=ARCH, img_size=32, patch_size=8, **kwargs)
    head = dict(type="mmwsol.TRTHead", num_classes=5, in_channels=24, train_part=train_part)
    return MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))


def trainable(model) -> set[str]:
    return {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_parts_to_train():
    everything = {"cls_token", "pos_embed", "patch_embed", "layers", "last_block", "ln1", "tpsm"}
    assert trainable(localizer("tpsm").backbone) == everything
    assert trainable(localizer("tpsm", with_cam=True).backbone) == everything
    assert trainable(localizer("cam").backbone) == {"cam"}
    assert trainable(localizer().backbone) == everything | {"cam"}


def test_frozen_parts_stay_in_evaluation_mode():
    model = localizer("cam", drop_path_rate=0.5, drop_rate=0.2).train().backbone
    assert model.training  # it skips what the branch does not read
    modes = {name: {m.training for m in module.modules()} for name, module in model.named_children()}
    assert modes.pop("cam") == {True}
    assert all(mode == {False} for mode in modes.values())
    x = images(dtype=torch.float32)
    tokens = [TapViT.forward(model, x).tokens[0] for _ in range(2)]
    assert torch.equal(*tokens)  # what the branch reads is deterministic, its own drop path is not
    assert not torch.equal(model(x).cam_map, model(x).cam_map)
    assert not any(m.training for m in model.eval().modules())
    assert all(m.training for m in localizer().train().modules())


def test_parts_that_are_not_trained_are_not_run():
    x = images(dtype=torch.float32)
    feats = vit(train_part="cam").train()(x)
    assert feats.cls_token is None and feats.attn_map is None and feats.cam_map is not None
    for mode in (True, False):
        feats = vit(train_part="tpsm", with_cam=True).train(mode)(x)
        assert feats.cls_token is not None and feats.cam_map is None
    feats = vit(train_part="cam")(x)
    assert feats.cls_token is not None and feats.cam_map is not None


@pytest.mark.parametrize("part", ["tpsm", "cam"])
def test_one_step_changes_the_part_alone(part):
    model = localizer(part, with_cam=True).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    x = images(dtype=torch.float32)
    logits = model(x) if part == "tpsm" else model.head.class_maps(model.backbone(x)).mean((2, 3))
    torch.nn.functional.cross_entropy(logits, torch.tensor([1, 3])).backward()
    optimizer.step()
    branch = ("backbone.cam.", "head.cam_conv.")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == (name.startswith(branch) != (part == "cam")), name


@pytest.mark.parametrize(
    ("part", "mode", "selection"),
    [
        ("tpsm", True, dict(selection="topk", topk=4)),
        ("cam", False, dict(u=0.6)),
        ("joint", True, dict(selection="threshold", tau=0.06)),
    ],
)
def test_compiles_without_graph_break(part, mode, selection):
    torch._dynamo.reset()
    model = vit(train_part=part, tpsm=selection).train(mode)
    head = MODELS.build(dict(type="mmwsol.TRTHead", num_classes=5, in_channels=24, train_part=part))
    x = images(dtype=torch.float32)
    compiled = torch.compile(lambda x: head.predict(model(x)), fullgraph=True, backend="eager")
    for ours, eager in zip(compiled(x), head.predict(model(x)), strict=True):
        torch.testing.assert_close(ours, eager)


def test_autocast():
    model, x = vit(), images(dtype=torch.float32)
    exact = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        feats = model.train()(x)
    assert feats.attn_map.dtype == torch.float32
    torch.testing.assert_close(feats.attn_map.sum((1, 2, 3)), torch.ones(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(feats.attn_map, exact.attn_map, rtol=0, atol=0.02)
    (feats.cls_token.float().sum() + feats.cam_map.float().sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_number_of_parameters():
    """DeiT-B has 85.8 M without classifier; a block and a norm more for each branch, and the scores' linear layer."""
    block, norm, plain = 12 * 768**2 + 13 * 768, 2 * 768, 85_798_656
    for part, expected in [
        ("tpsm", plain + block + norm + 769),
        ("cam", plain + 2 * (block + norm) + 769),
    ]:
        head = dict(type="mmwsol.TRTHead", num_classes=200, in_channels=768, train_part=part)
        config = dict(type="mmwsol.ImageLocalizer", backbone=dict(type="mmwsol.TRTViT"), head=head)
        with torch.device("meta"):
            model = MODELS.build(config)
        assert sum(p.numel() for p in model.backbone.parameters()) == expected
        conv = 200 * (9 * 768 + 1) if part == "cam" else 0
        assert sum(p.numel() for p in model.head.parameters()) == 200 * 769 + conv
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert trained == (expected + 200 * 769 if part == "tpsm" else block + norm + conv)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(train_part="both"), "train_part must be one of .* got 'both'"),
        (dict(train_part="cam", with_cam=False), "train_part='cam' trains the CAM branch: remove with_cam=False"),
        (dict(with_cam=False), "train_part='joint' trains the CAM branch"),
        (dict(cam_layer=0), r"cam_layer must be -1 \(before the last block\) to -4 .* got 0"),
        (dict(cam_layer=-5), "got -5"),
        (dict(tap_layers=[0, -1]), r"tap_layers has the last block \(3\)"),
        (dict(tpsm=dict(selection="some")), "selection must be one of"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        vit(**kwargs)


def test_one_block_is_too_few():
    with pytest.raises(ValueError, match="TRT needs at least 2 blocks, got 1"):
        TRTViT(dict(ARCH, num_layers=1), img_size=32, patch_size=8)
