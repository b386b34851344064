"""The official release of TRT, after both stages."""

import pytest
import torch
from releases import deit_release, load_strictly, loaded, localizer

from mmwsol.models.weights import guess_source
from mmwsol.utils import convert_official


def trt_release(stage, num_classes=5):
    """A checkpoint of su-hui-zz/ReAttentionTransformer."""
    weights = deit_release(num_classes)
    block = {k.removeprefix("blocks.0."): v for k, v in weights.items() if k.startswith("blocks.0.")}
    layers = {"score_norm": (24,), "score_head": (1, 24)}
    blocks = ["score_layer"]
    if stage == 2:
        layers |= {"camfuse_block.cam_norm": (24,), "camfuse_block.cam_head": (num_classes, 24, 3, 3)}
        blocks.append("camfuse_block.cam_tr")
    for name, shape in layers.items():
        weights |= {f"{name}.weight": torch.randn(shape), f"{name}.bias": torch.randn(shape[:1])}
    for name in blocks:
        weights |= {f"{name}.{k}": torch.randn_like(v) for k, v in block.items()}
    return {"epoch": 30, "state_dict": {f"module.{k}": v for k, v in weights.items()}, "best_map": 0.9}


@pytest.mark.parametrize(("stage", "part"), [(1, "tpsm"), (2, "cam")])
def test_trt_leaves_no_missing_and_no_unexpected_key(stage, part, tmp_path):
    official = trt_release(stage)
    parts = dict(head=dict(type="mmwsol.TRTHead", train_part=part), backbone=dict(type="mmwsol.TRTViT"))
    target = localizer(**parts)
    load_strictly(target, convert_official(official, "trt"))
    weights = {k.removeprefix("module."): v for k, v in official["state_dict"].items()}
    assert guess_source(weights) == "trt"
    assert torch.equal(target.head.fc.weight, weights["head.weight"])
    assert torch.equal(target.backbone.tpsm.block.ffn.layers[1].weight, weights["score_layer.mlp.fc2.weight"])
    assert torch.equal(target.backbone.last_block.ln2.bias, weights["blocks.2.norm2.bias"])
    if stage == 2:
        assert torch.equal(target.backbone.cam.block.attn.qkv.bias, weights["camfuse_block.cam_tr.attn.qkv.bias"])
        assert torch.equal(target.head.cam_conv.weight, weights["camfuse_block.cam_head.weight"])
    again = loaded(localizer(**parts), official, tmp_path)
    for name, value in target.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    with pytest.raises(ValueError, match=r"unexpected \['score_layer.norm3.weight'\]"):
        convert_official({"score_layer.norm3.weight": torch.zeros(1)}, "trt")
