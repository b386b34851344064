"""What a TS-CAM model takes from its ImageNet file, and how the rest starts, equals the official factories."""

import json

import pytest
import timm
import torch
import torchvision
from config_names import config_of
from golden_case import GOLDEN_DIR

from mmwsol.registry import MODELS
from mmwsol.utils import convert_official

CASES = json.loads((GOLDEN_DIR / "tscam" / "pretrain_init.json").read_text())["cases"]
TO_OFFICIAL = (
    ("backbone.", ""),
    ("head.conv.", "trans_cls_head."),
    ("head.fc.", "conv_cls_head."),
    (".ln1.", ".norm1."),
    (".ln2.", ".norm2."),
    (".ffn.layers.0.0.", ".mlp.fc1."),
    (".ffn.layers.1.", ".mlp.fc2."),
)


def official_names(model: torch.nn.Module, arch: str) -> dict[str, str]:
    """Official name of every weight -> ours."""
    names = {}
    for ours in model.state_dict():
        if ours.startswith("map_to_box."):
            continue
        official = ours.removeprefix("backbone.")
        if "conformer" in arch:
            official = ours
            for new, old in TO_OFFICIAL:
                official = official.replace(new, old)
        elif "vgg" in arch:
            official = official.replace("head.fc.", "fc.")
        else:
            official = official.replace("head.conv.", "head.").replace("patch_embed.projection.", "patch_embed.proj.")
            official = official.replace("ln1.", "norm.") if official.startswith("ln1.") else official
            for new, old in (*TO_OFFICIAL[3:], ("layers.", "blocks.")):
                official = official.replace(new, old)
        names[official] = ours
    return names


def release(model: torch.nn.Module, arch: str) -> dict[str, torch.Tensor]:
    """Make the ImageNet file that belongs to a model: official names and shapes, every tensor a constant of its own.

    Tensors are expanded from one number, so that the file is small.
    """
    with torch.device("meta"):
        if "vgg" in arch:
            weights = {k: v for k, v in torchvision.models.vgg16().state_dict().items() if k.startswith("features.")}
            weights |= {f"classifier.6.{name}": torch.zeros(1000) for name in ("weight", "bias")}
        elif "conformer" in arch:
            own = model.state_dict()
            weights = {official: own[ours] for official, ours in official_names(model, arch).items()}
            width, channels = own["head.conv.weight"].shape[1], own["head.fc.weight"].shape[1]
            weights |= {"trans_cls_head.weight": torch.zeros(1000, width), "trans_cls_head.bias": torch.zeros(1000)}
            weights |= {"conv_cls_head.weight": torch.zeros(1000, channels), "conv_cls_head.bias": torch.zeros(1000)}
        else:
            weights = timm.create_model(arch.replace("_tscam", "")).state_dict()
    return {
        name: torch.tensor(i if value.dtype == torch.long else i / 1000, dtype=value.dtype).expand(value.shape)
        for i, (name, value) in enumerate(weights.items(), start=1)
    }


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if isinstance(case, dict)])
def test_start(name, tmp_path):
    expected = CASES[name]
    arch, classes = name.split("/K")
    cfg = config_of(arch, "CUB" if classes == "200" else "ILSVRC")
    assert cfg.model.head.num_classes == int(classes)
    cfg.model.init_cfg.checkpoint = str(tmp_path / "imagenet.pth")
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    file = release(model, arch)
    torch.save({"model": file} if "deit" in arch else file, cfg.model.init_cfg.checkpoint)
    model.init_weights()

    own, names = model.state_dict(), official_names(model, arch)
    assert len(names) == expected["n_keys"]
    floats = {official for official, ours in names.items() if own[ours].is_floating_point()}
    assert len(names) - len(floats) == expected["n_buffers_int"]
    copied = {
        n for n in floats if n in file and own[names[n]].shape == file[n].shape and (own[names[n]] == file[n]).all()
    }
    assert len(copied) == expected["n_copied_same_name"] and not expected["copied_from_other_name"]
    assert floats - copied == set(expected["fresh"])
    for official, fresh in expected["fresh"].items():
        check_statistics(own[names[official]], fresh)
    convert_official(dict.fromkeys(names, torch.zeros(())), "tscam")  # all names belong to the release


def check_statistics(tensor: torch.Tensor, expected: dict) -> None:
    """Compare a random tensor with minimum, maximum, mean and standard deviation of another draw.

    The extremes of two normal draws differ; a uniform one has them at 1.7, not at 4 to 5 standard deviations.
    """
    assert list(tensor.shape) == expected["shape"]
    low, high, mean, std = expected["min_max_mean_std"]
    assert float(tensor.std()) == pytest.approx(std, rel=0.1)
    assert float(tensor.min()) == pytest.approx(low, rel=0.25)
    assert float(tensor.max()) == pytest.approx(high, rel=0.25)
    assert float(tensor.mean()) == pytest.approx(mean, abs=8 * std / tensor.numel() ** 0.5 + 1e-6)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if isinstance(case, str)])
def test_other_image_size_is_resized_where_the_official_loader_refuses(name, tmp_path):
    assert "size mismatch for pos_embed" in CASES[name]
    arch = name.split("/")[0]
    cfg = config_of(arch, "CUB")
    cfg.model.backbone.img_size = 384
    cfg.model.init_cfg.checkpoint = str(tmp_path / "imagenet.pth")
    model = MODELS.build(cfg.model)
    file = release(model, arch)
    torch.save({"model": file}, cfg.model.init_cfg.checkpoint)
    model.init_weights()
    pos_embed = model.backbone.pos_embed
    assert pos_embed.shape[1] == 577
    torch.testing.assert_close(pos_embed, torch.full_like(pos_embed, float(file["pos_embed"][0, 0, 0])))
