# From scratch on small images: AdamW, one epoch of warm-up, cosine to zero. Stages set max_epochs and lr.
_base_ = ['../default_runtime.py']
total_batch_size = 64
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(
        flat_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys=dict(cls_token=dict(decay_mult=0.), pos_embed=dict(decay_mult=0.))),
    clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=1, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=10, val_interval=4)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=total_batch_size, enable=False)
