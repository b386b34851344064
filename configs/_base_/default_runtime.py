default_scope = 'mmpretrain'
custom_imports = dict(imports=['mmwsol.registry'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # the newest, with the optimizer's state, to resume from; best_*.pth (save_best) are weights alone
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=1),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    stages=dict(type='mmwsol.StagesHook'),
    resume=dict(type='mmwsol.ResumeHook'),
    safe_checkpoint=dict(type='mmwsol.SafeCheckpointHook'),
    num_classes=dict(type='mmwsol.NumClassesHook'),
    data_check=dict(type='mmwsol.DataCheckHook'),
    batch_norm=dict(type='mmwsol.BatchNormHook'),
    unused_parameters=dict(type='mmwsol.UnusedParametersHook'))
custom_hooks = [
    dict(type='mmwsol.EpochSeedHook'),  # a resumed run equals an uninterrupted one
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
visualizer = dict(type='mmwsol.LocVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(by_epoch=True)
log_level = 'INFO'
randomness = dict(seed=0)
load_from = None
resume = False
