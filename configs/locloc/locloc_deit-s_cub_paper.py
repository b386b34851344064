# LocLoc on CUB-200-2011 by the paper's text: thresholds and attention of the masks, a plain U-Net, logits that are the
# mean of class maps, optimizers, batch sizes, epochs and augmentation. The text names no momentum, weight decay or schedule: 0.9, 0 and none here.
_base_ = ['./locloc_deit-s_cub.py']
total_batch_size = 128
model = dict(
    head=dict(
        loss_weight=1.0,
        generator=dict(fix_unet_skip=True),
        classifier=dict(final_relu=False, border_pooling=False)))
train_dataloader = dict(
    batch_size=total_batch_size,
    dataset=dict(pipeline={{_base_.paper_pipeline}}),
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=1.5e-4, momentum=0.9, weight_decay=0.))
param_scheduler = []
train_cfg = dict(max_epochs=80)
auto_scale_lr = dict(base_batch_size=total_batch_size)
stages = [{{_base_.paper_masks_stage}}, {{_base_.paper_generator_stage}}, dict(name='classifier')]
