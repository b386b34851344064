# Official LocLoc on CUB, classifier: 100 epochs, batch 2 x 128. The learning rate 1.5e-4 of the command line is for 512
# images. DeiT's schedule, one epoch late. stages.py sets what the generator has otherwise.
_base_ = ['../../_base_/default_runtime.py', './stages.py']
total_batch_size = 256
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=7.5e-5, weight_decay=0.05, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(flat_decay_mult=0., bias_decay_mult=0.))
param_scheduler = dict(type='mmwsol.TimmCosineLR', by_epoch=True, end=100)
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=total_batch_size, enable=False)
# 1e-3 of the command line is for 512 images. Paper: Adam, 1e-3.
generator_stage = dict(optim_wrapper=dict(optimizer=dict(lr=5e-4)))
