# The official recipe of CATR, which LCTR and CDTR share, on CUB: batch 4 x 128, 80 epochs, DeiT's schedule one epoch
# late (epoch e trains at the rate of e - 1). CDTR's paper has weight_decay 5e-4 and betas (0.9, 0.99).
_base_ = ['../../_base_/default_runtime.py']
total_batch_size = 512
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-5, weight_decay=0.05, betas=(0.9, 0.999), eps=1e-8),
    paramwise_cfg=dict(
        flat_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys=dict(cls_token=dict(decay_mult=0.), pos_embed=dict(decay_mult=0.))))
param_scheduler = dict(type='mmwsol.TimmCosineLR', by_epoch=True, end=80)
train_cfg = dict(by_epoch=True, max_epochs=80, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=total_batch_size, enable=False)
evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    # The published protocol: loc/gt_known has the box of the PREDICTED class.
    dict(type='mmwsol.LocAccuracy', protocol='cdtr', iou_stats=True),
    dict(type='mmwsol.LocAccuracy', protocol='cdtr', map_class='gt', prefix='loc_gt_class'),
    dict(type='mmwsol.MaxBoxAcc', frame_rule='short'),
]
