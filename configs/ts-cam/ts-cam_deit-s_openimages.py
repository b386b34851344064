# TS-CAM (Gao et al., ICCV 2021), DeiT-S/16 at 224 on OpenImages30k. The authors have no settings for it: those of CUB.
_base_ = [
    './_base_/deit-s.py',
    './_base_/schedule_cub.py',
    '../_base_/datasets/openimages.py',
    '../_base_/pipelines/squash_224.py',
]
model = dict(head=dict(num_classes=100), map_to_box=dict(threshold=0.1))
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
# The epoch is chosen on val; tools/test.py reports on test.
default_hooks = dict(checkpoint=dict(save_best='seg/pxap', rule='greater'))
