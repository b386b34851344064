"""Models of configs made tiny."""

from __future__ import annotations

from mmengine.config import Config

WIDTH = 24
SMALL_VIT = dict(arch=dict(embed_dims=WIDTH, num_layers=2, num_heads=2, feedforward_channels=2 * WIDTH))
# Backbones that take other arguments: theirs, and those of the head on it. SAT's configs name all of its blocks.
SMALL = {
    "mmpretrain.ResNet": (dict(base_channels=2, zero_init_residual=False), dict(in_channels=64)),
    "mmwsol.DiPSViT": (dict(arch=dict(SMALL_VIT["arch"], num_layers=4, num_heads=4)), dict(in_channels=WIDTH)),
    "mmwsol.SATConformer": (
        dict(arch=dict(embed_dims=WIDTH, depths=12, num_heads=2, channel_ratio=1), base_channels=8),
        dict(in_channels=WIDTH, conv_channels=32),
    ),
    "mmwsol.SATViT": (dict(arch=dict(SMALL_VIT["arch"], num_layers=12)), dict(in_channels=WIDTH)),
    "mmwsol.TapConformer": (
        dict(arch=dict(embed_dims=WIDTH, depths=3, num_heads=2, channel_ratio=1), base_channels=8),
        dict(in_channels=WIDTH, conv_channels=32),
    ),
    "mmwsol.TimmCNN": (dict(model_name="test_resnet", zero_init_last=False), dict(in_channels=96)),
    "mmwsol.TimmViT": (dict(pretrained=False, embed_dim=WIDTH, depth=2, num_heads=2), dict(in_channels=WIDTH)),
    "mmwsol.VGG16CAM": (dict(base_channels=2), dict(in_channels=32)),
}


def shrink(cfg: Config, max_classes: int = 20) -> Config:
    """Make the model tiny, about two blocks of width 24, without pretrained weights.

    Heads whose size grows with the classes get at most ``max_classes``.
    """
    cfg.model.init_cfg = None
    backbone, head = SMALL.get(cfg.model.backbone.type, (SMALL_VIT, dict(in_channels=WIDTH)))
    arch = cfg.model.backbone.get("arch")
    if isinstance(arch, dict):  # a small one already: its blocks and heads are those of other stages
        backbone = dict(arch=dict(arch, embed_dims=WIDTH, feedforward_channels=2 * WIDTH))
    cfg.model.backbone.update(backbone)
    cfg.model.head.update(head)
    if "drop_path_rate" in cfg.model.backbone:
        cfg.model.backbone.drop_path_rate = 0.0  # a batch of two may lose a path altogether, and its gradient
    if "tau" in cfg.model.backbone.get("tpsm", {}):
        cfg.model.backbone.tpsm.tau = 1e-4  # the attention of a random model has no peaks
    head, arch = cfg.model.head, cfg.model.backbone.get("arch")
    if head.type in ("mmwsol.CATRHead", "mmwsol.CDTRHead"):
        head.num_classes = min(head.num_classes, max_classes)
        head.attn_shape = (arch["num_layers"], arch["num_heads"])
        head.c_base = min(head.get("c_base", 8), 8)
        head.ocm_blocks = min(head.get("ocm_blocks", 2), 2)
    if head.type == "mmwsol.LocLocHead":
        layers = dict(num_layers=arch["num_layers"], num_heads=2, feedforward_channels=2 * WIDTH, drop_path_rate=0.0)
        head.classifier = dict(head.get("classifier", {}), **layers)
        head.num_classes = min(head.num_classes, max_classes)
    if head.type == "mmwsol.DiPSHead":
        head.channels = (8,) * len(head.channels)
        head.fc_weights = None
    loss_sba = head.get("map_losses", {}).get("loss_sba")
    if loss_sba:
        loss_sba.clip = dict(type="mmwsol.StandInCLIP", embed_dim=16)
    return cfg
