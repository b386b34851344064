"""ClsTokenHead: the class token classifies, its attention is the map."""

import pytest
import torch

from mmwsol.models import ClsTokenHead, Features, TapViT

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)


def test_scores_and_map():
    torch.manual_seed(0)
    feats = TapViT(arch=ARCH, img_size=32, patch_size=8).eval()(torch.randn(2, 3, 32, 32))
    head = ClsTokenHead(6, 24)
    scores, maps, labels = head.predict(feats, gt_labels=torch.tensor([1, 2]))
    torch.testing.assert_close(scores, (feats.cls_token @ head.fc.weight.T + head.fc.bias).softmax(1))
    torch.testing.assert_close(maps, feats.cls_attn.sum(1).mean(1, keepdim=True))
    assert labels.tolist() == [[-1], [-1]]


def test_attention_is_needed_to_localize():
    feats = Features(torch.zeros(1, 24, 4, 4), cls_token=torch.zeros(1, 24))
    with pytest.raises(ValueError, match="needs 'cls_attn' of the features.*set tap='cls'"):
        ClsTokenHead(6, 24).predict(feats)
