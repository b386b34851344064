"""Classifiers of timm and torchvision under CAM: the network's own logits, and maps that the classifier reads."""

import pytest
import timm
import torch
import torchvision

from mmwsol.models import TimmCNN, TorchvisionCNN
from mmwsol.models.wrapped_networks import channels_last
from mmwsol.registry import MODELS

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
# A plain network, layers behind the pool (a linear one, a norm), channels last.
TIMM = ["test_resnet", "mobilenetv3_small_050", "convnext_atto", "swin_tiny_patch4_window7_224"]
TORCHVISION = ["resnet18", "mobilenet_v3_small", "convnext_tiny", "densenet121", "shufflenet_v2_x0_5"]


def spread(network):
    """Give a network weights whose features differ from image to image, and a classifier that shows it."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith(("weight", "bias")) and value.ndim == 1:
                value.add_(0.1 * torch.rand_like(value))
            elif value.ndim > 1:
                value.normal_(0, (2 / value[0].numel()) ** 0.5)
    return network.eval()


def cam(backbone, channels, num_classes=1000, **head):
    head = dict(type="mmwsol.LinearCAMHead", num_classes=num_classes, in_channels=channels, **head)
    options = dict(data_preprocessor=dict(mean="backbone", std="backbone"))
    return MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, **options))


@torch.no_grad()
def check(model, network):
    """Load the network's weights, as they are, and compare logits and maps."""
    model.load_state_dict(network.state_dict())
    model.eval()
    logits = network(IMAGES)
    assert logits.std(dim=0).max() > 0
    torch.testing.assert_close(model(IMAGES), logits, rtol=1e-4, atol=1e-5 * logits.abs().max().item())
    sample = model(IMAGES, mode="predict")[0]
    assert sample.pred_maps.labels.tolist() == logits[0].topk(5).indices.tolist()
    # The map of an image that is one cell is its logit without the bias.
    feats = model.extract_feat(IMAGES)
    cell = model.backbone.after_pool(model.backbone.feature_map(IMAGES)[:, :, :1, :1])
    torch.testing.assert_close(feats.patch_map[:, :, 0, 0], cell, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("device", "last"), [("cpu", True), ("meta", False)])
def test_channels_last_on_a_cpu_alone(device, last):
    images = channels_last(torch.zeros(2, 3, 4, 4, device=device))
    assert images.is_contiguous(memory_format=torch.channels_last) is last


def size(name):
    return dict(img_size=64, window_size=2) if name.startswith("swin") else {}


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    network = spread(timm.create_model(name, **size(name)))
    channels = network.get_classifier().in_features
    check(cam(dict(type="mmwsol.TimmCNN", model_name=name, **size(name)), channels), network)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name):
    network = spread(torchvision.models.get_model(name))
    channels = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)][-1].in_features
    check(cam(dict(type="mmwsol.TorchvisionCNN", model_name=name), channels), network)


def test_constants_are_those_of_the_weights():
    assert TimmCNN("tf_efficientnet_lite0").pixel_mean == (127.5, 127.5, 127.5)
    model = cam(dict(type="mmwsol.TimmCNN", model_name="test_resnet"), 96)
    description = timm.get_pretrained_cfg("test_resnet")
    for name in ("mean", "std"):
        own = getattr(model.data_preprocessor, name).flatten()
        torch.testing.assert_close(own, 255 * torch.tensor(getattr(description, name)))
    preprocessor = cam(dict(type="mmwsol.TorchvisionCNN", model_name="resnet18"), 512).data_preprocessor
    torch.testing.assert_close(preprocessor.mean.flatten(), torch.tensor([123.675, 116.28, 103.53]))
    with pytest.raises(ValueError, match="data_preprocessor.mean='backbone', but ResNet does not know it"):
        cam(dict(type="mmpretrain.ResNet", depth=18), 512)


def test_rows_of_a_larger_classifier():
    network = spread(timm.create_model("test_resnet"))
    rows = [701, 0, 217]
    model = cam(dict(type="mmwsol.TimmCNN", model_name="test_resnet"), 96, num_classes=3, rows=rows)
    model.load_state_dict(network.state_dict())
    assert torch.equal(model.head.fc.weight, network.fc.weight[rows]) and torch.equal(
        model.head.fc.bias, network.fc.bias[rows]
    )
    own = {name: value + 1 for name, value in model.state_dict().items()}
    model.load_state_dict(own)  # a checkpoint of the three
    assert torch.equal(model.head.fc.weight, own["head.fc.weight"])
    with pytest.raises(ValueError, match="3 different numbers, got"):
        cam(dict(type="mmwsol.TimmCNN", model_name="test_resnet"), 96, num_classes=3, rows=[1, 1, 2])
    model.head.rows = [0, 1, 1000]
    with pytest.raises(ValueError, match="weights are of a classifier of 1000 classes"):
        model.load_state_dict(network.state_dict())


def test_weights_of_another_network_are_refused():
    """Those of a wider one have the same names, and mmengine would log their shapes and leave the model random."""
    model = cam(dict(type="mmwsol.TimmCNN", model_name="resnet18"), 512)
    wide = {name: torch.zeros(*value.shape, 1) for name, value in timm.create_model("resnet18").state_dict().items()}
    with pytest.raises(ValueError, match="These are no weights of a localizer"):
        model.load_state_dict(wide)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TimmCNN("nonsense"), "has no model 'nonsense'"),
        (lambda: TimmCNN("hf-hub:a/b"), "has no model 'hf-hub:a/b'"),
        (
            lambda: TimmCNN("test_resnet", pretrained=True),
            "TimmCNN has no pretrained: set model.init_cfg=.*timm://test_res",
        ),
        (lambda: TimmCNN("test_vit")(torch.zeros(1, 3, 160, 160)), "gives tokens .*: take mmwsol.TimmViT"),
        (lambda: TorchvisionCNN("nonsense"), "torchvision has no classifier 'nonsense'"),
        (lambda: TorchvisionCNN("squeezenet1_1"), "does not classify by a linear layer behind a global pool"),
        (lambda: TorchvisionCNN("alexnet"), "does not classify by a linear layer behind a global pool"),
        (lambda: TorchvisionCNN("vit_b_32"), "does not classify by a linear layer behind a global pool"),
        (lambda: TorchvisionCNN("googlenet", init_weights=False), "normalizes its images itself"),
    ],
)
def test_what_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
