# A localizer as a detector: mmdet's tools test it. Its checkpoint is the localizer's own.
_base_ = ['./_base_/cub.py']
model = dict(type='mmwsol.WSOLDetector', localizer='ts-cam_deit-s_cub')
default_hooks = dict(num_classes=dict(type='mmwsol.NumClassesHook'))
train_dataloader = None  # the localizer is trained by its own config
val_cfg = dict()
test_cfg = dict()
