model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapViT', arch='deit-small', drop_path_rate=0.1),
    head=dict(type='mmwsol.ConvCAMHead', in_channels=384),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam'),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
