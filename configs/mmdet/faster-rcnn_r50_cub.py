# Faster R-CNN, ResNet-50, trained on the boxes that a localizer found in CUB's training images. mmdet's schedule.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', 'mmdet::_base_/schedules/schedule_1x.py', './_base_/cub.py']
model = dict(roi_head=dict(bbox_head=dict(num_classes=200)))
