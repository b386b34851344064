# Official TS-CAM on ILSVRC: as on CUB, but 20 epochs (the released weights are those of epoch 12), batch 256.
_base_ = ['./schedule_cub.py']
total_batch_size = 256
optim_wrapper = dict(optimizer=dict(lr=5e-4))
# The official step rule divides at every multiple of 10 and of 12: epoch 20 too.
param_scheduler = dict(milestones=[9, 11, 19])
train_cfg = dict(max_epochs=20)
auto_scale_lr = dict(base_batch_size=total_batch_size)
# The published protocol keeps the best epoch of the evaluated split itself.
default_hooks = dict(checkpoint=dict(save_best='loc/gt_known', rule='greater'))
