# TRT (Su et al., BMVC 2022), DeiT-B/16 at 224 on ILSVRC2012.
_base_ = [
    './_base_/deit-b.py',
    './_base_/schedule_ilsvrc.py',
    '../_base_/datasets/ilsvrc.py',
    '../_base_/pipelines/timm-aug_224.py',
]
model = dict(backbone=dict(tpsm=dict(u=0.95)), head=dict(num_classes=1000), map_to_box=dict(threshold=0.12))
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
val_evaluator = test_evaluator = {{_base_.evaluator}}
