# TS-CAM (Gao et al., ICCV 2021), DeiT-B/16 at 224 on CUB-200-2011.
_base_ = [
    '../_base_/datasets/cub_224.py',
    '../_base_/schedules/ts-cam_cub.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapViT', arch='deit-base', drop_path_rate=0.1),
    head=dict(type='mmwsol.ConvCAMHead', num_classes=200, in_channels=768),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.1),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth'))
