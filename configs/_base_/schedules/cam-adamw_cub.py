# VGG16-CAM of TRT's repository on CUB: TS-CAM's AdamW, 40 epochs, batch 64.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-5, weight_decay=0.05, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(flat_decay_mult=0., bias_decay_mult=0.))
# The official step rule divides at every multiple of 12 and of 24: epoch 36 too (epochs counted from 1).
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[11, 23, 35], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=40, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=64, enable=False)
