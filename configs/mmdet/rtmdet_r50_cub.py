# RTMDet, ResNet-50, trained on the boxes that a localizer found in CUB's training images.
_base_ = ['./_base_/rtmdet_r50.py', './_base_/schedule_adamw.py', './_base_/cub.py']
model = dict(bbox_head=dict(num_classes=200))
