# CAM (Zhou et al., CVPR 2016), VGG16 on CUB-200-2011, trained as in TRT's repository: TS-CAM's AdamW, 40 epochs, batch
# 64. No published number belongs to it.
_base_ = ['./cam_vgg16_cub.py']
total_batch_size = 64
model = dict(map_to_box=dict(threshold=0.1))
train_dataloader = dict(batch_size=total_batch_size)
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type='AdamW', lr=5e-5, weight_decay=0.05, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(flat_decay_mult=0., bias_decay_mult=0.))
# The official step rule divides at every multiple of 12 and of 24: epoch 36 too (epochs counted from 1).
param_scheduler = dict(milestones=[11, 23, 35])
train_cfg = dict(max_epochs=40, val_interval=1)
auto_scale_lr = dict(base_batch_size=total_batch_size)
