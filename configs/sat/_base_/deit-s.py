model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.SATViT', arch='deit-small', num_sqa_blocks=3, drop_path_rate=0.1),
    head=dict(
        type='mmwsol.SATHead',
        in_channels=384,
        map_losses=dict(
            loss_area=dict(type='mmwsol.BatchAreaLoss'),
            # paper: a Gaussian of standard deviation 6; the code's kernel is far sharper
            loss_norm=dict(type='mmwsol.MapNormalizationLoss', kernel='nsig', kernel_size=3, sigma=6))),
    map_to_box=dict(type='mmwsol.ComponentBox', preset='sat'),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
