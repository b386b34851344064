# An ImageNet classifier under CAM as it is: nothing is trained. The schedule is for those who train on.
_base_ = [
    './schedule_ilsvrc.py',
    '../../_base_/datasets/ilsvrc.py',
    '../../_base_/pipelines/squash_224.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TimmCNN'),
    head=dict(type='mmwsol.LinearCAMHead', num_classes=1000),
    data_preprocessor=dict(mean='backbone', std='backbone'),  # those of timm's pretrained_cfg
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.2),  # 20 % of the maximum: CAM paper
    init_cfg=dict(type='Pretrained'))
optim_wrapper = dict(optimizer=dict(lr=3e-5, weight_decay=1e-4))
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
