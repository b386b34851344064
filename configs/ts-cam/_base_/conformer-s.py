model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapConformer', arch='small', drop_path_rate=0.1),
    head=dict(type='mmwsol.ConformerCAMHead', in_channels=384, conv_channels=1024),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam'),
    # A release of pengzhiliang/Conformer, without a direct URL: put the file there, or into $MMWSOL_CHECKPOINT_ROOT.
    init_cfg=dict(type='Pretrained', checkpoint='checkpoints/conformer_small_patch16.pth'))
