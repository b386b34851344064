model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapViT', arch='deit-small', tap='none', out_tokens=(0, -1)),
    head=dict(
        type='mmwsol.LocLocHead',
        in_channels=384,
        train_part='classifier',
        generator=dict(type='unet', base_channels=4, unet_channels=200),
        classifier=dict(num_layers=12, num_heads=6, feedforward_channels=1536, drop_path_rate=0.1),
        loss_weight=0.5),  # paper: 1
    map_to_box=dict(type='mmwsol.ContourBox', preset='locloc'),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
