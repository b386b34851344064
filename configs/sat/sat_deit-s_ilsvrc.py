# SAT (Wu et al., ICCV 2023), DeiT-S/16 at 224 on ILSVRC2012.
_base_ = [
    './_base_/deit-s.py',
    './_base_/evaluation.py',
    './_base_/schedule_ilsvrc.py',
    '../_base_/datasets/ilsvrc.py',
    '../_base_/pipelines/squash-crop_224.py',
]
model = dict(
    # The official code has 4 ranks of 128 images with a term each; paper: "within a batch".
    head=dict(num_classes=1000, map_losses=dict(loss_area=dict(target=0.35, sync=False))),
    map_to_box=dict(threshold=0.3))
train_dataloader = dict(
    batch_size={{_base_.total_batch_size}}, drop_last=True, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
val_evaluator = test_evaluator = {{_base_.evaluator}}
default_hooks = dict(checkpoint=dict(max_keep_ckpts=5))  # keep epoch 1, the result of the official code
