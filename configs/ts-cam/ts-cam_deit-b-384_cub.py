# TS-CAM (Gao et al., ICCV 2021), DeiT-B/16 at 384 on CUB-200-2011.
_base_ = [
    './_base_/deit-s.py',
    './_base_/schedule_cub.py',
    '../_base_/datasets/cub.py',
    '../_base_/pipelines/squash_384.py',
]
model = dict(
    backbone=dict(arch='deit-base', img_size=384),
    head=dict(num_classes=200, in_channels=768),
    map_to_box=dict(threshold=0.1),
    init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_384-8de9b5d1.pth'))
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(batch_size=32, dataset=dict(pipeline={{_base_.test_pipeline}}))
