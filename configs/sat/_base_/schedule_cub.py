# Official SAT on CUB: 30 epochs, batch 256, constant learning rate (a cosine is computed in the code but never
# applied). Evaluated from epoch 26 on. Only one-dimensional parameters are free of weight decay: the code means to
# spare the tokens and the position embeddings too, but looks for their names in the parallel wrapper.
_base_ = ['../../_base_/default_runtime.py']
total_batch_size = 256
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(flat_decay_mult=0.))
param_scheduler = []
train_cfg = dict(by_epoch=True, max_epochs=30, val_begin=26, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=total_batch_size, enable=False)
randomness = dict(seed=6)
