# Official CDTR on ILSVRC: 14 epochs, batch 4 x 64. The learning rate 5e-4 of the command line is for 512 images. The
# paper has weight_decay 5e-4 and betas (0.9, 0.99).
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=2.5e-4, weight_decay=0.05, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(
        flat_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys=dict(cls_token=dict(decay_mult=0.), pos_embed=dict(decay_mult=0.))))
param_scheduler = dict(type='mmwsol.TimmCosineLR', by_epoch=True, end=14)
train_cfg = dict(by_epoch=True, max_epochs=14, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=256, enable=False)
