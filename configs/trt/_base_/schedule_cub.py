# Official TRT on CUB: everything but the CAM branch for 30 epochs, then the CAM branch alone for 20. Both start from
# the ImageNet weights; the second takes all but its own branch from the best checkpoint of the first. Batch 128,
# learning rate from the command line, not scaled.
_base_ = ['../../_base_/default_runtime.py']
total_batch_size = 128
optim_wrapper = dict(
    # paper: Adam with weight decay 5e-4
    optimizer=dict(type='AdamW', lr=5e-5, weight_decay=0.05, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(
        flat_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys=dict(cls_token=dict(decay_mult=0.), pos_embed=dict(decay_mult=0.))))
# The official step rule divides at every multiple of 15: epoch 30 too (epochs counted from 1).
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[14, 29], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=total_batch_size, enable=False)
stages = [
    dict(name='tpsm', model=dict(head=dict(train_part='tpsm'))),
    dict(
        name='cam',
        init_from='best',
        model=dict(head=dict(train_part='cam')),
        param_scheduler=dict(milestones=[9, 19]),
        train_cfg=dict(max_epochs=20)),  # paper: 15
]
# The published protocol keeps the best epoch of the evaluated split itself, for the second stage and for the result.
default_hooks = dict(checkpoint=dict(save_best='loc/top1', rule='greater'))
