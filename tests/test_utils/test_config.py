"""Options of the command line."""

from __future__ import annotations

import pytest

from mmwsol.utils.config import load_config


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("optm_wrapper.optimizer.lr", "the config has .*optim_wrapper"),
        ("total_batch_sise", "the config has .*total_batch_size"),
        ("model.backbone.ach.depth", "model.backbone has arch"),
    ],
)
def test_misspelt_options_of_configs_without_stages(key, message):
    with pytest.raises(ValueError, match=f"--cfg-options {key}: the config has no such key. There is: {message}"):
        load_config("ts-cam_deit-s_cub", {key: 1})


def test_new_settings_of_configs_without_stages():
    new = {"model.backbone.attn_drop_rate": 0.1, "runner_type": "Runner", "model.head.x.type": "X", "model.head.x.y": 1}
    cfg = load_config("ts-cam_deit-s_cub", new)
    assert cfg.model.head.x == dict(type="X", y=1) and cfg.runner_type == "Runner"
