# Official TS-CAM on CUB: 60 epochs, batch 128, learning rate from the command line, not scaled.
_base_ = ['../../_base_/default_runtime.py']
total_batch_size = 128
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-5, weight_decay=0.05, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(
        flat_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys=dict(cls_token=dict(decay_mult=0.), pos_embed=dict(decay_mult=0.))))
# The official step rule divides at every multiple of 30: epoch 60 too (epochs counted from 1).
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[29, 59], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=60, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=total_batch_size, enable=False)
