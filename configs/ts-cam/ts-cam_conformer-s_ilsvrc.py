# TS-CAM (Gao et al., ICCV 2021), Conformer-S/16 at 224 on ILSVRC2012.
_base_ = [
    './_base_/conformer-s.py',
    './_base_/schedule_ilsvrc.py',
    '../_base_/datasets/ilsvrc.py',
    '../_base_/pipelines/squash_224.py',
]
total_batch_size = 128  # the official Conformer runs use half the batch of DeiT-S and -B
model = dict(head=dict(num_classes=1000), map_to_box=dict(threshold=0.12))
train_dataloader = dict(batch_size=total_batch_size, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
auto_scale_lr = dict(base_batch_size=total_batch_size)
