# CAM (Zhou et al., CVPR 2016) of timm's EfficientNet-B0, as trained on ImageNet-1k: a localizer without training.
_base_ = ['./_base_/imagenet.py']
model = dict(
    backbone=dict(model_name='efficientnet_b0.ra_in1k'),
    head=dict(in_channels=1280),
    init_cfg=dict(checkpoint='timm://efficientnet_b0.ra_in1k'))
