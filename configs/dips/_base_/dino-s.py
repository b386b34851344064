# DiPS on DINO ViT-S/16, frozen. The classifier is trained first; a stage sets train_part='decoder'.
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.DiPSViT', arch='deit-small', num_cls_tokens=4, attn_layers=(-1, )),
    head=dict(
        type='mmwsol.DiPSHead',
        in_channels=384,
        num_cls_tokens=4,
        train_part='classifier',
        map_set='1_4_heads_and_mean',
        channels=(192, 96, 48),
        final_relu=True,
        sampler=dict(
            type='mmwsol.SeedSampler',
            fg_method='weighted',
            bg_method='uniform',
            kernel_size=3,  # paper: pixels are not dilated
            exclude_boxes='none'),  # paper: background is taken outside all boxes
        loss_seed=dict(type='mmwsol.PartialCrossEntropyLoss', loss_weight=1.0),
        loss_crf=dict(
            type='mmwsol.DenseCRFLoss', mode='lattice', sigma_rgb=15, sigma_xy=100, scale=1.0, loss_weight=2e-9)),
    map_to_box=dict(type='mmwsol.ContourBox', preset='dips'),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth'))
