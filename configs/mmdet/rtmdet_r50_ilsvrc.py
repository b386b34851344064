# RTMDet, ResNet-50, trained on the boxes that a localizer found in ILSVRC's training images. A tenth of CUB's epochs.
_base_ = ['./_base_/rtmdet_r50.py', './_base_/schedule_adamw.py', './_base_/ilsvrc.py']
model = dict(bbox_head=dict(num_classes=1000))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', eta_min=1e-6, begin=0, end=1, T_max=1, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=1)
