# TRT (Su et al., BMVC 2022), DeiT-B/16 at 384 on CUB-200-2011.
_base_ = [
    '../_base_/datasets/cub_384.py',
    '../_base_/schedules/trt_cub.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TRTViT', arch='deit-base', img_size=384, drop_path_rate=0.1, tpsm=dict(u=0.65)),
    head=dict(type='mmwsol.TRTHead', num_classes=200, in_channels=768),
    map_to_box=dict(type='mmwsol.ContourBox', preset='trt', threshold=0.1),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_384-8de9b5d1.pth'))
stages = [
    dict(
        name='tpsm',
        model=dict(head=dict(train_part='tpsm')),
        param_scheduler=dict(gamma=0.2)),
    dict(
        name='cam',
        init_from='best',
        model=dict(
            head=dict(train_part='cam'),
            # The official CAM branch at 384 starts from DeiT-B at 224; all else is from the first stage.
            init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth')),
        param_scheduler=dict(milestones=[9, 19]),
        train_cfg=dict(max_epochs=20)),  # paper: 15
]
