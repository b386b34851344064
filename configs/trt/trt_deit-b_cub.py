# TRT (Su et al., BMVC 2022), DeiT-B/16 at 224 on CUB-200-2011.
_base_ = [
    '../_base_/datasets/cub_224.py',
    '../_base_/schedules/trt_cub.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TRTViT', arch='deit-base', drop_path_rate=0.1, tpsm=dict(u=0.6)),  # paper: 0.65
    head=dict(type='mmwsol.TRTHead', num_classes=200, in_channels=768),
    map_to_box=dict(type='mmwsol.ContourBox', preset='trt', threshold=0.1),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth'))
