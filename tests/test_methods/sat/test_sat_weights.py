"""The official release of SAT."""

import pytest
import torch
from mmengine.logging import MMLogger
from releases import deit_release, loaded, localizer

from mmwsol.methods.sat.losses import nsig_kernel
from mmwsol.models.weights import guess_source
from mmwsol.utils import convert_official


def sat_release(num_classes=5):
    weights = {**deit_release(), "loc_token": torch.randn(1, 1, 24), "loc_embed": torch.randn(1, 1, 24)}
    weights |= {"head.weight": torch.randn(num_classes, 24, 3, 3), "head.bias": torch.randn(num_classes)}
    weights["weight"] = nsig_kernel(3, 6).float()[None, None]
    return {"model": {f"module.{k}": v for k, v in weights.items()}, "best_thr": 0.4, "epoch": 29}


def sat_model():
    return localizer(dict(type="mmwsol.SATHead"), dict(type="mmwsol.SATViT"))


def test_sat_leaves_no_missing_and_no_unexpected_key(tmp_path):
    official, target = sat_release(), sat_model()
    target.load_state_dict(convert_official(official, "sat"), strict=True)
    assert torch.equal(target.head.conv.weight, official["model"]["module.head.weight"])
    assert torch.equal(target.backbone.loc_embed, official["model"]["module.loc_embed"])
    official["model"]["module.weight"][0, 0, 1, 1] += 1e-4
    with pytest.raises(ValueError, match="smoothing kernel 'weight' of these SAT weights"):
        convert_official(official, "sat")


def test_sat_starts_from_deit_and_from_its_own_release(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger, "info", lambda self, message, *args: lines.append(str(message)))
    for name, official in (("deit", {"model": deit_release()}), ("sat", sat_release())):
        target = loaded(sat_model(), official, tmp_path)
        weights = {k.removeprefix("module."): v for k, v in official["model"].items()}
        assert guess_source(weights) == name
        assert torch.equal(target.backbone.pos_embed, weights["pos_embed"])
        assert torch.equal(target.backbone.layers[2].attn.qkv.weight, weights["blocks.2.attn.qkv.weight"])
        fresh = [line for line in lines if line.startswith("Left at their initialization")]
        expected = "backbone.loc_embed, backbone.loc_token, head.conv.bias, head.conv.weight"
        assert fresh == ([f"Left at their initialization: {expected}."] if name == "deit" else [])
        lines.clear()
