model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TRTViT', arch='deit-base', drop_path_rate=0.1),
    head=dict(type='mmwsol.TRTHead', in_channels=768),
    map_to_box=dict(type='mmwsol.ContourBox', preset='trt'),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth'))
