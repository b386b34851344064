# TS-CAM (Gao et al., ICCV 2021), DeiT-S/16 at 224 on CUB-200-2011.
_base_ = [
    './_base_/deit-s.py',
    './_base_/schedule_cub.py',
    '../_base_/datasets/cub.py',
    '../_base_/pipelines/squash_224.py',
]
model = dict(head=dict(num_classes=200), map_to_box=dict(threshold=0.1))
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
