# Official TS-CAM on ILSVRC: 20 epochs (the released weights are those of epoch 12), batch 256.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(
        flat_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys=dict(cls_token=dict(decay_mult=0.), pos_embed=dict(decay_mult=0.))))
# The official step rule divides at every multiple of 10 and of 12: epoch 20 too.
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[9, 11, 19], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=256, enable=False)
