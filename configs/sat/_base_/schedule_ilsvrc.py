# SAT on ILSVRC: 5 epochs (paper), batch 512, constant learning rate. The official code stops after the first epoch:
# with a constant rate that is the checkpoint of epoch 1 here.
_base_ = ['../../_base_/default_runtime.py']
total_batch_size = 512
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1.5e-5, weight_decay=0.05, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(flat_decay_mult=0.))  # tokens and position embeddings decay, see schedule_cub.py
param_scheduler = []
train_cfg = dict(by_epoch=True, max_epochs=5, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=total_batch_size, enable=False)
randomness = dict(seed=6)
