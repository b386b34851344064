# CAM (Zhou et al., CVPR 2016) of timm's MobileNetV3-L, as trained on ImageNet-1k: a localizer without training.
_base_ = ['./_base_/imagenet.py']
model = dict(
    backbone=dict(model_name='mobilenetv3_large_100.ra_in1k'),
    head=dict(in_channels=1280),
    init_cfg=dict(checkpoint='timm://mobilenetv3_large_100.ra_in1k'))
