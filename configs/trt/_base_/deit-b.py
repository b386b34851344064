model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TRTViT', arch='deit-base', drop_path_rate=0.1),
    head=dict(type='mmwsol.TRTHead', in_channels=768),
    map_to_box=dict(type='mmwsol.ContourBox', preset='trt'),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth'))
evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc'),
    # What the paper calls MaxBoxAccV2: all contours at one threshold, the first box alone.
    dict(type='mmwsol.MaxBoxAcc', protocol='trt_v2', threshold='model', prefix='trt_v2'),
]
