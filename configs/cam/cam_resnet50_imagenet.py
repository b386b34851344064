# CAM (Zhou et al., CVPR 2016) of timm's ResNet-50 with torchvision's first weights, as trained on ImageNet-1k: a localizer without training.
_base_ = ['./_base_/imagenet.py']
model = dict(
    backbone=dict(model_name='resnet50.tv_in1k'),
    head=dict(in_channels=2048),
    init_cfg=dict(checkpoint='timm://resnet50.tv_in1k'))
