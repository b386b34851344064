# The recipe of recipe.py on ILSVRC, with the augmentation of the official code.
_base_ = [
    './recipe.py',
    '../../_base_/datasets/ilsvrc.py',
    '../../_base_/pipelines/deit-aug_224.py',
]
train_dataloader = dict(
    batch_size={{_base_.total_batch_size}},
    num_workers=8,
    drop_last=True,
    dataset=dict(pipeline={{_base_.train_pipeline}}),
    sampler=dict(type='mmpretrain.RepeatAugSampler'))  # an epoch has a third of the images, thrice each
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
val_evaluator = test_evaluator = {{_base_.evaluator}}
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = dict(end=14)
train_cfg = dict(max_epochs=14)
