# A pretrained vision transformer as it is, localizing by the attention of its class token: nothing is trained. The
# schedule is for those who train on.
_base_ = [
    '../../ts-cam/_base_/schedule_ilsvrc.py',
    '../../_base_/datasets/ilsvrc.py',
    '../../_base_/pipelines/squash_224.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TimmViT', img_size=224, tap_layers=[-1]),  # the last block, as in DINO's paper
    head=dict(type='mmwsol.ClsTokenHead', num_classes=1000, in_channels=384),
    data_preprocessor=dict(mean='backbone', std='backbone'),  # those of timm's pretrained_cfg
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.2),
    init_cfg=dict(type='Pretrained'))
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
