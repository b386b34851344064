# Official LocLoc on ILSVRC, classifier: 50 epochs, batch 4 x 128. The learning rate 1.5e-4 of the command line is for 512
# images. DeiT's schedule, one epoch late. The stages of the config set what the generator has otherwise.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1.5e-4, weight_decay=0.05, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(flat_decay_mult=0., bias_decay_mult=0.))
param_scheduler = dict(type='mmwsol.TimmCosineLR', by_epoch=True, end=50)
train_cfg = dict(by_epoch=True, max_epochs=50, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=512, enable=False)
