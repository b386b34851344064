# TS-CAM (Gao et al., ICCV 2021), DeiT-S/16 at 224 on OpenImages30k. The authors have no settings for it: those of CUB.
_base_ = [
    '../_base_/datasets/openimages_224.py',
    '../_base_/schedules/ts-cam_cub.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapViT', arch='deit-small', drop_path_rate=0.1),
    head=dict(type='mmwsol.ConvCAMHead', num_classes=100, in_channels=384),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.1),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
# The epoch is chosen on val; tools/test.py reports on test.
default_hooks = dict(checkpoint=dict(save_best='seg/pxap', rule='greater'))
