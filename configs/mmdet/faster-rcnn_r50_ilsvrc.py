# Faster R-CNN, ResNet-50, trained on the boxes that a localizer found in ILSVRC's training images. A tenth of COCO's
# epochs: the set is eleven times as large.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', 'mmdet::_base_/schedules/schedule_1x.py', './_base_/ilsvrc.py']
model = dict(roi_head=dict(bbox_head=dict(num_classes=1000)))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', begin=0, end=1, T_max=1, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=1)
