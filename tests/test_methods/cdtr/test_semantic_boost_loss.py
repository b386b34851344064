"""SemanticBoostLoss: values by hand, its options, where gradients go, its errors, with an encoder in CLIP's place."""

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from mmwsol.engine import NumClassesHook
from mmwsol.methods.cdtr import SemanticBoostLoss
from mmwsol.methods.cdtr.clip_encoders import CLIP_MEAN, CLIP_STD
from mmwsol.methods.cdtr.text_embeddings import save_text_embeddings
from mmwsol.models import Batch
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample

STAND_IN = dict(type="mmwsol.StandInCLIP", embed_dim=8, input_size=32, patch_size=8)
TEXT = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([2, 0])
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


NORMALIZATION = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def loss(text=TEXT, **kwargs):
    return SemanticBoostLoss(**{"text_embeddings": text, "clip": STAND_IN, "loss_weight": 1.0, **kwargs})


def inputs():
    """Images (B, 3, H, W), maps (B, 1, h, w) and labels."""
    torch.manual_seed(0)
    return torch.randn(2, 3, 32, 32), torch.rand(2, 1, 4, 4), LABELS


def value(boost, images=None, maps=None):
    """The loss of maps (B, h, w) as a head computes it."""
    if images is None:
        images, maps, _ = inputs()
    return boost(maps[:, 0], Batch(LABELS, [], images))


def localizer(**head):
    torch.manual_seed(0)
    tap, preprocessor = head.pop("tap", "cls"), head.pop("preprocessor", None)
    backbone = dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8, tap=tap, tap_in_train=True)
    sba = dict(type="mmwsol.SemanticBoostLoss", text_embeddings=TEXT, clip=STAND_IN)
    sba.update(head.pop("sba", {}))
    small = dict(num_classes=3, in_channels=24)
    if "type" not in head:
        small |= dict(type="mmwsol.CDTRHead", attn_shape=(2, 2), ocm_blocks=2)
    head = {**small, **head, "map_losses": dict(loss_sba=sba)}
    cfg = dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, data_preprocessor=preprocessor)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


@pytest.mark.parametrize(
    ("cosines", "expected"),
    [((0.3, 0.2), 0.510826), ((0.4, 0.4), 0.693147), ((-0.1, 0.2), 7.601402), ((0.3, -0.1), 0.000333)],
)
def test_values_by_hand(monkeypatch, cosines, expected):
    foreground, background = (torch.tensor([c], dtype=torch.float64, requires_grad=True) for c in cosines)
    monkeypatch.setattr(SemanticBoostLoss, "similarities", lambda *args: (foreground, background))
    result = value(loss())
    assert result.item() == pytest.approx(expected, abs=1e-6)
    result.backward()
    assert (foreground.grad == 0) == (cosines[0] < 1e-4)  # clamped: no gradient


def test_xi_of_the_paper(monkeypatch):
    monkeypatch.setattr(SemanticBoostLoss, "similarities", lambda *args: (torch.tensor([0.3]), torch.tensor([0.2])))
    assert value(loss(eps=0.1)).item() == pytest.approx(0.693147, abs=1e-6)
    assert value(loss(eps=0.1, clamp=None, loss_weight=2.4)).item() == pytest.approx(2.4 * 0.693147, abs=1e-5)


def test_similarities_from_their_definition():
    images, maps, labels = inputs()
    boost = loss()
    foreground, background = boost.similarities(images, maps, labels)
    mask = F.interpolate(maps, (32, 32), mode="bilinear", align_corners=True)
    for i, text in enumerate(TEXT[labels]):
        for ours, factor in ((foreground, mask), (background, 1 - mask)):
            feature = boost.encoder((images * factor)[i : i + 1])[0]
            torch.testing.assert_close(ours[i], F.cosine_similarity(feature, text, dim=0))


def test_prompts_by_label_or_by_position():
    by_label, by_position = loss().similarities(*inputs()), loss(prompt_index="position").similarities(*inputs())
    images, maps, _ = inputs()
    torch.testing.assert_close(by_position, loss().similarities(images, maps, torch.tensor([0, 1])))
    assert not torch.allclose(by_label[0], by_position[0])
    with pytest.raises(ValueError, match="at most 3 images a batch"):
        loss(prompt_index="position").similarities(torch.zeros(4, 3, 32, 32), torch.zeros(4, 1, 4, 4), LABELS)


def test_minmax_normalization_has_gradient_and_survives_constant_maps():
    boost = loss(map_norm="minmax")
    maps = (5 * torch.rand(2, 1, 4, 4) - 2).requires_grad_()
    normal = boost.normalize_map(maps)
    assert torch.equal(normal.amin((1, 2, 3)), torch.zeros(2)) and torch.allclose(normal.amax((1, 2, 3)), torch.ones(2))
    normal.square().sum().backward()
    assert maps.grad.isfinite().all()
    assert torch.equal(boost.normalize_map(torch.full((1, 1, 4, 4), 0.3)), torch.zeros(1, 1, 4, 4))


def test_mask_in_pixel_values_is_black_outside():
    images = torch.zeros(1, 3, 32, 32)  # the mean color
    boost = loss(mask_space="pixel")
    boost.set_normalization(*torch.tensor(NORMALIZATION))
    masked = boost.masked_images(images, torch.zeros(1, 1, 4, 4))
    black = -torch.tensor(NORMALIZATION[0]) / torch.tensor(NORMALIZATION[1])
    torch.testing.assert_close(masked[0, :, 5, 5], black)
    torch.testing.assert_close(masked[1], images[0], atol=1e-6, rtol=0)
    assert torch.equal(loss().masked_images(images, torch.zeros(1, 1, 4, 4)), torch.zeros(2, 3, 32, 32))


def test_images_in_clip_normalization():
    pixel = torch.rand(1, 3, 32, 32)
    mean, std = torch.tensor(NORMALIZATION)[:, :, None, None]
    ours = (pixel * 255 - mean) / std
    boost = loss(clip_norm=True)
    boost.set_normalization(*torch.tensor(NORMALIZATION))
    theirs = (pixel - torch.tensor(CLIP_MEAN)[:, None, None]) / torch.tensor(CLIP_STD)[:, None, None]
    boost.load()
    torch.testing.assert_close(boost.encode(ours), boost.encoder(theirs), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("preprocessor", "mean", "std"),
    [
        (dict(), *NORMALIZATION),
        (dict(mean=[10.0, 20.0, 30.0], std=[255.0, 100.0, 50.0]), (10, 20, 30), (255, 100, 50)),
        (dict(mean=None, std=None), (0, 0, 0), (1, 1, 1)),
        (dict(type="mmpretrain.ClsDataPreprocessor", mean=[5.0] * 3, std=[9.0] * 3), (5, 5, 5), (9, 9, 9)),
    ],
)
def test_normalization_is_that_of_the_data_preprocessor(preprocessor, mean, std):
    """CLIP sees the same image whatever the network's own normalization and order of channels."""
    torch.manual_seed(0)
    pixel = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    model = localizer(sba=dict(mask_space="pixel", clip_norm=True), preprocessor=preprocessor)
    boost = model.head.map_losses["loss_sba"]
    inputs = model.data_preprocessor(dict(inputs=list(pixel.flip(1))))["inputs"]  # from BGR
    maps = torch.rand(2, 1, 4, 4)
    mask = F.interpolate(maps, (32, 32), mode="bilinear", align_corners=True)
    masked = torch.cat([pixel * mask, pixel * (1 - mask)]) / 255
    theirs = (masked - torch.tensor(CLIP_MEAN)[:, None, None]) / torch.tensor(CLIP_STD)[:, None, None]
    boost.load()
    expected = boost.encoder(theirs)
    torch.testing.assert_close(boost.encode(boost.masked_images(inputs, maps)), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(boost.mean.flatten() * 255, torch.tensor(mean, dtype=torch.float32))
    torch.testing.assert_close(boost.std.flatten() * 255, torch.tensor(std, dtype=torch.float32))


def test_normalization_must_be_known():
    for options, text in ((dict(mask_space="pixel"), "mask_space='pixel'"), (dict(clip_norm=True), "clip_norm=True")):
        with pytest.raises(ValueError, match=f"{text} needs the network's mean and standard deviation"):
            value(loss(**options))
    with pytest.raises(TypeError, match="mean"):
        loss(mean=NORMALIZATION[0])


@pytest.mark.parametrize("clip_norm", [True, False])
def test_clip_gets_rgb_of_a_network_on_bgr(clip_norm):
    pixel = torch.randint(0, 256, (1, 3, 32, 32), generator=torch.Generator().manual_seed(3)).float()
    mean, std = NORMALIZATION
    if not clip_norm:  # the network's own, which must then not differ by channel
        mean, std = (110.0,) * 3, (60.0,) * 3
    features = []
    for to_rgb in (True, False):
        order = slice(None) if to_rgb else slice(None, None, -1)
        model = localizer(
            sba=dict(clip_norm=clip_norm), preprocessor=dict(mean=mean[order], std=std[order], to_rgb=to_rgb)
        )
        inputs = model.data_preprocessor(dict(inputs=list(pixel)))["inputs"]
        features.append(model.head.map_losses["loss_sba"].encode(inputs))
    torch.testing.assert_close(*features)


def test_map_scale_acts_on_the_mask_alone():
    """The factor enters where the loss takes the map: other losses and predicted maps are as without it."""
    images = torch.randn(2, 3, 32, 32)
    samples = [LocDataSample().set_gt_label(int(label)) for label in LABELS]
    plain, scaled = (localizer(type="mmwsol.LCTRHead", tap="full", map_scale=scale).eval() for scale in (1.0, 50.0))
    encoded = plain.head.encode(plain.backbone(images))
    maps = plain.head.label_map(encoded, LABELS)
    losses = scaled(images, samples, mode="loss")
    torch.testing.assert_close(losses["loss_sba"], value(plain.head.map_losses["loss_sba"], images, 50 * maps[:, None]))
    torch.testing.assert_close(losses["loss_cls"], plain(images, samples, mode="loss")["loss_cls"])
    for ours, theirs in zip(scaled(images, mode="predict"), plain(images, mode="predict"), strict=True):
        assert torch.equal(ours.pred_maps.maps, theirs.pred_maps.maps)
    with pytest.raises(ValueError, match="map_scale must be positive, got 0"):
        localizer(type="mmwsol.LCTRHead", map_scale=0)


def test_other_image_sizes_are_resized_on_demand():
    images, maps = torch.randn(2, 3, 64, 64), torch.rand(2, 1, 4, 4)
    with pytest.raises(ValueError, match=r"64x64 \(W x H\), CLIP takes 32x32: set resize='bicubic'"):
        value(loss(), images, maps)
    assert value(loss(resize="bicubic"), images, maps).isfinite()


def test_gradient_goes_through_the_image_to_the_attention_only():
    model = localizer(sba=dict(resize="bicubic")).train()
    images = torch.randn(2, 3, 32, 32)
    samples = [LocDataSample().set_gt_label(int(label)) for label in LABELS]
    model(images, samples, mode="loss")["loss_sba"].backward()
    for layer in model.backbone.layers:
        query, key, _ = layer.attn.qkv.weight.grad.chunk(3)
        assert query.any() and key.any()
    assert all(parameter.grad is None for parameter in model.head.parameters())
    encoder = model.head.map_losses["loss_sba"].encoder.encoder
    assert all(not p.requires_grad and p.grad is None for p in encoder.parameters())


@pytest.mark.parametrize(("head", "tap"), [("ConvCAMHead", "cls"), ("LCTRHead", "full")])
def test_other_heads_mask_with_their_own_map_of_the_label(head, tap):
    torch.manual_seed(0)
    backbone = dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8, tap=tap, tap_in_train=True)
    sba = dict(type="mmwsol.SemanticBoostLoss", text_embeddings=TEXT, clip=STAND_IN)
    cfg = dict(type=f"mmwsol.{head}", num_classes=3, in_channels=24, map_losses=dict(loss_sba=sba))
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=cfg))
    model.init_weights()
    images = torch.randn(2, 3, 32, 32)
    samples = [LocDataSample().set_gt_label(int(label)) for label in LABELS]
    losses = model(images, samples, mode="loss")
    feats = model.backbone(images)
    torch.testing.assert_close(losses["loss_cls"], F.cross_entropy(model.head(feats), LABELS))
    maps = model.head.predict(feats, LABELS).maps[:, -1:]
    torch.testing.assert_close(losses["loss_sba"], value(model.head.map_losses["loss_sba"], images, maps))
    losses["loss_sba"].backward()
    assert all(parameter.grad is None for parameter in model.head.parameters())
    assert model.backbone.layers[0].attn.qkv.weight.grad.any()


def test_attention_alone_may_mask_the_image():
    model = localizer(sba=dict(source="foreground", map_norm="minmax")).train()
    images = torch.randn(2, 3, 32, 32)
    samples = [LocDataSample().set_gt_label(int(label)) for label in LABELS]
    losses = model(images, samples, mode="loss")
    maps = model.head.attention(model.backbone(images))
    torch.testing.assert_close(losses["loss_sba"], value(model.head.map_losses["loss_sba"], images, maps))


def test_mixed_precision_gives_float_losses():
    model = localizer().train()
    images = torch.randn(2, 3, 32, 32)
    samples = [LocDataSample().set_gt_label(int(label)) for label in LABELS]
    expected = model.parse_losses(model(images, samples, mode="loss"))[0]
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(images, samples, mode="loss")
    assert {value.dtype for value in losses.values()} == {torch.float32}
    total, _ = model.parse_losses(losses)
    torch.testing.assert_close(total, expected, rtol=0.05, atol=0.05)
    total.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_clip_is_outside_the_module_tree():
    model = localizer().train()
    boost = model.head.map_losses["loss_sba"]
    names = set(model.state_dict())
    boost.load()
    assert set(model.state_dict()) == names and not any("sba" in name for name in names)
    assert not list(boost.parameters())
    assert not boost.encoder.encoder.training
    assert copy.deepcopy(model).head.map_losses["loss_sba"].encoder is boost.encoder  # as EMA does
    value(boost.double(), *(x.double() for x in inputs()[:2]))
    assert boost.encoder.encoder.weight.dtype == torch.float64  # it follows its input


def test_trained_model_predicts_without_clip_and_texts():
    missing = dict(text_embeddings="none.pt", clip=dict(type="mmwsol.TimmCLIP", checkpoint="none.pt"))
    model = localizer(sba=missing).eval()
    with torch.no_grad():
        assert len(model(torch.randn(1, 3, 32, 32), mode="predict")) == 1


def test_file_with_classes_is_compared_with_the_data_set(tmp_path):
    path = tmp_path / "text.pt"
    save_text_embeddings(path, TEXT, ["cat", "dog", "owl"], template="a photo of {}.")
    model = localizer(sba=dict(text_embeddings=str(path)))
    expected = loss().similarities(*inputs())
    torch.testing.assert_close(model.head.map_losses["loss_sba"].similarities(*inputs()), expected)

    def start(*classes):
        dataset = SimpleNamespace(metainfo=dict(classes=classes))
        runner = SimpleNamespace(model=model, train_dataloader=SimpleNamespace(dataset=dataset))
        NumClassesHook().before_train(runner)

    start("cat", "dog", "owl")
    with pytest.raises(ValueError, match="class 1 is 'dog' in .* and 'owl' in the data set"):
        start("cat", "owl", "dog")
    with pytest.raises(ValueError, match="text_embeddings are of 3 classes, the head has num_classes=5"):
        localizer(num_classes=5, sba=dict(text_embeddings=str(path))).head.check_classes(["a"] * 5)
    with pytest.raises(ValueError, match="2 embeddings for 3 classes"):
        save_text_embeddings(path, TEXT[:2], ["cat", "dog", "owl"])


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="needs text_embeddings, a file that .*make_clip_text_embeddings.py"):
        loss(None)
    with pytest.raises(FileNotFoundError, match=r"make_clip_text_embeddings.py .*none.pt"):
        value(loss(str(tmp_path / "none.pt")))
    (tmp_path / "bad.pt").write_text("no file of torch")
    with pytest.raises(ValueError, match="no file of text embeddings"):
        value(loss(str(tmp_path / "bad.pt")))
    with pytest.raises(ValueError, match="have 8 dimensions and mmwsol.StandInCLIP 4"):
        value(loss(clip=dict(STAND_IN, embed_dim=4)))
    with pytest.raises(ValueError, match="a map of 4x8 cells does not have the proportions of its image, 32x32"):
        value(loss(), torch.zeros(2, 3, 32, 32), torch.zeros(2, 1, 8, 4))
    with pytest.raises(ValueError, match="masks the network's input: give the head inputs="):
        loss()(torch.rand(2, 4, 4), Batch(LABELS, []))
    for option in ("map_norm", "prompt_index", "mask_space", "resize", "source"):
        with pytest.raises(ValueError, match=f"{option} must be one of"):
            loss(**{option: "other"})
    with pytest.raises(ValueError, match="gives CLIP a black image"):
        localizer(sba=dict(source="foreground"))
