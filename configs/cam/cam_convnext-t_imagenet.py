# CAM (Zhou et al., CVPR 2016) of timm's ConvNeXt-T, as trained on ImageNet-1k: a localizer without training.
_base_ = ['./_base_/imagenet.py']
model = dict(
    backbone=dict(model_name='convnext_tiny.fb_in1k'),
    head=dict(in_channels=768),
    init_cfg=dict(checkpoint='timm://convnext_tiny.fb_in1k'))
