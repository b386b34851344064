"""ImageLocalizer: the three modes, the fields it fills, ten-crop scores, frames."""

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData

from mmwsol.compat import finish_distributed
from mmwsol.registry import MODELS
from mmwsol.structures import Frame, LocDataSample

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


def localizer(**kwargs):
    torch.manual_seed(0)
    backbone = dict(type="mmwsol.TapViT", arch=ARCH, img_size=32, patch_size=8)
    head = dict(type="mmwsol.ConvCAMHead", num_classes=8, in_channels=24)
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, **kwargs))
    model.init_weights()
    return model.eval()


def samples(labels=(3, 5), frame=None):
    out = []
    frame = frame or Frame.identity((32, 32))
    for label in labels:
        sample = LocDataSample(metainfo=dict(frame=frame, ori_shape=frame.ori_shape, img_shape=(32, 32)))
        sample.set_gt_label(label)
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[4.0, 4.0, 20.0, 20.0]]))
        out.append(sample)
    return out


def test_modes():
    model, images = localizer(), torch.randn(2, 3, 32, 32)
    assert model(images).shape == (2, 8)
    assert model(images, samples(), mode="loss")["loss_cls"].ndim == 0
    with pytest.raises(ValueError, match="mode='loss' needs data_samples"):
        model(images, mode="loss")
    with pytest.raises(ValueError, match="got 'train'"):
        model(images, mode="train")


def test_predict_fills_every_field():
    model, images = localizer(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        out = model(images, samples(), mode="predict")
        logits = model(images)
    for sample, logit, gt in zip(out, logits, (3, 5), strict=True):
        torch.testing.assert_close(sample.pred_score, logit.softmax(0))
        assert sample.pred_label.item() == logit.argmax()
        labels = sample.pred_maps.labels.tolist()
        assert labels[:5] == logit.topk(5).indices.tolist()
        assert gt in labels and len(set(labels)) == len(labels)
        assert sample.pred_maps.maps.shape == (len(labels), 4, 4)
        boxes = model.map_to_box(sample.pred_maps.maps, (32, 32))
        np.testing.assert_array_equal(sample.pred_instances.frame_bboxes, boxes)
        torch.testing.assert_close(sample.pred_instances.scores, logit.softmax(0)[labels])


def test_prediction_does_not_depend_on_the_rest_of_the_batch():
    model, images = localizer(), torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        together = model(images, mode="predict")
        alone = model(images[1:2], mode="predict")[0]
    torch.testing.assert_close(together[1].pred_maps.maps, alone.pred_maps.maps)


def test_boxes_return_to_original_pixels():
    frame = Frame.identity((128, 72)).resized((32, 36)).cropped(4, 0, (32, 32))
    assert (frame.scale, frame.shift) == ((0.5, 0.25), (-4.0, 0.0))
    model = localizer()
    with torch.no_grad():
        sample = model(torch.randn(1, 3, 32, 32), samples([1], frame), mode="predict")[0]
    x0, y0, x1, y1 = sample.pred_instances.frame_bboxes[0].tolist()
    expected = np.clip([(x0 + 4) / 0.5, y0 / 0.25, (x1 + 4) / 0.5, y1 / 0.25], 0, [72, 128, 72, 128])
    np.testing.assert_allclose(sample.pred_instances.bboxes[0], expected, rtol=1e-6)


def test_flipped_frame_gives_ordered_boxes():
    sample = samples([0], frame=Frame.identity((32, 32)).flipped())[0]
    np.testing.assert_array_equal(sample.frame.inverse().boxes([[2, 3, 10, 12]]), [[22, 3, 30, 12]])


def test_ten_crop_replaces_the_scores_only():
    model, images = localizer(), torch.randn(2, 3, 32, 32)
    crops = torch.randn(2, 10, 3, 32, 32)
    with torch.no_grad():
        plain = model(images, samples(), mode="predict")
        ten = model(images, samples(), mode="predict", crops=crops)
        expected = model(crops[0]).softmax(1).mean(0)
    torch.testing.assert_close(ten[0].pred_score, expected)
    assert ten[0].pred_maps.labels[:5].tolist() == expected.topk(5).indices.tolist()
    label = 3  # the ground truth has a map in both
    maps = [s.pred_maps.maps[s.pred_maps.labels.tolist().index(label)] for s in (plain[0], ten[0])]
    torch.testing.assert_close(maps[0], maps[1])


def test_ten_crop_averages_probabilities_not_logits(monkeypatch):
    model = localizer()
    logits = torch.tensor([[5.0, 0.0], [0.0, 2.0], [0.0, 2.0]])  # the mean logit is highest for class 0
    monkeypatch.setattr(model.head, "forward", lambda feats: logits)
    monkeypatch.setattr(model.head, "topk", 2)
    with torch.no_grad():
        (sample,) = model(torch.randn(1, 3, 32, 32), crops=torch.randn(1, 3, 3, 32, 32), mode="predict")
    torch.testing.assert_close(sample.pred_score, torch.tensor([0.411, 0.589]), rtol=0, atol=1e-3)
    assert sample.pred_label.item() == 1


def frozen_names(model):
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def test_frozen_parameters_by_name():
    model = localizer(frozen=["backbone.layers.0.attn.*", "backbone.cls_token"])
    attention = {f"backbone.layers.0.attn.{name}" for name, _ in model.backbone.layers[0].attn.named_parameters()}
    assert frozen_names(model) == attention | {"backbone.cls_token"}
    assert model.train().backbone.layers[0].training  # DropPath goes on
    assert not frozen_names(localizer())


def test_frozen_model_under_distributed_training(tmp_path):
    """Without find_unused_parameters; the frozen weights stay, the others move."""
    model = localizer(frozen=["backbone.layers.0.*"]).train()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        parallel = torch.nn.parallel.DistributedDataParallel(model)
        optim = build_optim_wrapper(
            parallel,
            dict(optimizer=dict(type="AdamW", lr=0.1, weight_decay=0.5), paramwise_cfg=dict(flat_decay_mult=0.0)),
        )
        for _ in range(2):
            loss, _ = model.parse_losses(parallel(torch.randn(2, 3, 32, 32), samples(), mode="loss"))
            optim.update_params(loss)
        del parallel, loss
    finally:
        finish_distributed()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, start[name])}
    assert changed and not changed & frozen_names(model)
    assert {"backbone.layers.1.attn.qkv.weight", "head.conv.weight"} <= changed


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        (["backbone.blocks.0.*"], "'backbone.blocks.0.\\*' matches no parameter and no module.*such as backbone"),
        (["backbone.layers.0.mlp.*"], "matches no parameter.*such as backbone.layers.0"),
        ("backbone.*", r"write \['backbone.\*'\]"),
        (["backbone.*", "head.*"], "freezes every parameter: nothing is left to train"),
    ],
)
def test_frozen_patterns_that_cannot_be_meant(frozen, message):
    with pytest.raises(ValueError, match=message):
        localizer(frozen=frozen)


def test_without_labels_only_the_best_classes_get_maps():
    with torch.no_grad():
        out = localizer()(torch.randn(1, 3, 32, 32), mode="predict")
    assert len(out[0].pred_maps.labels) == 5


def test_preprocessor_normalizes_rgb_and_crops():
    model = localizer()
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    data = dict(inputs=[image], data_samples=samples([1]), crops=[torch.stack([image] * 10)])
    batch = model.data_preprocessor(data)
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    torch.testing.assert_close(batch["inputs"][0], (image.flip(0).float() - mean) / std)
    torch.testing.assert_close(batch["crops"], batch["inputs"][:, None].expand(-1, 10, -1, -1, -1))


def test_checkpoints_carry_calibrated_thresholds_and_never_overrule_given_ones():
    rule = dict(type="mmwsol.ContourBox", preset="tscam")
    calibrated = localizer(map_to_box=rule)
    calibrated.map_to_box.threshold.fill_(0.3)
    fresh, given = localizer(map_to_box=rule), localizer(map_to_box=dict(rule, threshold=0.1))
    fresh.load_state_dict(calibrated.state_dict())
    given.load_state_dict(calibrated.state_dict(), strict=False)
    assert fresh.map_to_box.get_threshold() == pytest.approx(0.3)
    assert given.map_to_box.get_threshold() == pytest.approx(0.1)
