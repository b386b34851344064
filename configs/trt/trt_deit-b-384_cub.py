# TRT (Su et al., BMVC 2022), DeiT-B/16 at 384 on CUB-200-2011.
_base_ = [
    './_base_/deit-b.py',
    './_base_/schedule_cub.py',
    '../_base_/datasets/cub.py',
    '../_base_/pipelines/squash_384.py',
]
model = dict(
    backbone=dict(img_size=384, tpsm=dict(u=0.65)),
    head=dict(num_classes=200),
    map_to_box=dict(threshold=0.1),
    init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_384-8de9b5d1.pth'))
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(batch_size=32, dataset=dict(pipeline={{_base_.test_pipeline}}))
val_evaluator = test_evaluator = {{_base_.evaluator}}
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
