# Official TRT on ILSVRC: everything but the CAM branch for 12 epochs, then the CAM branch alone for 12. Both start from
# the ImageNet weights; the second takes all but its own branch from the best checkpoint of the first. Batch 512,
# learning rate from the command line, not scaled.
_base_ = ['../default_runtime.py']
optim_wrapper = dict(
    # paper: Adam with weight decay 5e-4
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(
        flat_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys=dict(cls_token=dict(decay_mult=0.), pos_embed=dict(decay_mult=0.))))
# The official step rule divides at every multiple of 2, 4, 6 and 8, once an epoch.
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[1, 3, 5, 7, 9, 11], gamma=0.4)
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=512, enable=False)
stages = [
    dict(
        name='tpsm',
        model=dict(
            head=dict(
                train_part='tpsm',
                loss=dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original')))),
    dict(  # no label smoothing here; paper: 10 epochs
        name='cam',
        init_from='best',
        model=dict(head=dict(train_part='cam'))),
]
# The published protocol keeps the best epoch of the evaluated split itself, for the second stage and for the result.
default_hooks = dict(checkpoint=dict(save_best='loc/top1', rule='greater'))
