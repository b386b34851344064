# TS-CAM (Gao et al., ICCV 2021), Conformer-S/16 at 224 on ILSVRC2012.
_base_ = [
    '../_base_/datasets/ilsvrc_224.py',
    '../_base_/schedules/ts-cam_ilsvrc.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapConformer', arch='small', drop_path_rate=0.1),
    head=dict(type='mmwsol.ConformerCAMHead', num_classes=1000, in_channels=384, conv_channels=1024),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.12),
    # A release of pengzhiliang/Conformer, without a direct URL: put the file there, or into $MMWSOL_CHECKPOINT_ROOT.
    init_cfg=dict(type='Pretrained', checkpoint='checkpoints/conformer_small_patch16.pth'))
train_dataloader = dict(batch_size=128)  # the official Conformer runs use half the batch of DeiT-S and -B
auto_scale_lr = dict(base_batch_size=128)
# The published protocol keeps the best epoch of the evaluated split itself.
default_hooks = dict(checkpoint=dict(save_best='loc/gt_known', rule='greater'))
